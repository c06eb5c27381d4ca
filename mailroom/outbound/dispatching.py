"""The sending itself: a turn of the rate, what is due for it, the provider once for each, and what came of it.

    wait for a turn ─> claim (`sending`, committed) ─> render ─> provider, once ─> settle
                                                                   │
               slow down, out of reach: later ─────────────────────┤
               the day's quota is used up, paused: all of it later ─┘   nothing is dropped

A circuit breaker that is open, or that what came back since the last turn opens, stops all of it until a person closes it.

The turn comes first, so that nothing is `sending` while it only waits. What a killed worker leaves `sending` is what
it had in hand in one turn, and `mailroom.outbound.settling` finds out about it.
"""

import logging
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mailroom.breaker import Breakers, Broken
from mailroom.crash import crash_point
from mailroom.domain.errors import DailyQuota, MailroomError, OutcomeUnknown, Paused, PermanentError, TransientError
from mailroom.domain.outbound import Lane, Outgoing
from mailroom.domain.tracked_links import Tracker
from mailroom.outbound.rendering import outgoing
from mailroom.ports import Archive
from mailroom.sending import Claimed, Dispatch, MailProvider, Outcome, Rate, Receipt

log = logging.getLogger(__name__)

#: How many calls to a provider are under way at once, for one batch.
HANDS = 32
#: How long one call of `send_some` goes on: in between, progress is shown, and a worker may stop.
_SLICE_S = 5.0
#: What is waited for with the batch in hand; longer than that, the batch comes back by an order of its own.
PATIENCE = timedelta(seconds=30)
_DAY_USED_UP = timedelta(hours=1)
_PAUSED = timedelta(minutes=15)
_OUT_OF_REACH = timedelta(minutes=5)
#: So many turns in a row that came to nothing are an outage.
_STRIKES = 6
_SETTLE_TRIES = 8


class Outbound:
    """Everything that sending needs, opened. `hands` calls the provider for several mails at once.

    No dataclass: Prefect walks through the dataclasses among a task's arguments.
    """

    def __init__(
        self,
        *,
        dispatch: Dispatch,
        breakers: Breakers,
        archive: Archive,
        provider: MailProvider,
        rate: Rate,
        hands: Executor,
        names: frozenset[str] = frozenset(),
        leave_url: Callable[[str], str] | None = None,
        tracker: Tracker | None = None,
    ) -> None:
        """Take the ports.

        Args:
            names: The providers that `provider` hands over to, where that is more than itself.
            leave_url: Makes our link to unsubscribe from a message's id.
            tracker: Signs links and pixel of batches that want to know their readers, where the provider tracks none.
        """
        self.dispatch, self.breakers, self.archive = dispatch, breakers, archive
        self.provider, self.rate, self.hands = provider, rate, hands
        self.names, self.leave_url = names or frozenset({provider.name}), leave_url
        self.tracker = tracker


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that will not go, or may have gone, and why: codes, no addresses."""

    message_id: str
    kind: str
    what: str
    code: str


@dataclass(slots=True)
class Tally:
    """What came of some turns.

    `over` when nothing more is due; `pause_s` is how long to wait before the next turns; `resume_at` is set where the
    rest of the batch was put off until then, for `reason`. `broken` is the circuit breaker that stopped it.
    """

    dispatched: int = 0
    again: int = 0
    failures: list[Failure] = field(default_factory=list)
    over: bool = False
    pause_s: float = 0.0
    resume_at: datetime | None = None
    reason: str = ""
    broken: Broken | None = None

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count what came of one turn."""
        for outcome in outcomes:
            result = outcome.result
            if isinstance(result, Receipt):
                self.dispatched += 1
            elif isinstance(result, TransientError):
                self.again += 1
            else:
                code = result.facts.get("code") or result.facts.get("why") or ""
                self.failures.append(Failure(outcome.message_id, type(result).__name__, result.message, str(code)))


def _now() -> datetime:
    return datetime.now(UTC)


class Sender:
    """Sends one batch, some turns at a time; it remembers how many turns in a row came to nothing."""

    def __init__(
        self,
        batch_id: str,
        lane: Lane,
        outbound: Outbound,
        *,
        run_id: str | None = None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.batch_id, self.lane, self._run_id = batch_id, lane, run_id
        self._outbound, self._clock = outbound, clock
        self._strikes = 0

    def send_some(self, due: int) -> Tally:
        """Send for a few seconds; `due` is how many messages wait, as far as is known."""
        tally, end = Tally(), time.monotonic() + _SLICE_S
        while not (tally.over or tally.pause_s or tally.resume_at) and time.monotonic() < end:
            if self._is_stopped(tally):
                break
            left = max(1, due - tally.dispatched - tally.again - len(tally.failures))
            most = min(left, HANDS * self._outbound.provider.capabilities.batch)
            turn = self._outbound.rate.wait(most, lane=self.lane)
            if turn:
                self._take_turn(turn, tally)
        return tally

    def _is_stopped(self, tally: Tally) -> bool:
        """Stop where a breaker is open; put the batch off where the provider says beforehand that it takes nothing."""
        tally.broken = self._outbound.breakers.check(self.batch_id, now=self._clock())
        if tally.broken is not None:
            return True
        try:
            quota = self._outbound.provider.quota()
        except TransientError:
            return False
        if quota.paused:
            self._put_off(tally, self._clock() + _PAUSED, "paused")
        elif quota.per_day is not None and (quota.sent_today or 0) >= quota.per_day:
            self._put_off(tally, self._clock() + _DAY_USED_UP, "daily_quota")
        return tally.resume_at is not None

    def _take_turn(self, turn: int, tally: Tally) -> None:
        dispatch, provider = self._outbound.dispatch, self._outbound.provider
        claims = dispatch.claim(
            self.batch_id, most=turn, provider=provider.name, now=self._clock(), run_id=self._run_id
        )
        if not claims:
            tally.over = True
            return
        results = hand_over(claims, self._outbound)
        hold = self._hold(claims, results)
        retry_at = self._clock() + hold
        outcomes = [
            Outcome(claim.draft.id, claim.attempt, result, retry_at if isinstance(result, TransientError) else None)
            for claim, result in zip(claims, results, strict=True)
        ]
        self._settle(outcomes)
        tally.add(outcomes)
        if hold > PATIENCE:
            self._put_off(tally, retry_at, _reason(results))
        elif hold:
            log.warning("batch %s waits %.1f s: %s", self.batch_id, hold.total_seconds(), _reason(results))
            tally.pause_s = hold.total_seconds()

    def _hold(self, claims: Sequence[Claimed], results: Sequence[Receipt | MailroomError]) -> timedelta:
        """Return how long nothing should be handed over after this turn."""
        troubles = [(claim, one) for claim, one in zip(claims, results, strict=True) if isinstance(one, TransientError)]
        if any(isinstance(one, DailyQuota) for _, one in troubles):
            return _DAY_USED_UP
        if any(isinstance(one, Paused) for _, one in troubles):
            return _PAUSED
        self._strikes = self._strikes + 1 if len(troubles) == len(results) else 0
        if not troubles:
            return timedelta()
        asked = max(float(one.facts.get("retry_after_s") or 0) for _, one in troubles)
        if self._strikes >= _STRIKES:
            self._strikes = 0
            return max(_OUT_OF_REACH, timedelta(seconds=asked))
        backoff = min(PATIENCE.total_seconds(), 2.0 ** max(1, self._strikes)) * random.uniform(0.5, 1)
        return timedelta(seconds=max(asked, backoff))

    def _put_off(self, tally: Tally, until: datetime, reason: str) -> None:
        """Put off what is due. What was just settled waits for the same time, so both have one order."""
        tally.resume_at, tally.reason = until, reason
        self._outbound.dispatch.defer(self.batch_id, until=until, reason=reason, now=self._clock())
        log.warning("batch %s goes on at %s: %s", self.batch_id, until.isoformat(timespec="seconds"), reason)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        """Settle; while the database is away, for half a minute: what is not settled would be `unknown`."""
        for trial in range(_SETTLE_TRIES):
            try:
                return self._outbound.dispatch.settle(outcomes, now=self._clock())
            except TransientError:
                if trial == _SETTLE_TRIES - 1:
                    raise
                time.sleep(min(8.0, 0.25 * 2**trial))
        raise AssertionError("settled or raised by now")


def hand_over(claims: Sequence[Claimed], outbound: Outbound) -> list[Receipt | MailroomError]:
    """Return what came of each claimed message, in order; nothing is raised once a message is `sending`."""
    try:
        mails: Sequence[Outgoing | MailroomError] = outgoing(
            claims,
            dispatch=outbound.dispatch,
            archive=outbound.archive,
            leave_url=outbound.leave_url,
            tracker=outbound.tracker,
            provider_tracks=outbound.provider.capabilities.tracks,
        )
    except TransientError as error:
        mails = [error] * len(claims)
    except Exception as error:  # noqa: BLE001 - nothing has left yet: these are failed, not unknown
        mails = [PermanentError("the message cannot be rendered", kind=type(error).__name__)] * len(claims)
    results: list[Receipt | MailroomError | None] = [None if isinstance(one, Outgoing) else one for one in mails]
    ready = [(at, one) for at, one in enumerate(mails) if isinstance(one, Outgoing)]
    size = outbound.provider.capabilities.batch
    groups = [ready[start : start + size] for start in range(0, len(ready), size)]
    answers = outbound.hands.map(lambda group: _call(outbound.provider, [mail for _, mail in group]), groups)
    for group, answer in zip(groups, answers, strict=True):
        for (at, _), result in zip(group, answer, strict=True):
            results[at] = result
    return [one for one in results if one is not None]


def _call(provider: MailProvider, mails: Sequence[Outgoing]) -> list[Receipt | MailroomError]:
    try:
        crash_point("before", "hand over")
        answers = provider.send(mails)
        crash_point("after", "hand over")
        return answers
    except Exception as error:  # noqa: BLE001 - a provider that breaks its contract may have sent
        log.error("provider %s raised %s", provider.name, type(error).__name__)
        lost = OutcomeUnknown("the provider's call broke off", provider=provider.name, kind=type(error).__name__)
        return [lost] * len(mails)


def _reason(results: Sequence[Receipt | MailroomError]) -> str:
    kinds = {type(one) for one in results if isinstance(one, TransientError)}
    if DailyQuota in kinds:
        return "daily_quota"
    return "paused" if Paused in kinds else "provider_slow_or_away"
