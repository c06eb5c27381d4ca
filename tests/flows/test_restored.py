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
from mailroom.adapters.postgres.operations.dumps import dump, restore
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.outbound.dispatching import Outbound
from mailroom.outbound.outbox_relay import relay
from mailroom.testing.counter import MemoryCounter
from tests.support.mailbox_listener import Desk
from tests.support.sending import office_on


@pytest.fixture
def desk(server: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    restores = SqlRestores(engine, MemoryCounter(), beat_s=0)
    with office_on(engine) as office:
        office.outbound.dispatch = SqlDispatch(engine, restores)

        async def opened() -> Outbound:
            return office.outbound

        async def orders() -> OrderPorts:
            restores.look()
            return OrderPorts(SqlOutbox(engine, restores), SqlOrderRuns(engine))

        monkeypatch.setattr(flows_outbound, "open_outbound", opened)
        monkeypatch.setattr(sweeping, "open_orders", orders)
        restores.start()
        yield Desk(office)


def test_sweep_relay_and_run_send_nothing_of_a_restored_database_again(
    desk: Desk, database_url: str, tmp_path: Path
) -> None:
    """The sweep's order once led to a second mail; now only a person's resume sends."""
    now, office = datetime.now(UTC), desk.office
    outbox = SqlOutbox(office.engine, SqlRestores(office.engine, MemoryCounter()))
    batch_id = office.batch(5, now=now - timedelta(hours=1))
    dump(database_url, tmp_path / "dump")
    relay(outbox, desk.queue, now=now)
    desk.listen(desk.empty)
    assert len(office.provider.accepted) == 5

    restore(database_url, tmp_path / "dump")
    swept = asyncio.run(sweeping.sweep_outbound(return_state=True))
    relay(outbox, desk.queue, now=datetime.now(UTC))
    desk.order(batch_id, datetime.now(UTC))
    desk.listen(desk.empty)

    assert swept.message == "queued 0 batches again"
    assert len(office.provider.accepted) == 5
    assert office.statuses() == ["held"] * 5

    outbox.resume(None, batch_id, by="ada", now=datetime.now(UTC))
    relay(outbox, desk.queue, now=datetime.now(UTC))
    desk.listen(desk.empty)
    assert set(Counter(office.provider.accepted).values()) == {2}
