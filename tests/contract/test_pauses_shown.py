"""What people see of a pause and of a row of the same refusal: page, API, command line, metrics."""

import json
from datetime import timedelta
from html import unescape

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.api.metrics.outbound import outbound_exposition
from mailroom.cli.providers import app
from mailroom.domain.delivery.same_refusals import SentTo
from mailroom.domain.errors import ConfigurationError, Paused, SenderRefused
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, NOW, TestClient
from tests.support.batch_requests import ADMIN, UMBRELLA, batch, message, submitted

IDENTITY = "smtp/mail.acme.example:587/ada@acme.example"


@pytest.fixture
def paused(api: TestClient, engine: Engine) -> str:
    """A batch of acme's that waits for its sender's domain to be verified, at a provider that is paused for it."""
    batch_id: str = submitted(api, batch(message()))["batch_id"]
    with engine.begin() as connection:
        connection.execute(text("update message set status = 'deferred', reason = 'sender_refused'"))
        [sender] = connection.execute(text("select \"from\"->>'address' from batch")).scalars()
    domain = sender.rpartition("@")[2]
    error = SenderRefused("not verified", code="MessageRejected", sender_domain=domain)
    SqlPauses(engine).begin(error, identity=IDENTITY, provider="ses", sender_domain=domain, now=NOW)
    return batch_id


def test_a_batch_says_until_when_why_and_what_to_do(api: TestClient, paused: str) -> None:
    """In the API as fields, on the page as a sentence; the account's identity is the installation's alone."""
    found = api.get(f"/v1/batches/{paused}").json()
    page = unescape(api.get(f"/batches/{paused}", headers=BROWSER).text)

    assert found["paused"]["until"] == (NOW + timedelta(minutes=15)).isoformat().replace("+00:00", "Z")
    assert found["paused"]["reason"] == "sender_refused"
    assert found["paused"]["why"] == OutboundReason.SENDER_REFUSED.sentence
    assert found["paused"]["what_to_do"] == OutboundReason.SENDER_REFUSED.remedy
    assert OutboundReason.SENDER_REFUSED.sentence in page
    assert "09:45" in page
    assert "MessageRejected" in page
    assert not [what for what in (json.dumps(found), page) if IDENTITY in what]
    assert api.get(f"/v1/batches/{paused}", headers=UMBRELLA).status_code == 404


def test_a_batch_that_waits_for_something_else_is_not_paused(api: TestClient, paused: str, engine: Engine) -> None:
    """The pause of an account that it does not use, or a retry of its own."""
    with engine.begin() as connection:
        connection.execute(text("update message set reason = 'recipient_unavailable'"))

    assert api.get(f"/v1/batches/{paused}").json()["paused"] is None


def test_a_stopped_batch_shows_the_answer(api: TestClient, engine: Engine) -> None:
    """An operator reads which answer it was, and what to do; the command and the API say the same."""
    batch_id = submitted(api, batch(message()))["batch_id"]
    rows = [SentTo("rcpt 550 5.7.1", f"d{number % 5}.test") for number in range(20)]
    SqlBreakers(engine).count_refusals(batch_id, rows, now=NOW)

    page = api.get(f"/batches/{batch_id}", headers=BROWSER).text
    listed = api.get("/breakers", headers=BROWSER).text
    [found] = api.get("/v1/breakers").json()["items"]

    assert "were refused with the same answer (<code>rcpt 550 5.7.1</code>)" in page
    assert "20 recipients in a row were refused with <code>rcpt 550 5.7.1</code>" in listed
    assert (found["trip"], found["answer"], found["sent"]) == ("same_refusal", "rcpt 550 5.7.1", 20)
    assert api.get("/v1/breakers", headers=UMBRELLA).json()["items"] == []


def test_metrics_count_pauses_without_senders_and_logins(paused: str, engine: Engine) -> None:
    """A sender's domain is a tenant's, and a login may be an address."""
    SqlPauses(engine).begin(Paused("stopped"), identity=IDENTITY, provider="ses", sender_domain="x.test", now=NOW)

    output = outbound_exposition(SqlMonitoring(engine).census(now=NOW), NOW)
    lines = [line for line in output.splitlines() if line.startswith("mailroom_provider_pause")]

    assert [line.rpartition(" ")[2] for line in lines[:2]] == ["1", "1"]
    assert 'scope="account"' in lines[0]
    assert 'scope="sender"' in lines[1]
    assert not [word for word in ("ada@", "umbrella") if word in output]
    assert any(line.startswith("mailroom_provider_paused_until_timestamp_seconds{") for line in lines)


@pytest.fixture
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_the_command_lists_pauses_and_has_one_probed(installation: None, engine: Engine) -> None:
    """`mailroom providers` alone prints what it printed before."""
    assert run("pauses").stdout == "no pauses\n"
    SqlPauses(engine).begin(
        Paused("stopped", code=554), identity=IDENTITY, provider="smtp", sender_domain="a.test", now=NOW
    )

    listed, [found] = run("pauses").stdout, json.loads(run("pauses", "--json").stdout)
    done = run("probe", IDENTITY)
    wrong = run("probe", IDENTITY, "--sender", "other.test")

    assert OutboundReason.ACCOUNT_PAUSED.sentence in listed
    assert (found["identity"], found["code"], found["sender_domain"]) == (IDENTITY, "554", None)
    assert done.stdout == "due now; 0 batches that waited go on\n"
    assert isinstance(wrong.exception, ConfigurationError)
    assert run().stdout.startswith("| provider | batch |")
    assert "ses" in json.loads(run("--json").stdout)


def test_an_administrator_sees_it_too(api: TestClient, paused: str) -> None:
    """Of any tenant."""
    assert api.get(f"/v1/batches/{paused}", headers=ADMIN).json()["paused"]["sender_domain"]
