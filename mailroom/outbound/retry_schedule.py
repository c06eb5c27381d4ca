"""The retry schedules of sending: a batch's, after a round of calls with transient errors, and a single message's.

How long a batch sends nothing:

    permits expired before their call      1 s
    a part of the round failed             2 s
    the whole round failed                 2, 4, 8, 16, 30 s
    the 6th whole round in a row failed    5 minutes
    account paused                         15 minutes
    daily quota used up                    1 hour

Waits of up to 30 s have jitter, and are longer if the provider asks for it. A longer wait than LONGEST_WAIT_IN_RUN defers the
batch, with an order for that time.

A recipient's server that takes no mail for its recipient now (`RecipientUnavailable`) says nothing about the provider: only
that message waits, by `RecipientSchedule`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zlib import crc32

from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    Paused,
    PermitExpired,
    RecipientGaveUp,
    RecipientUnavailable,
    TransientError,
)
from mailroom.ports.dispatch import Claimed, Outcome
from mailroom.ports.provider import ProviderReceipt

#: The longest wait within a run; for a longer one the batch is deferred.
LONGEST_WAIT_IN_RUN = timedelta(seconds=30)
AFTER_DAILY_QUOTA = timedelta(hours=1)
WHEN_PAUSED = timedelta(minutes=15)
AFTER_OUTAGE = timedelta(minutes=5)
#: Failed rounds in a row that count as an outage.
FAILED_ROUNDS_OF_OUTAGE = 6
#: The waits between failed rounds are multiplied by a random number in this range.
JITTER = 0.5, 1.0
AFTER_EXPIRED_PERMITS = timedelta(seconds=1)

#: The waits after the first answers of a recipient's server that takes no mail now; the last one is repeated.
RECIPIENT_DELAYS = tuple(timedelta(minutes=minutes) for minutes in (5, 15, 30, 60, 120, 240, 360))
#: Such a wait is longer by a random part of up to this share of it, and never shorter: greylists count seconds.
RECIPIENT_JITTER = 0.2
#: A server that requests a longer wait requests this one, so that no answer overflows a time.
_LONGEST_REQUESTED = timedelta(days=366)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def wait_after(
    results: Sequence[ProviderReceipt | MailroomError], *, failed_rounds: int, counts: bool, jitter: float
) -> tuple[timedelta, int]:
    """Return how long to send nothing after a round with these results, and the number of failed rounds in a row.

    `counts` is False if an overlapping round has counted the same errors.
    """
    # The provider works if recipients' servers answer through it; whether it is in trouble, only the other results say.
    results = [one for one in results if not isinstance(one, RecipientUnavailable)]
    if not results:
        return timedelta(), 0
    # A permit that expired before its call began says nothing about the provider.
    if all(isinstance(one, PermitExpired) for one in results):
        return AFTER_EXPIRED_PERMITS, failed_rounds
    troubles = [one for one in results if isinstance(one, TransientError) and not isinstance(one, PermitExpired)]
    if any(isinstance(one, DailyQuota) for one in troubles):
        return AFTER_DAILY_QUOTA, failed_rounds
    if any(isinstance(one, Paused) for one in troubles):
        return WHEN_PAUSED, failed_rounds
    if len(troubles) < len(results):
        failed_rounds = 0
    elif counts:
        failed_rounds += 1
    if not troubles:
        return timedelta(), failed_rounds
    requested_wait = timedelta(seconds=max(float(one.facts.get("retry_after_s") or 0) for one in troubles))
    if failed_rounds >= FAILED_ROUNDS_OF_OUTAGE:
        return max(AFTER_OUTAGE, requested_wait), 0
    backoff = min(LONGEST_WAIT_IN_RUN.total_seconds(), 2.0 ** max(1, failed_rounds)) * jitter
    return max(requested_wait, timedelta(seconds=backoff)), failed_rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientSchedule:
    """When a message is tried again that its recipient's server does not take now.

        after the 1st, 2nd, 3rd ... such answer    5, 15, 30 minutes, 1, 2, 4 hours, then each 6 hours
        `give_up_after` the first of them          the last try; if that is refused too, the message has failed
        at the batch's `expires_at`, if earlier    the message expires

    Times are rounded up to some that the messages of a batch share (`grid`, or a twelfth of the wait if that is longer), so
    that thousands of messages wait for a few runs. They differ between batches, whose runs would all begin together.
    """

    delays: tuple[timedelta, ...] = RECIPIENT_DELAYS
    give_up_after: timedelta = timedelta(days=4)
    grid: timedelta = timedelta(minutes=5)

    def next_try(self, claim: Claimed, *, now: datetime, requested_wait: timedelta, jitter: float) -> datetime | None:
        """Return when to try again, or when the batch expires if that comes first; None: this was the last try.

        Args:
            claim: The attempt that ended now.
            now: When it ended.
            requested_wait: The shortest wait by the server's answer.
            jitter: From 0 to 1.
        """
        delay = self.delays[min(claim.refusals, len(self.delays) - 1)]
        grid = max(1, delay // (12 * self.grid)) * self.grid
        origin = _EPOCH + timedelta(seconds=crc32(claim.batch.id.encode())) % self.grid
        earliest = now + max(delay * (1 + RECIPIENT_JITTER * jitter), requested_wait)
        due = origin - (origin - earliest) // grid * grid
        end = (claim.first_refused_at or now) + self.give_up_after
        expires_at = claim.batch.expires_at
        if expires_at is not None and expires_at <= min(due, end):
            return expires_at
        if due <= end:
            return due
        last = origin + (end - origin) // grid * grid
        return last if last - now >= max(self.delays[0], requested_wait) else None


def recipient_outcome(
    claim: Claimed, answer: RecipientUnavailable, *, schedule: RecipientSchedule, now: datetime, jitter: float
) -> Outcome:
    """Return the outcome of an attempt that ended with this answer: another try, or the end of the tries."""
    retry_at = schedule.next_try(claim, now=now, requested_wait=_requested_wait(answer), jitter=jitter)
    if retry_at is not None:
        return Outcome(claim.draft.id, claim.attempt, answer, retry_at)
    since = (claim.first_refused_at or now).isoformat(timespec="seconds")
    facts = answer.facts | {"tries": claim.refusals + 1, "since": since}
    return Outcome(claim.draft.id, claim.attempt, RecipientGaveUp("the recipient's server took no mail", **facts))


def _requested_wait(answer: RecipientUnavailable) -> timedelta:
    """Return the wait that the answer requests; a value that is no time requests none."""
    try:
        seconds = float(answer.facts.get("retry_after_s") or 0)
    except (TypeError, ValueError):
        return timedelta()
    return timedelta(seconds=min(seconds, _LONGEST_REQUESTED.total_seconds())) if seconds > 0 else timedelta()
