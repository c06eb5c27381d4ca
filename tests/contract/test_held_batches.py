"""Held batches over the HTTP API, on the pages, in the metrics and with `mailroom batch`, on PostgreSQL."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner, Result

from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.api.metrics.outbound import outbound_exposition
from mailroom.cli.batch import app
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.holds import HoldReason
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, NOW, TestClient
from tests.support.batch_requests import UMBRELLA, batch, message, submitted


@pytest.fixture
def held(api: TestClient, engine: Engine) -> str:
    """A batch of two messages that is held after a restore."""
    reported = submitted(api, batch(message(), message(to="bob@users.test")))
    SqlOutbox(engine).hold([reported["id"]], reason=HoldReason.RESTORED, now=NOW)
    return str(reported["id"])


@pytest.fixture
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def output(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def statuses(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text("select status from message")).scalars())


def test_a_held_batch_says_so_and_is_resumed_once_by_its_tenant(api: TestClient, held: str) -> None:
    """The owner may decide; for another tenant the batch does not exist."""
    assert api.get(f"/v1/batches/{held}").json()["held"] == {"restored": 2}
    assert api.post(f"/v1/batches/{held}/resume", headers=UMBRELLA).status_code == 404

    assert api.post(f"/v1/batches/{held}/resume").json() == {"id": held, "resumed": 2}
    assert api.post(f"/v1/batches/{held}/resume").json() == {"id": held, "resumed": 0}
    assert api.get(f"/v1/batches/{held}").json()["held"] == {}


def test_rescheduling_a_held_batch_names_what_to_do(api: TestClient, held: str) -> None:
    """A new time alone would release it, or would seem to."""
    answer = api.patch(f"/v1/batches/{held}", json={"send_at": "2026-12-24T08:00:00Z"})

    assert answer.status_code == 409
    assert answer.json()["detail"] == "The batch is held (restored); resume or cancel it first."


def test_a_cancel_says_how_many_were_held(api: TestClient, held: str) -> None:
    """These may have gone before the restore, which a plain `cancelled` would deny."""
    assert api.post(f"/v1/batches/{held}/cancel").json() == {"id": held, "cancelled": 2, "held": 2, "gone": []}


def test_the_pages_say_what_is_held_why_and_what_to_do(api: TestClient, held: str) -> None:
    """Otherwise the batch would look merely slow."""
    page, pages = api.get(f"/batches/{held}", headers=BROWSER).text, api.get("/batches", headers=BROWSER).text

    assert "2 messages: the database was restored, and this may have been sent after the dump." in page
    assert f"mailroom batch resume {held}" in page
    assert "held: restored" in pages


def test_the_metrics_count_held_batches_by_reason(engine: Engine, held: str) -> None:
    """An alarm needs a line at 0 as well as one above it."""
    reported = outbound_exposition(SqlMonitoring(engine).census(now=NOW), NOW)

    assert 'mailroom_batches_held{reason="restored"} 1' in reported
    assert 'mailroom_batches_held{reason="run_gone"} 0' in reported
    assert 'mailroom_outbound_messages{provider="",status="held"} 2' in reported


@pytest.mark.usefixtures("installation")
def test_the_command_lists_shows_and_resumes(engine: Engine, held: str) -> None:
    """A dry run first: a sent mail cannot be recalled."""
    assert f"{held}  acme  2 held since" in run("list", "--held").stdout
    assert "2 messages, the database was restored" in run("show", held).stdout
    assert "would be sent now" in run("resume", "--all", "--dry-run").stdout
    assert statuses(engine) == {"held"}

    assert "is sent now" in run("resume", "--all").stdout

    assert statuses(engine) == {"queued"}
    assert run("list", "--held").stdout == "no batch is held\n"
    assert run("resume", held).stdout == f"{held} has no held messages\n"


@pytest.mark.usefixtures("installation")
def test_the_command_resumes_one_reason_and_cancels_another(api: TestClient, engine: Engine, held: str) -> None:
    """After a restore of Prefect the answer may differ from that after a restore of Mailroom."""
    other = submitted(api, batch())["id"]
    SqlOutbox(engine).hold([other], reason=HoldReason.RUN_GONE, now=NOW)

    resumed = output("resume", "--all", "--reason", "run_gone")

    assert [(one["id"], one["messages"], one["resumed"]) for one in resumed] == [(other, 1, True)]
    assert output("cancel", held) == {"id": held, "cancelled": 2, "held": 2, "gone": 0}
    assert [one["held"] for one in output("list")] == [{}, {}]


@pytest.mark.usefixtures("installation")
@pytest.mark.parametrize(
    "words", [["resume"], ["resume", "x", "--all"], ["resume", "x"], ["show", "x"], ["cancel", "x"]]
)
def test_the_command_refuses_what_names_no_batch(words: list[str]) -> None:
    """One clear line, and nothing is sent."""
    assert isinstance(run(*words).exception, ConfigurationError)
