"""A scheduler that does nothing is noticed by a worker: on a Prefect server whose scheduler is switched off."""

import asyncio
import logging
from datetime import timedelta

import pytest
from prefect import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.events.filters import EventFilter, EventNameFilter
from prefect.settings import PREFECT_API_URL

from deployments.worker.pool_worker import MailroomWorker
from deployments.worker.scheduler_watch import SchedulerWatch
from flows.support.events import EventName
from flows.watch import watch
from mailroom.adapters.prefect.schedules import PrefectScheduler
from mailroom.ports.scheduler import Scheduling
from mailroom.testing.scheduler import MemoryScheduler
from tests.support.inbound_listener import holds_on_server


async def _deploy() -> None:
    async with get_client() as client:
        template = MailroomWorker.get_default_base_job_template()
        await client.create_work_pool(WorkPoolCreate(name="mailroom", type="mailroom", base_job_template=template))
        flow_id = await client.create_flow(watch)
        plan = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(minutes=5)), active=True)
        for name, schedules in (("watch", [plan]), ("by-hand", [])):
            await client.create_deployment(flow_id, name, work_pool_name="mailroom", schedules=schedules)


def test_a_scheduler_that_never_worked_is_an_event_after_three_checks(
    server: None, caplog: pytest.LogCaptureFixture
) -> None:
    """For weeks no schedule fired, and the only flow that could have said so waited for its schedule."""

    async def look() -> tuple[Scheduling, int]:
        await _deploy()
        scheduler = PrefectScheduler(str(PREFECT_API_URL.value()), fresh_s=0)
        watching = SchedulerWatch(scheduler)
        for _ in range(5):
            await watching.look()
        # The event is sent by another thread: ask the server until it is there.
        async with get_client() as client:

            async def emitted() -> bool:
                wanted = EventFilter(event=EventNameFilter(name=[EventName.SCHEDULES_SILENT.value]))
                body = {"filter": wanted.model_dump(mode="json"), "limit": 10}
                answer = await client._client.post("/events/filter", json=body)
                return bool(answer.json()["events"])

            await holds_on_server(emitted)
        return scheduler.look(), sum("scheduler has stopped" in record.message for record in caplog.records)

    with caplog.at_level(logging.ERROR, logger="mailroom.worker"):
        found, times = asyncio.run(look())

    assert (found.active, found.idle, found.last_worked_at) == (("watch",), ("watch",), None)
    assert times == 1


class Odd(MemoryScheduler):
    """A scheduler whose first answer is an unforeseen error; the next ones say that it is silent."""

    def look(self) -> Scheduling:
        found = super().look()
        if self.looks == 1:
            raise ValueError("no JSON")
        return found


def test_an_unforeseen_answer_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else checks the scheduler, and a loop that ended reports nothing."""

    async def look() -> int:
        odd = Odd(Scheduling(last_worked_at=None))
        watching = asyncio.create_task(SchedulerWatch(odd, every_s=0.01).run())
        while odd.looks < 3 and not watching.done():
            await asyncio.sleep(0.01)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return odd.looks

    with caplog.at_level(logging.ERROR, logger="mailroom.worker"):
        assert asyncio.run(look()) >= 3

    assert "cannot be checked; trying again" in caplog.text
