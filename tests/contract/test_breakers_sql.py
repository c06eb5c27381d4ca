"""The circuit breaker on PostgreSQL: reported events open it, and it stays open until a person closes it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.reputation import ReputationCounts, Trip
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.ports.breakers import Broken

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
CONTENT = Content(subject="News", text="There is some.", html=None)


@pytest.fixture
def breakers(engine: Engine) -> SqlBreakers:
    return SqlBreakers(engine)


def sent(
    engine: Engine,
    delivered: int,
    *,
    tenant: str = "acme",
    hard: int = 0,
    soft: int = 0,
    angry: int = 0,
    waiting: int = 0,
    at: datetime = NOW,
    batch_id: str | None = None,
) -> str:
    """Store messages with these outcomes in a batch, or in `batch_id`, and return its id."""
    ends = [("delivered", None)] * delivered + [("bounced", "bounced_hard")] * hard
    ends += [("bounced", "bounced_soft")] * soft + [("complained", None)] * angry + [("queued", None)] * waiting
    batch = Batch(id=str(uuid4()), tenant=tenant, from_=Party("desk@acme.test"))
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(len(ends))]
    SqlOutbox(engine).accept(batch, [CONTENT], drafts, now=at)
    with engine.begin() as connection:
        for draft, (status, reason) in zip(drafts, ends, strict=True):
            connection.execute(
                text("update message set status = :status, reason = :reason, handed_at = :at where id = :id"),
                {"status": status, "reason": reason, "at": None if status == "queued" else at, "id": draft.id},
            )
        if batch_id:
            move = "update message set batch_id = :old, reference = :new where batch_id = :new"
            connection.execute(text(move), {"old": batch_id, "new": batch.id})
    return batch_id or batch.id


def opened(breakers: SqlBreakers, batch_id: str, *, now: datetime = NOW) -> Broken:
    broken = breakers.check(batch_id, now=now)
    assert broken is not None
    return broken


def test_batch_that_bounces_is_stopped_and_says_by_what(breakers: SqlBreakers, engine: Engine) -> None:
    """A bought list shows in its first hundred; messages that were not sent do not count."""
    batch_id = sent(engine, 91, hard=9, waiting=500)

    broken = opened(breakers, batch_id)

    assert (broken.batch_id, broken.trip) == (batch_id, Trip.BOUNCES)
    assert broken.tally == ReputationCounts(sent=100, bounced=9)
    assert opened(breakers, batch_id, now=LATER) == broken
    assert breakers.of_batch(batch_id) == broken


@pytest.mark.parametrize(
    "came", [{"delivered": 92, "hard": 8}, {"delivered": 80, "soft": 20}, {"delivered": 9, "hard": 90}]
)
def test_batch_at_its_threshold_or_below_its_sample_continues(
    breakers: SqlBreakers, engine: Engine, came: dict[str, int]
) -> None:
    """A full mailbox is no sign of a bad list, and a few messages prove nothing."""
    batch_id = sent(engine, **came)

    assert breakers.check(batch_id, now=NOW) is None
    assert breakers.all(None, only_open=False, limit=10) == []


def test_many_small_batches_stop_their_own_tenant_only(breakers: SqlBreakers, engine: Engine) -> None:
    """The provider judges the account; a tenant could otherwise split its list into small batches."""
    for _ in range(10):
        last = sent(engine, 47, hard=3)
    other = sent(engine, 1, tenant="umbrella")

    broken = opened(breakers, last)

    assert (broken.batch_id, broken.tally) == (None, ReputationCounts(sent=500, bounced=30))
    assert opened(breakers, sent(engine, 0, waiting=1)) == broken
    assert breakers.check(other, now=NOW) is None


def test_tenant_is_judged_by_its_last_day(breakers: SqlBreakers, engine: Engine) -> None:
    """Last month's events were dealt with then."""
    batch_id = sent(engine, 460, hard=33, angry=7)

    assert breakers.check(batch_id, now=NOW + timedelta(days=2)) is not None
    assert breakers.check(sent(engine, 1), now=NOW + timedelta(days=2)) is None


def test_closed_breaker_counts_only_what_is_sent_afterwards(breakers: SqlBreakers, engine: Engine) -> None:
    """The person who closed it knew these bounces; only later ones count."""
    batch_id = sent(engine, 90, hard=10)
    broken = opened(breakers, batch_id)

    breakers.close(broken.id, by="ada", now=LATER)
    after = breakers.check(batch_id, now=LATER)
    sent(engine, 90, hard=10, at=LATER + timedelta(minutes=1), batch_id=batch_id)
    again = opened(breakers, batch_id, now=LATER + timedelta(minutes=2))

    assert after is None
    assert (again.id != broken.id, again.tally) == (True, ReputationCounts(sent=100, bounced=10))


def test_closing_returns_the_suspended_runs_and_who_closed_first(breakers: SqlBreakers, engine: Engine) -> None:
    """The runs are resumed; a repetition after a lost response gets the same result."""
    broken = opened(breakers, sent(engine, 90, hard=10))
    runs = sorted(str(uuid4()) for _ in range(2))
    for run in (*runs, runs[0]):
        breakers.hold(broken.id, run)

    first = breakers.close(broken.id, by="ada", now=LATER)
    second = breakers.close(broken.id, by="bob", now=LATER + timedelta(hours=1))

    assert first is not None
    assert (sorted(first.runs), first.closed_by, first.closed_at) == (runs, "ada", LATER)
    assert second == first
    assert breakers.close(str(uuid4()), by="ada", now=LATER) is None
    assert breakers.all("acme", only_open=True, limit=10) == []
    assert breakers.all("umbrella", only_open=False, limit=10) == []
    assert breakers.all("acme", only_open=False, limit=10) == [first]


def test_workers_that_open_it_at_once_open_one(breakers: SqlBreakers, engine: Engine) -> None:
    """Several runs of one tenant detect it in the same second; a person closes one breaker, once."""
    batch_id = sent(engine, 80, hard=20)

    with ThreadPoolExecutor(6) as pool:
        found = set(pool.map(lambda _: opened(breakers, batch_id).id, range(12)))

    assert len(found) == 1
