"""A run that was made for an earlier order of the same time: whether its cancel still counts."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelled, Scheduled
from sqlalchemy import Engine

from deployments.worker.decisions import Decisions
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.mailbox import BatchOrder
from tests.support.sending import office_on

HOUR = timedelta(hours=1)


@pytest.mark.parametrize(("ago", "again"), [(HOUR, True), (-HOUR, False), (None, False)])
def test_a_cancel_counts_unless_the_batch_was_ordered_since(engine: Engine, ago: timedelta | None, again: bool) -> None:
    """Moved away from its time and back again, a batch waited for another run when this one was cleaned up."""
    nobody: Any = None
    runs, now = SqlOrderRuns(engine), datetime.now(UTC)
    decisions = Decisions(nobody, outbox=SqlOutbox(engine), runs=runs, ledger=SqlLedger(engine))
    with office_on(engine) as office:
        due_at = now + 3 * HOUR
        batch_id = office.batch(1, now=now, send_at=due_at)
    state = Scheduled(scheduled_time=due_at) if ago is None else Cancelled()
    if ago is not None:
        state.timestamp = now - ago
    run = FlowRun(id=uuid4(), flow_id=uuid4(), state=state)

    since = asyncio.run(decisions.ordered_since(BatchOrder(batch_id, due_at, Lane.TRANSACTIONAL), run))

    assert (since is not None) == again
    assert since == (runs.written_at(batch_id, due_at) if again else None)
