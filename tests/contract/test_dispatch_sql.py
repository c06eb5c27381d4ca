"""From the outbox to a provider on PostgreSQL: each message once, whatever the events and their order."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    PermanentError,
    Refused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.message import Batch, Content, Draft, Party, Status
from mailroom.domain.outbound.quotas import Allowance, Period
from mailroom.ports.dispatch import Claimed, Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.ports.suppressions import Suppression

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)
CONTENT = Content(subject="Your invoice", text="It is attached.", html=None)


@pytest.fixture
def dispatch(engine: Engine) -> SqlDispatch:
    return SqlDispatch(engine)


def submitted(engine: Engine, count: int = 3, **changes: Any) -> str:
    batch = Batch(**{"id": str(uuid4()), "tenant": "acme", "from_": Party("desk@acme.test")} | changes)
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(count)]
    return SqlOutbox(engine).accept(batch, [CONTENT], drafts, now=NOW).batch_id


def claimed(dispatch: SqlDispatch, batch_id: str, most: int = 10, now: datetime = NOW) -> list[Claimed]:
    return dispatch.claim(batch_id, most=most, provider="ses", now=now)


def outcomes(
    claims: Sequence[Claimed], result: ProviderReceipt | MailroomError, retry_at: datetime | None = None
) -> list[Outcome]:
    return [Outcome(claim.draft.id, claim.attempt, result, retry_at) for claim in claims]


def values(engine: Engine, statement: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(statement)).scalars())


def statuses(engine: Engine) -> list[str]:
    return values(engine, "select status from message order by number")


def test_what_is_claimed_is_sending_before_anybody_is_called(dispatch: SqlDispatch, engine: Engine) -> None:
    """A worker that dies during the call leaves a message that may have been sent, and says so."""
    batch_id = submitted(engine)

    claims = claimed(dispatch, batch_id, most=2)

    assert [claim.draft.to.address for claim in claims] == ["u0@users.test", "u1@users.test"]
    assert [(claim.content, claim.attempt) for claim in claims] == [(CONTENT, 1)] * 2
    assert statuses(engine) == [Status.SENDING, Status.SENDING, Status.ACCEPTED]


def test_many_workers_claim_each_message_once(dispatch: SqlDispatch, engine: Engine) -> None:
    """Two runs of one batch, by mistake or by a takeover, must not send a mail twice."""
    batch_id = submitted(engine, 60)

    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda _: claimed(dispatch, batch_id, most=7), range(20)))

    ids = [claim.draft.id for some in claims for claim in some]
    assert len(ids) == len(set(ids)) == 60


def test_nothing_is_claimed_before_its_time(dispatch: SqlDispatch, engine: Engine) -> None:
    """A batch for tomorrow waits until tomorrow, even if it is run today."""
    batch_id = submitted(engine, send_at=LATER)

    assert claimed(dispatch, batch_id) == []
    assert len(claimed(dispatch, batch_id, now=LATER)) == 3


@pytest.mark.parametrize(
    ("result", "status"),
    [
        (ProviderReceipt("ses", "0100-1"), Status.DISPATCHED),
        (Throttled("slow down"), Status.QUEUED),
        (DailyQuota("no more today"), Status.DEFERRED),
        (Paused("stopped"), Status.QUEUED),
        (TransientError("no connection"), Status.QUEUED),
        (OutcomeUnknown("the answer was lost"), Status.UNKNOWN),
        (Refused("no such mailbox", code=550), Status.REJECTED),
        (PermanentError("a template that fails"), Status.FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, (ProviderReceipt, MailroomError)) else str(value),
)
def test_every_outcome_has_its_status(
    dispatch: SqlDispatch, engine: Engine, result: ProviderReceipt | MailroomError, status: Status
) -> None:
    """The class of the error alone decides what happens next."""
    batch_id = submitted(engine, 1)

    dispatch.settle(outcomes(claimed(dispatch, batch_id), result, LATER), now=NOW)

    assert statuses(engine) == [status]
    assert values(engine, "select kind from activity order by id")[-1] == status
    again = claimed(dispatch, batch_id, now=LATER)
    assert [claim.attempt for claim in again] == ([2] if status in (Status.QUEUED, Status.DEFERRED) else [])


def test_an_event_that_came_before_the_answer_keeps_its_status(dispatch: SqlDispatch, engine: Engine) -> None:
    """The provider's webhook may be faster than its response; the response still has the provider's id."""
    claims = claimed(dispatch, submitted(engine, 1))
    with engine.begin() as connection:
        connection.execute(text("update message set status = 'delivered'"))

    dispatch.settle(outcomes(claims, ProviderReceipt("ses", "0100-1")), now=NOW)

    assert statuses(engine) == [Status.DELIVERED]
    assert values(engine, "select provider_message_id from message") == ["0100-1"]


def test_the_outcome_of_an_older_attempt_changes_nothing(dispatch: SqlDispatch, engine: Engine) -> None:
    """A worker that was thought dead and reports its outcome late must not undo what was decided meanwhile."""
    batch_id = submitted(engine, 1)
    late = claimed(dispatch, batch_id)
    dispatch.strand(before=LATER, now=LATER)
    dispatch.resend([late[0].draft.id], now=LATER)
    claimed(dispatch, batch_id, now=LATER)

    dispatch.settle(outcomes(late, TransientError("no connection")), now=LATER)

    assert statuses(engine) == [Status.SENDING]


def test_messages_leased_by_a_dead_worker_are_unknown_and_not_resent(dispatch: SqlDispatch, engine: Engine) -> None:
    """It may have gone. Honest is to say so; sending again is a decision."""
    batch_id = submitted(engine, 2)
    claims = claimed(dispatch, batch_id, most=1)

    assert dispatch.strand(before=NOW, now=LATER) == 0
    assert dispatch.strand(before=LATER, now=LATER) == 1

    assert statuses(engine) == [Status.UNKNOWN, Status.ACCEPTED]
    assert [claim.draft.number for claim in claimed(dispatch, batch_id, now=LATER)] == [1]
    lost = dispatch.unknown(before=LATER, limit=10)
    assert [(one.message_id, one.provider, one.attempt) for one in lost] == [(claims[0].draft.id, "ses", 1)]


def test_an_unknown_message_is_sent_again_only_while_it_is_unknown(dispatch: SqlDispatch, engine: Engine) -> None:
    """The event that settles it may come between query and decision."""
    batch_id = submitted(engine, 2)
    claims = claimed(dispatch, batch_id)
    dispatch.settle(outcomes(claims[:1], OutcomeUnknown("the answer was lost")), now=NOW)
    dispatch.settle(outcomes(claims[1:], ProviderReceipt("ses", "0100-2")), now=NOW)

    assert dispatch.resend([claim.draft.id for claim in claims], now=LATER) == 1

    assert [claim.draft.number for claim in claimed(dispatch, batch_id, now=LATER)] == [0]


def test_a_suppressed_address_gets_nothing_even_when_it_was_suppressed_after_the_plan(
    dispatch: SqlDispatch, engine: Engine
) -> None:
    """A complaint about the first mails of a batch counts for the rest of it."""
    batch_id = submitted(engine, 3)
    suppressions = SqlSuppressions(engine)
    suppressions.add([Suppression(address="u0@users.test", reason="bounced", since=NOW)])

    planned = dispatch.plan(batch_id, now=NOW)
    suppressions.add([Suppression(address="u1@users.test", reason="complained", tenant="acme", since=NOW)])
    claims = claimed(dispatch, batch_id, most=1)

    assert (planned.suppressed, planned.due) == (1, 2)
    assert [claim.draft.number for claim in claims] == [2]
    assert statuses(engine) == [Status.SUPPRESSED, Status.SUPPRESSED, Status.SENDING]


def test_another_tenants_suppression_and_one_that_ended_stop_nothing(dispatch: SqlDispatch, engine: Engine) -> None:
    """A suppression list belongs to its tenant, and an entry may have an end."""
    batch_id = submitted(engine, 2)
    ended = Suppression(address="u0@users.test", reason="bounced", since=NOW, expires_at=NOW)
    theirs = Suppression(address="u1@users.test", reason="bounced", tenant="umbrella", since=NOW)
    SqlSuppressions(engine).add([ended, theirs])

    assert len(claimed(dispatch, batch_id)) == 2


def test_an_expired_message_is_not_sent(dispatch: SqlDispatch, engine: Engine) -> None:
    """A code that is valid for ten minutes is useless after an outage of an hour."""
    batch_id = submitted(engine, 2, expires_at=LATER)
    first = claimed(dispatch, batch_id, most=1)

    assert claimed(dispatch, batch_id, now=LATER) == []

    assert len(first) == 1
    assert statuses(engine) == [Status.SENDING, Status.EXPIRED]


def test_what_is_over_the_quota_is_deferred_to_when_there_is_room(dispatch: SqlDispatch, engine: Engine) -> None:
    """Over quota means later, with a time; never failed or dropped, and no one has to release it."""
    SqlQuotas(engine).allow("acme", Allowance(hour=2, day=100))
    batch_id = submitted(engine, 5)
    next_hour = datetime(2026, 11, 22, 10, tzinfo=UTC)

    claims = [claimed(dispatch, batch_id, now=at) for at in (NOW, NOW, next_hour, next_hour)]

    assert [len(some) for some in claims] == [2, 0, 2, 0]
    assert statuses(engine) == [Status.SENDING] * 4 + [Status.DEFERRED]
    assert values(engine, "select due_at from message where status = 'deferred'") == [next_hour + timedelta(hours=1)]
    assert values(engine, "select due_at from outbox order by id") == [NOW, next_hour, next_hour + timedelta(hours=1)]
    assert SqlQuotas(engine).used("acme", now=next_hour) == {Period.HOUR: 2, Period.DAY: 4, Period.MONTH: 4}


def test_two_workers_never_use_the_same_quota(dispatch: SqlDispatch, engine: Engine) -> None:
    """The quota holds for the tenant, not for each worker."""
    SqlQuotas(engine).allow("acme", Allowance(day=10))
    batches = [submitted(engine, 8) for _ in range(3)]

    with ThreadPoolExecutor(6) as pool:
        claims = list(pool.map(lambda batch_id: claimed(dispatch, batch_id, most=3), batches * 4))

    assert sum(len(some) for some in claims) == 10


def test_unsent_messages_do_not_use_the_quota(dispatch: SqlDispatch, engine: Engine) -> None:
    """Attempts during an outage of the provider must not use up the day's quota."""
    batch_id = submitted(engine, 2)

    dispatch.settle(outcomes(claimed(dispatch, batch_id), TransientError("no connection")), now=NOW)

    assert SqlQuotas(engine).used("acme", now=NOW) == {Period.HOUR: 0, Period.DAY: 0, Period.MONTH: 0}


def test_an_unknown_batch_is_an_error(dispatch: SqlDispatch) -> None:
    """A run with a stale parameter fails with a reason and changes nothing."""
    with pytest.raises(LookupError):
        dispatch.plan(str(uuid4()), now=NOW)
    with pytest.raises(LookupError):
        claimed(dispatch, "no-id")
