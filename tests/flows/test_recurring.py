"""The example of a recurring send on a Prefect server and a real database."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine

from blocks.outbound import SubmissionPorts
from flows import send_recurring as recurring
from mailroom.adapters.postgres.operations.dumps import dump
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.outbound.dispatching import Outbound
from mailroom.testing.counter import MemoryCounter
from tests.support.batch_requests import batch, message
from tests.support.sending import Office, office_on
from tests.support.tampering import restored


@pytest.fixture
def outbound_side(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    with office_on(engine) as made:

        async def outbound() -> Outbound:
            return made.outbound

        async def way_in() -> SubmissionPorts:
            return SubmissionPorts(SqlOutbox(engine), SqlSenders(engine), SqlTerms(engine))

        monkeypatch.setattr(recurring, "open_outbound", outbound)
        monkeypatch.setattr(recurring, "open_submission", way_in)
        yield made


def run(file: Path) -> Any:
    return asyncio.run(recurring.send_recurring(str(file), return_state=True))  # type: ignore[call-overload]


def test_a_time_of_the_schedule_is_one_batch_however_often_it_runs(
    outbound_side: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry, or a schedule that fires twice, must not send the newsletter twice."""
    file = tmp_path / "newsletter.json"
    file.write_text(json.dumps(batch(message(), message(to="bob@users.test"))))
    monday = datetime(2026, 11, 23, 8, tzinfo=UTC)
    monkeypatch.setattr(recurring, "flow_run", SimpleNamespace(scheduled_start_time=monday))

    first, again = run(file), run(file)
    monkeypatch.setattr(recurring, "flow_run", SimpleNamespace(scheduled_start_time=monday + timedelta(days=7)))
    following = run(file)

    assert again.message == f"{first.message}, already submitted before"
    assert following.message != first.message
    assert outbound_side.values("select key from idempotency_key order by key") == [
        "newsletter@2026-11-23T08:00:00+00:00",
        "newsletter@2026-11-30T08:00:00+00:00",
    ]


@pytest.mark.parametrize(
    "written",
    [
        '{"messages": [{"to": "canary@users.test"}]}',
        json.dumps(batch(message(to="canary@"))),
        "no JSON",
        json.dumps(batch(message(to="canary@users.test", unsubscribe=True))),
        json.dumps(batch(message(to="canary@users.test"), tracking={"opens": True})),
    ],
)
def test_a_file_that_cannot_be_sent_fails_and_prefect_gets_no_word_of_it(
    outbound_side: Office, tmp_path: Path, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    """pydantic's own messages would quote the file."""
    file = tmp_path / "newsletter.json"
    file.write_text(written)

    state = run(file)

    assert state.is_failed()
    assert "canary" not in f"{state!r}{caplog.text}"
    assert outbound_side.values("select id from batch") == []


def test_a_time_that_was_before_a_restore_of_both_databases_is_not_sent_again(
    outbound_side: Office, engine: Engine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's dump has the run as scheduled, and Mailroom's lacks its idempotency key: the newsletter went out twice."""
    restores = SqlRestores(engine, MemoryCounter())
    restores.start()

    async def way_in() -> SubmissionPorts:
        return SubmissionPorts(SqlOutbox(engine, restores), SqlSenders(engine), SqlTerms(engine))

    monkeypatch.setattr(recurring, "open_submission", way_in)
    file = tmp_path / "newsletter.json"
    file.write_text(json.dumps(batch(message())))
    sunday, monday = datetime(2026, 11, 22, 8, tzinfo=UTC), datetime(2026, 11, 23, 8, tzinfo=UTC)
    due_at(sunday, monkeypatch)
    before = run(file)
    dump(database_url, tmp_path / "dump")
    due_at(monday, monkeypatch)
    assert run(file).is_completed()

    restored(database_url, tmp_path / "dump")
    again = run(file)
    due_at(sunday, monkeypatch)
    known = run(file)
    due_at(datetime.now(UTC), monkeypatch)
    quick = run(file)

    assert again.is_failed()
    assert "may already have been sent" in again.message
    assert known.message == f"{before.message}, already submitted before"
    assert quick.is_completed()
    assert sorted(outbound_side.statuses()) == ["accepted", "held"]


def due_at(time: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recurring, "flow_run", SimpleNamespace(scheduled_start_time=time))
