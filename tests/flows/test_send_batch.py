"""The mailbox queue, the run `send-batch` and PostgreSQL together, on a Prefect server; the provider is in memory."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from prefect import get_client
from prefect.client.schemas.objects import Artifact, FlowRun
from sqlalchemy import Engine

from flows import send_batch as flows_outbound
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.errors import OutcomeUnknown, Refused, TransientError
from mailroom.outbound.dispatching import Outbound
from mailroom.outbound.outbox_relay import order_body, run_relay
from mailroom.outbound.retry_schedule import RecipientSchedule
from tests.support.mailbox_listener import Desk
from tests.support.scripted_receiver import NO_DOMAIN, scripted
from tests.support.sending import office_on


@pytest.fixture
def mailbox_setup(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with office_on(engine) as outbound_side:

        async def opened() -> Outbound:
            return outbound_side.outbound

        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        yield Desk(outbound_side)


def now() -> datetime:
    return datetime.now(UTC)


def runs_of(batch_id: str) -> list[FlowRun]:
    async def read() -> list[FlowRun]:
        async with get_client() as client:
            return [run for run in await client.read_flow_runs(limit=200) if run.name == batch_id]

    return asyncio.run(read())


def artifacts_of(batch_id: str) -> dict[str, Artifact]:
    async def read() -> dict[str, Artifact]:
        async with get_client() as client:
            found = await client.read_artifacts(limit=200)
            return {str(one.type): one for one in found if one.key and one.key.endswith(batch_id)}

    return asyncio.run(read())


def test_an_order_is_one_run_that_sends_the_batch(mailbox_setup: Desk) -> None:
    """Completed, with progress at its end and tags; its order is deleted last."""
    batch_id = mailbox_setup.office.batch(25, now=now())
    mailbox_setup.order(batch_id, now())

    mailbox_setup.listen(mailbox_setup.empty)

    [run] = runs_of(batch_id)
    assert run.state is not None
    assert (run.state.type, run.state.message) == ("COMPLETED", "25 dispatched")
    assert set(run.tags) == {f"batch:{batch_id}", "tenant:acme", "lane:transactional"}
    assert artifacts_of(batch_id)["progress"].data == 100.0
    assert len(set(mailbox_setup.office.provider.accepted)) == len(mailbox_setup.office.provider.accepted) == 25


def test_the_run_says_what_failed_and_no_address(mailbox_setup: Desk) -> None:
    """Access to Prefect must not reveal recipients."""
    batch_id = mailbox_setup.office.batch(3, now=now())
    mailbox_setup.office.provider.answers.extend([Refused("refused", code=550), OutcomeUnknown("lost")])
    mailbox_setup.order(batch_id, now())

    mailbox_setup.listen(mailbox_setup.empty)

    [run] = runs_of(batch_id)
    table = json.loads(str(artifacts_of(batch_id)["table"].data))
    assert {(row["kind"], row["code"]) for row in table} == {("Refused", "550"), ("OutcomeUnknown", "")}
    assert "users.test" not in f"{table}{run.model_dump_json()}"
    assert {"failed:Refused", "failed:OutcomeUnknown"} <= set(run.tags)


def test_an_order_that_comes_twice_is_one_run(mailbox_setup: Desk) -> None:
    """The relay posts again when it was killed in between, and SQS delivers at least once."""
    batch_id, due_at = mailbox_setup.office.batch(12, now=now()), now()
    for _ in range(3):
        mailbox_setup.order(batch_id, due_at)

    mailbox_setup.listen(mailbox_setup.empty)

    assert len(runs_of(batch_id)) == 1
    assert len(mailbox_setup.office.provider.accepted) == 12


def test_a_batch_that_is_due_later_is_a_scheduled_run(mailbox_setup: Desk) -> None:
    """An operator sees it coming; nothing of it is sent before."""
    due_at = now() + timedelta(hours=2)
    batch_id = mailbox_setup.office.batch(3, now=now(), send_at=due_at)
    mailbox_setup.order(batch_id, due_at)

    mailbox_setup.listen(mailbox_setup.empty)

    [run] = runs_of(batch_id)
    assert run.state is not None
    assert (run.state.type, run.state.state_details.scheduled_time) == ("SCHEDULED", due_at)
    assert mailbox_setup.office.provider.accepted == []


def test_what_is_to_be_tried_again_soon_is_tried_in_the_same_run(mailbox_setup: Desk) -> None:
    """A brief failure is no reason for another run."""
    batch_id = mailbox_setup.office.batch(1, now=now())
    mailbox_setup.office.provider.answers.append(TransientError("no connection"))
    mailbox_setup.order(batch_id, now())

    mailbox_setup.listen(mailbox_setup.empty)

    [run] = runs_of(batch_id)
    assert run.state is not None
    assert run.state.message == "1 dispatched"


def test_a_recipients_schedule_runs_by_itself_to_its_end(mailbox_setup: Desk) -> None:
    """Each try is a run of its own, at its time and once, from an order that the run before wrote; each run completes."""
    outbound_side, refused, stop = mailbox_setup.office, "u1@users.test", threading.Event()
    outbound_side.outbound.schedule = RecipientSchedule(
        delays=(timedelta(seconds=2), timedelta(seconds=3)),
        give_up_after=timedelta(seconds=8),
        grid=timedelta(seconds=1),
    )

    with scripted({refused: NO_DOMAIN}) as (receiver, outbound_side.outbound.provider):
        batch_id = outbound_side.batch(3, now=now())
        outbox = SqlOutbox(outbound_side.engine)
        relaying = threading.Thread(target=run_relay, args=(outbox, mailbox_setup.queue, stop))
        relaying.start()
        try:
            mailbox_setup.listen(lambda: "failed" in outbound_side.statuses() and mailbox_setup.empty())
        finally:
            stop.set()
            relaying.join()

    runs = [run.state for run in sorted(runs_of(batch_id), key=lambda run: run.parameters["due_at"])]
    tries, times = receiver.tried[refused], receiver.tried_at[refused]
    assert 2 <= tries <= 5
    assert len(runs) == tries
    assert {state.type for state in runs if state} == {"COMPLETED"}
    assert runs[0] is not None
    assert str(runs[0].message).startswith("2 dispatched, 1 deferred by their recipients' servers, next try ")
    assert all(later - earlier >= 2 for earlier, later in pairwise(times))
    assert receiver.tried["u0@users.test"] == receiver.tried["u2@users.test"] == 1
    assert outbound_side.values("select reason from message where status = 'failed'") == ["recipient_gave_up"]


def test_a_run_that_fails_gives_its_order_back_and_goes_on_later(
    mailbox_setup: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same run: Prefect shows one history, and what was sent stays sent."""
    batch_id, good, opened = mailbox_setup.office.batch(3, now=now()), flows_outbound.open_outbound, list[int]()

    async def broken() -> Outbound:
        opened.append(1)
        raise ConnectionError

    monkeypatch.setattr(flows_outbound, "open_outbound", broken)
    mailbox_setup.order(batch_id, now())
    mailbox_setup.listen(lambda: len(opened) == 1)
    monkeypatch.setattr(flows_outbound, "open_outbound", good)
    mailbox_setup.clock.now += 1000

    mailbox_setup.listen(mailbox_setup.empty)

    [run] = runs_of(batch_id)
    assert run.state is not None
    assert run.state.type == "COMPLETED"
    assert len(mailbox_setup.office.provider.accepted) == 3


def test_plain_mails_are_stored_and_what_cannot_be_sent_is_left(mailbox_setup: Desk) -> None:
    """The relay posts their order like any other; what is refused goes to the dead-letter queue."""
    mailbox_setup.refuses = {"nobody"}
    for to in ("ada@users.test", "nobody"):
        mailbox_setup.queue.send(
            json.dumps({"to": to, "subject": "s", "message": "m"}), channel="email", type="plaintext"
        )
    mailbox_setup.queue.send("not JSON")

    mailbox_setup.listen(lambda: len(mailbox_setup.queue) == 2)

    assert sorted(mailbox_setup.kept) == ["ada@users.test", "nobody"]
    assert [body for body in mailbox_setup.queue.bodies if "ada" in body] == []


def test_what_is_sent_again_goes_by_a_run_of_its_own(mailbox_setup: Desk, engine: Engine) -> None:
    """The order that the resend wrote is enough: nobody starts the run."""
    batch_id = mailbox_setup.office.batch(3, now=now())
    mailbox_setup.office.provider.answers.append(Refused("refused", code=550))
    mailbox_setup.order(batch_id, now())
    mailbox_setup.listen(mailbox_setup.empty)
    outbox = SqlOutbox(engine)

    resent = outbox.resend_batch(None, batch_id, by="ada", now=now())
    assert resent is not None
    [order] = [one for one in outbox.take(most=10, now=now(), until=now()) if one.due_at == resent.due_at]
    mailbox_setup.queue.post([order_body(order)])
    mailbox_setup.listen(mailbox_setup.empty)

    assert resent.messages == 1
    assert {run.state.type for run in runs_of(batch_id) if run.state} == {"COMPLETED"}
    assert len(runs_of(batch_id)) == 2
    assert mailbox_setup.office.statuses() == ["dispatched"] * 3
    assert len(mailbox_setup.office.provider.accepted) == len(set(mailbox_setup.office.provider.accepted)) == 3
