"""A restored database under the real flows: sweep, relay and a run of `send-batch` send none of its batches again."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from blocks.outbound import OrderPorts
from flows import send_batch as flows_outbound
from flows import sweep_outbound as sweeping
from mailroom.adapters.postgres.operations.dumps import dump
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.outbound.dispatching import Outbound
from mailroom.outbound.outbox_relay import relay
from mailroom.testing.counter import MemoryCounter
from tests.support.mailbox_listener import Desk
from tests.support.sending import office_on
from tests.support.tampering import restored


@pytest.fixture
def mailbox_setup(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    restores = SqlRestores(engine, MemoryCounter(), beat_s=0)
    with office_on(engine) as outbound_side:
        outbound_side.outbound.dispatch = SqlDispatch(engine, restores)

        async def opened() -> Outbound:
            return outbound_side.outbound

        async def orders() -> OrderPorts:
            restores.look()
            return OrderPorts(SqlOutbox(engine, restores), SqlOrderRuns(engine))

        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        monkeypatch.setattr(sweeping, "open_orders", orders)
        restores.start()
        yield Desk(outbound_side)


def test_sweep_relay_and_run_send_nothing_of_a_restored_database_again(
    mailbox_setup: Desk, database_url: str, tmp_path: Path
) -> None:
    """The sweep's order once led to a second mail; now only a person's resume sends."""
    now, outbound_side = datetime.now(UTC), mailbox_setup.office
    outbox = SqlOutbox(outbound_side.engine, SqlRestores(outbound_side.engine, MemoryCounter()))
    batch_id = outbound_side.batch(5, now=now - timedelta(hours=1))
    dump(database_url, tmp_path / "dump")
    relay(outbox, mailbox_setup.queue, now=now)
    mailbox_setup.listen(mailbox_setup.empty)
    assert len(outbound_side.provider.accepted) == 5

    restored(database_url, tmp_path / "dump")
    swept = asyncio.run(sweeping.sweep_outbound(return_state=True))
    relay(outbox, mailbox_setup.queue, now=datetime.now(UTC))
    mailbox_setup.order(batch_id, datetime.now(UTC))
    mailbox_setup.listen(mailbox_setup.empty)

    assert swept.message == "queued 0 batches again"
    assert len(outbound_side.provider.accepted) == 5
    assert outbound_side.statuses() == ["held"] * 5

    outbox.resume(None, batch_id, by="ada", now=datetime.now(UTC))
    relay(outbox, mailbox_setup.queue, now=datetime.now(UTC))
    mailbox_setup.listen(mailbox_setup.empty)
    assert set(Counter(outbound_side.provider.accepted).values()) == {2}
