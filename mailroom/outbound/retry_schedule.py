"""The retry schedule of sending: how long a batch sends nothing after a round of calls with transient errors.

    permits expired before their call      1 s
    a part of the round failed             2 s
    the whole round failed                 2, 4, 8, 16, 30 s
    the 6th whole round in a row failed    5 minutes
    account paused                         15 minutes
    daily quota used up                    1 hour

Waits of up to 30 s have jitter, and are longer if the provider asks for it. A longer wait than LONGEST_WAIT_IN_RUN defers the
batch, with an order for that time.
"""

from collections.abc import Sequence
from datetime import timedelta

from mailroom.domain.errors import DailyQuota, MailroomError, Paused, PermitExpired, TransientError
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


def wait_after(
    results: Sequence[ProviderReceipt | MailroomError], *, failed_rounds: int, counts: bool, jitter: float
) -> tuple[timedelta, int]:
    """Return how long to send nothing after a round with these results, and the number of failed rounds in a row.

    `counts` is False if an overlapping round has counted the same errors.
    """
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
