"""The schema disappears while a listener works: it pauses, and continues its mails once the schema is back."""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Failed
from sqlalchemy import Engine

from deployments.worker import health as health_module
from deployments.worker.health import Health
from deployments.worker.listener import Listener
from deployments.worker.mailbox import MailboxListener
from deployments.worker.schema_watch import SchemaWatch
from mailroom.adapters.postgres import gate
from mailroom.adapters.postgres.engine import reach, refuse_unfit
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.domain.errors import MailroomError, UnfitSchema
from mailroom.domain.inbound import received_email as inbound
from mailroom.outbound.mailbox import Intake
from tests.support.inbound_listener import QUICK, Desk, from_ses, holds, ref
from tests.support.patience import PATIENCE_S
from tests.support.tampering import owner_of

AWAY = {
    "schema missing": ("alter schema public rename to away", "alter schema away rename to public"),
    "table missing": ("alter table inbound_email rename to away", "alter table away rename to inbound_email"),
    "no longer serves": ("update schema_serves set oldest_code = 99", "update schema_serves set oldest_code = 1"),
}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again soon."""
    monkeypatch.setattr(gate, "_FIT_FOR_S", 0.05)
    monkeypatch.setattr(gate, "_UNFIT_FOR_S", 0.05)
    monkeypatch.setattr(health_module, "_LOOK_AGAIN_S", 0.1)


def execute(url: str, statement: str) -> None:
    with psycopg.connect(owner_of(url), autocommit=True) as connection:
        connection.execute(statement)


def health_of(engine: Engine) -> Health:
    return Health({"PostgreSQL": partial(reach, engine), "the schema": partial(refuse_unfit, engine)})


class Filing(Desk):
    """Runs wait for the test, then file in the real ledger, and end as flows do: Failed where the ledger cannot be written."""

    most_receives = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.executor.ending = self._file
        self.goes_on = threading.Event()

    def receives(self) -> list[int]:
        """Return how often each message that is still there was received, the newest last."""
        return [one.receive_count for one in self.queue._messages.values()]

    async def _file(self, run: FlowRun) -> State | None:
        await asyncio.to_thread(self.goes_on.wait)
        self.most_receives = max(self.most_receives, *self.receives())
        try:
            await asyncio.to_thread(self.ledger.begin, ref(run.name), now=datetime.now(UTC))
            close = self.ledger.close
            await asyncio.to_thread(close, self.entry(run.name).id, inbound.State.FILED, now=datetime.now(UTC))
        except MailroomError:
            return Failed()
        return Completed()


@pytest.mark.parametrize("how", AWAY)
def test_mail_waits_while_the_schema_is_away_and_is_filed_afterwards(
    engine: Engine, database_url: str, how: str
) -> None:
    """One mail is in progress when it goes, one comes meanwhile: neither is received again, neither fails."""
    desk = Filing(SqlLedger(engine))
    desk.health = health = health_of(engine)  # type: ignore[assignment]
    shown: list[str | None] = []

    def drill() -> None:
        wait(lambda: desk.executor.ran == ["first"])
        execute(database_url, AWAY[how][0])
        desk.queue.send(from_ses("second"))
        time.sleep(0.1)
        desk.goes_on.set()
        wait(lambda: health.paused_by is not None)
        desk.queue.send(from_ses("third"))
        time.sleep(0.5)
        shown.append(health.paused_by)
        shown.append(f"{len(desk.queue)} messages, {desk.receives()[-1]} receives of the last")
        execute(database_url, AWAY[how][1])

    desk.queue.send(from_ses("first"))
    drilling = threading.Thread(target=drill)
    drilling.start()
    # Nothing is received twice here by itself: the clock of the queue stands still.
    desk.listen(lambda: not drilling.is_alive() and desk.empty())
    drilling.join()

    assert shown == ["the schema", "3 messages, 0 receives of the last"]
    assert health.outlasted >= 1
    assert {desk.entry(name).state for name in ("first", "second", "third")} == {inbound.State.FILED}
    assert (desk.most_receives, desk.queue.hidden_for.count(QUICK.retry_after_s)) == (1, 0)


def test_an_idle_listener_pauses_and_shows_it_in_the_roster(engine: Engine, database_url: str) -> None:
    """No mail has to fail first: the check with every heartbeat finds it."""

    async def idle() -> list[Any]:
        desk, health = Desk(SqlLedger(engine)), health_of(engine)
        parts: Any = desk.queue, desk.ledger, desk.runs, desk.executor, health, desk.roster, desk.manifests
        listener = Listener(*parts, worker="idle", limit=4, timing=QUICK.__class__(long_poll_s=0, beat_s=0.1))
        watch = SchemaWatch(engine, [health], every_s=0.1)
        tasks = [asyncio.create_task(listener.run()), asyncio.create_task(watch.run())]
        seen: list[Any] = []

        def signed() -> str | None:
            return next((one.paused_by for one in desk.roster.live_workers()), None)

        await holds(lambda: bool(desk.roster.live_workers()))
        execute(database_url, AWAY["no longer serves"][0])
        await holds(lambda: signed() == "the schema")
        seen.append((watch.fits, health.paused_by))
        execute(database_url, AWAY["no longer serves"][1])
        await holds(lambda: watch.fits and signed() is None and health.paused_by is None)
        listener.stop()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return seen

    assert asyncio.run(idle()) == [(False, "the schema")]


def test_plain_mails_in_progress_outlast_it_in_the_mailbox(engine: Engine, database_url: str) -> None:
    """The second listener of a worker keeps its messages likewise, and acknowledges each once it is stored."""
    desk, health = Desk(SqlLedger(engine)), health_of(engine)
    kept: list[int] = []

    async def keep(plain: Any) -> Intake:
        await asyncio.to_thread(refuse_unfit, engine)
        kept.append(len(plain))
        return Intake(None, {})

    async def work() -> None:
        parts: Any = desk.queue, None, None, health
        nothing: Any = lambda *_: asyncio.sleep(0)  # noqa: E731
        listener = MailboxListener(*parts, keep=keep, waits=nothing, look_after=nothing, limit=4, timing=QUICK)
        assert await health.ready(asyncio.Event())
        execute(database_url, AWAY["no longer serves"][0])
        running = asyncio.create_task(listener.run())
        await holds(lambda: listener.health.paused_by == "the schema")
        await asyncio.sleep(0.3)
        assert (kept, len(desk.queue)) == ([], 1)
        execute(database_url, AWAY["no longer serves"][1])
        await holds(desk.empty)
        listener.stop()
        await running

    body = {"to": "ann@acme.test", "subject": "Hello", "message": "Hello"}
    desk.queue.send(json.dumps(body), attributes={"channel": "email", "type": "plaintext"})
    asyncio.run(work())

    assert kept == [1]
    assert QUICK.retry_after_s not in desk.queue.hidden_for


def wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_probe_may_be_async_and_its_failure_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The client of the runs is async; an operator reads which one fails and why, but no text of unknown origin."""

    async def unfit() -> None:
        raise UnfitSchema("the schema is older than this version needs; run `mailroom migrate`")

    async def look(probe: Callable[[], object]) -> str | None:
        health, stopping = Health({"first": lambda: None, "second": probe}), asyncio.Event()
        ready = asyncio.create_task(health.ready(stopping))
        await holds(lambda: health.paused_by is not None)
        stopping.set()
        assert not await ready
        return health.paused_by

    def secret() -> None:
        raise ValueError("anna@acme.test")

    assert asyncio.run(look(unfit)) == "second"
    assert asyncio.run(look(secret)) == "second"
    assert "run `mailroom migrate`" in caplog.text
    assert "ValueError" in caplog.text
    assert "anna" not in caplog.text
