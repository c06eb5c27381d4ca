"""R18 on a disk that is really full: PostgreSQL's own errors, not simulated ones."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from mailroom.adapters.postgres.engine import make_engine, migrate
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.archive.sealing import give_to_witness, seal_journals, stamp_seals
from mailroom.audit.journals import Status
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.received_email import Arrival
from mailroom.ports.archive import Deposit
from mailroom.ports.ledger import Lease
from tests.support.archive_store import Store
from tests.support.inbound_listener import QUICK, Desk, from_ses, ref
from tests.support.sealed_journals import Installation
from tests.support.small_disk import SmallDisk, is_permitted, small_disk
from tests.support.two_places import FIRST, TwoPlaces, two_places

pytestmark = pytest.mark.skipif(not is_permitted(), reason="this user may not mount a disk of their own")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    """A small disk with PostgreSQL and our schema on it; each test leaves room on it."""
    with small_disk(tmp_path_factory.mktemp("disk")) as made:
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


def test_r18_what_cannot_be_recorded_is_no_deposit_and_no_seal_and_both_catch_up(disk: SmallDisk) -> None:
    """The buckets have room and the database has none: copies without a receipt are completed, a seal without a record is adopted."""
    engine = make_engine(disk.url)
    both = two_places(engine)
    one = Installation(Store(both.first, engine, FIRST), Store(two_places(engine).first, engine, FIRST))
    kept = [both.archive().deposit("acme", b"with room")]

    disk.fill()
    # Pages that are not full take some more receipts.
    refused = next(number for number in range(200) if not is_kept(both, number, kept))
    sealed = seal(one)
    disk.make_room()

    first, second = both.stored()
    assert {one for (one,) in both.rows("select archive_id from deposit")} == {one.archive_id for one in kept}
    # Besides the copies without a receipt, there are the seal and its entries.
    assert (len(first), len(second)) == (len(kept) + 3, len(kept) + 1)
    assert any("acme/life: the database cannot" in why for why in sealed)
    assert both.rows("select count(*) from seal") == [(0,)]

    assert is_kept(both, refused, kept)
    assert seal(one) == []
    assert len(both.stored()[1]) == len(kept)
    assert both.kinds() == ["deposit", "copy"] * len(kept)
    assert [both.archive().read(one.archive_id)[:4] for one in kept] == [b"with"] * len(kept)
    assert {check.status for check in one.check()} == {Status.PASS}
    engine.dispose()


def is_kept(both: TwoPlaces, number: int, kept: list[Deposit]) -> bool:
    """Deposit a content and return whether there is a receipt for it; a refusal says that the disk is full."""
    try:
        kept.append(both.archive().deposit("acme", b"without room %d" % number))
    except TransientError as error:
        if error.facts["sqlstate"] != "53100":
            raise
        return False
    return True


def seal(one: Installation) -> list[str]:
    """Run the steps of the flow `seal`, and return what failed."""
    now = datetime.now(UTC)
    return [why for step in (seal_journals, stamp_seals, give_to_witness) for why in step(one.ports, now=now).failed]
