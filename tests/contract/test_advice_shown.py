"""What happened to a message and what to do, with its names, wherever a person or program reads it."""

import json
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.cli.send import _explain
from mailroom.cli.trace import app as trace
from mailroom.delivery.tenant_webhooks import body_of
from mailroom.domain.errors import Refused, SenderRefused
from mailroom.ports.dispatch import Outcome
from mailroom.ports.endpoints import Endpoint
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, NOW, TestClient
from tests.support.batch_requests import batch, message, submitted


@pytest.fixture
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation of which nothing but the database is there."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


@pytest.mark.usefixtures("installation")
def test_page_trace_wait_and_webhooks_say_what_happened_and_what_to_do(
    api: TestClient, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sender's domain by its name, and a command that can be pasted."""
    endpoint = Endpoint(
        id=str(uuid4()), tenant="acme", url="https://acme.test/", secret="s" * 40, kinds=("rejected",), created_at=NOW
    )
    SqlEndpoints(engine).add(endpoint)
    batch_id = submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(3))))["id"]
    claims = SqlDispatch(engine).claim(batch_id, most=9, provider="ses", now=NOW)
    errors = [SenderRefused("not verified"), Refused("no such mailbox", code=550), Refused("no such mailbox", code=550)]
    outcomes = [Outcome(one.draft.id, one.attempt, error) for one, error in zip(claims, errors, strict=True)]
    SqlDispatch(engine).settle(outcomes, now=NOW)
    waits, refused = claims[0].draft.id, claims[1].draft.id

    page = api.get(f"/messages/{waits}", headers=BROWSER).text
    assert "Why: the provider does not send for the sender&#39;s domain acme.test." in page
    assert "<code>mailroom sender verify acme.test</code>" in page
    shown: Any = api.get(f"/v1/messages/{refused}").json()
    assert f"`mailroom resend {refused}`" in shown["what_to_do"]

    traced = CliRunner().invoke(trace, [refused]).stdout
    assert "why       the provider will never accept this recipient or content\n" in traced
    assert f"do        {shown['what_to_do']}\n" in traced
    whole = CliRunner().invoke(trace, [batch_id]).stdout
    assert whole.count("why       ") == whole.count("do        ") == 2
    assert "the sender's domain acme.test" in whole

    _explain(api.get(f"/v1/messages?batch={batch_id}").json()["items"])
    waited = capsys.readouterr().out
    assert "2 rejected (refused): the provider will never accept this recipient or content. What to do: " in waited
    assert (
        "1 queued (sender_refused): the provider does not send for the sender's domain acme.test. What to do: "
        in waited
    )

    delivery = SqlEndpoints(engine).take(now=NOW, until=NOW + timedelta(minutes=1))
    assert delivery is not None
    posted = [event["message"] for event in json.loads(body_of(delivery))["events"]]
    assert {one["id"]: one["what_to_do"] for one in posted}[refused] == shown["what_to_do"]
    assert all(one["why"] == shown["why"] for one in posted)
