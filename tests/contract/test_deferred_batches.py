"""A batch with messages that wait for their recipients' servers: over the HTTP API, on the pages and with `mailroom batch`."""

import json
import re
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.cli.batch import app
from mailroom.domain.errors import RecipientUnavailable
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.retry_schedule import RecipientSchedule
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, NOW, TestClient
from tests.support.batch_requests import batch, message, submitted
from tests.support.sending import office_on


@pytest.fixture
def deferred(api: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    """A batch of three of which one was sent and two are deferred, and an environment that names its database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    batch_id = str(submitted(api, batch(*(message(to=f"u{at}@users.test") for at in range(3))))["id"])
    with office_on(engine) as office:
        office.provider.answers.extend([RecipientUnavailable("not now", code=450)] * 2)
        office.outbound.schedule = RecipientSchedule(delays=(timedelta(hours=1),))
        Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: NOW).send_some(3)
    return batch_id


def test_the_api_says_how_many_are_deferred_and_until_when(api: TestClient, deferred: str) -> None:
    """A program can decide whether to wait; each message says why and what to do."""
    shown = api.get(f"/v1/batches/{deferred}").json()
    messages = api.get("/v1/messages", params={"batch": deferred, "status": "deferred"}).json()["items"]

    assert (shown["deferred"], shown["statuses"]) == (2, {"deferred": 2, "dispatched": 1})
    assert shown["deferred_until"] == shown["next_at"] == min(one["due_at"] for one in messages)
    assert timedelta(hours=1) <= datetime.fromisoformat(shown["deferred_until"]) - NOW <= timedelta(minutes=77)
    assert {one["reason_code"] for one in messages} == {"recipient_unavailable"}
    assert all("by its own schedule" in one["what_to_do"] for one in messages)


def test_a_batch_without_such_messages_has_none(api: TestClient, engine: Engine) -> None:
    """Also one that waits for its quota or its time, which are other reasons to be deferred."""
    batch_id = submitted(api, batch())["id"]
    SqlDispatch(engine).defer(batch_id, until=NOW + timedelta(hours=1), reason="daily_quota", now=NOW)

    shown = api.get(f"/v1/batches/{batch_id}").json()

    assert (shown["statuses"], shown["deferred"], shown["deferred_until"]) == ({"deferred": 1}, 0, None)


def test_the_pages_say_it(api: TestClient, deferred: str) -> None:
    """Otherwise the batch would look merely slow. It is done for now, so nobody need watch it by the second."""
    page = api.get(f"/batches/{deferred}", headers=BROWSER).text

    assert re.search(r"2 deferred by their recipients&#39; servers: next try <time", page)
    assert "next due" not in page
    assert '<meta http-equiv="refresh" content="30">' in page


def test_the_command_says_it(deferred: str) -> None:
    """In the list, in one batch, and for programs."""
    listed, shown = CliRunner().invoke(app, ["list"]).stdout, CliRunner().invoke(app, ["show", deferred]).stdout
    values = json.loads(CliRunner().invoke(app, ["show", deferred, "--json"]).stdout)

    assert "2 deferred" in listed
    assert "next try 2026-03-14" in listed
    assert "2 deferred by their recipients' servers, next try 14 Mar 2026" in shown
    assert values["deferred"] == 2
