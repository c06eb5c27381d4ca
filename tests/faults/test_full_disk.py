"""R18 on a disk that is really full: PostgreSQL's own errors, not simulated ones."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mailroom.adapters.postgres.engine import make_engine, migrate
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import Arrival
from mailroom.ports.ledger import Lease
from tests.support.inbound_listener import QUICK, Desk, from_ses, ref
from tests.support.small_disk import SmallDisk, is_permitted, small_disk

pytestmark = pytest.mark.skipif(not is_permitted(), reason="this user may not mount a disk of their own")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small disk with PostgreSQL and our schema on it."""
    with small_disk(tmp_path) as made:
        migrate(made.url)
        yield made


def test_r18_mail_waits_in_the_queue_until_there_is_room_again(disk: SmallDisk) -> None:
    """Only what is written is acknowledged; freeing space is all that an operator has to do."""
    engine = make_engine(disk.url)
    desk = Desk(SqlLedger(engine))
    desk.queue.send(from_ses())
    now = datetime.now(UTC)

    disk.fill()
    with pytest.raises(TransientError) as refused:
        desk.ledger.register(Arrival(ref()), now=now, claim=Lease("this", now))
    desk.listen(desk.left(QUICK.retry_after_s))
    ran, waiting = list(desk.executor.ran), len(desk.queue)
    disk.make_room()
    desk.clock.now += QUICK.retry_after_s + 1
    desk.listen(desk.empty)

    assert refused.value.facts["sqlstate"] == "53100"
    assert (ran, waiting) == ([], 1)
    assert desk.executor.ran == ["abc123"]
    engine.dispose()
