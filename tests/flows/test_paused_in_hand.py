"""What an operator decides of batches that are in hand already, or were moved to another time since."""

import asyncio
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from flows import outbound as flows_outbound
from mailroom.adapters.sql.outbox import SqlOutbox
from mailroom.outbound.dispatching import Outbound
from mailroom.sending import Turn
from tests.contract.sending import office_on
from tests.flows.operated_desk import OperatedDesk, api, cancel, change_deployment, deploy, now


@pytest.fixture
def desk(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatedDesk]:
    with office_on(engine) as office:

        async def opened() -> Outbound:
            return office.outbound

        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        asyncio.run(deploy())
        yield OperatedDesk(office)


def test_a_batch_that_waits_for_a_slot_does_not_begin_while_its_deployment_is_paused(
    desk: OperatedDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one before it may take hours; the operator paused sending long before the next would begin."""
    desk.slots = 1
    release, wait = threading.Event(), desk.office.rate.wait

    def patiently(mails: int, **lane: Any) -> list[Turn]:
        release.wait(60)
        return wait(mails, **lane)

    monkeypatch.setattr(desk.office.rate, "wait", patiently)
    for _ in range(2):
        desk.order(desk.office.batch(1, now=now()), now())
    looks_at, paused_at = [0.0], list[float]()
    seen: list[list[str]] = []

    def over() -> bool:
        if time.monotonic() < looks_at[0]:
            return False
        looks_at[0] = time.monotonic() + 0.3
        if not paused_at:
            if desk.office.values("select count(*) from outbox where run_id is not null") == [2]:
                change_deployment(paused=True)
                paused_at.append(time.monotonic())
        elif not release.is_set():
            if desk.gates.held():
                release.set()
        elif not seen and time.monotonic() - paused_at[0] > 10:
            seen.append(sorted(desk.office.values("select status from message")))
            change_deployment(paused=False)
        return desk.empty()

    desk.listen(over)

    assert seen == [["accepted", "dispatched"]]
    assert desk.office.statuses() == ["dispatched"] * 2


def test_a_batch_that_is_moved_back_goes_although_its_earlier_run_was_cancelled(desk: OperatedDesk) -> None:
    """Nothing waited for that run any more when a person tidied it up; what was ordered since is not cancelled by it."""
    batch_id, first = desk.later()
    [stale] = runs_of(batch_id)
    outbox = SqlOutbox(desk.office.engine)

    def moved(time: datetime) -> None:
        outbox.reschedule(None, batch_id, time, now=now())
        desk.order(batch_id, time)
        desk.listen(desk.empty)

    moved(first + timedelta(hours=1))
    cancel(stale)
    desk.look()
    moved(first)
    desk.look()

    assert desk.office.statuses() == ["scheduled"] * 3
    assert len(runs_of(batch_id)) == 3


def runs_of(batch_id: str) -> list[UUID]:
    found = api("POST", "/flow_runs/filter", {"flow_runs": {"name": {"any_": [batch_id]}}})
    return [UUID(run["id"]) for run in found]
