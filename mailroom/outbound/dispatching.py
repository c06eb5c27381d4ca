"""Dispatch of a batch: permits of the rate limit, a claim of due messages, one call to the provider each, the outcomes.

    wait for permits ─> claim (`sending`, committed) ─> render ─> provider, once ─> settle
                                                                     │
               throttled, unreachable: retried later ────────────────┤
               this recipient not now: the message is deferred ──────┤
               daily quota used up, paused: the batch is deferred ───┘   nothing is dropped

A pause of the provider's account, or of the sender at it, stops all batches that it concerns until its time has come; then
one message of one batch is sent first (`mailroom.outbound.pausing`).

An open circuit breaker stops the batch until an operator closes it; it is checked before each round, and bounces since the
last round may open it.

Permits come before the claim, so that a message is `sending` only for the moment until its permit. A killed worker leaves
only the messages of its current round `sending`; `mailroom.outbound.unknown_outcomes` resolves them.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mailroom.crash_points import crash_point
from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    PermanentError,
    PermitExpired,
    RecipientUnavailable,
    SenderRefused,
    TransientError,
)
from mailroom.domain.outbound.message import Lane, Outgoing
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.outbound.dispatch_result import DispatchResult
from mailroom.outbound.pausing import ProviderGate, RefusalCount, waiting_reason
from mailroom.outbound.rendering import outgoing
from mailroom.outbound.retry_schedule import (
    AFTER_DAILY_QUOTA,
    JITTER,
    LONGEST_WAIT_IN_RUN,
    WHEN_PAUSED,
    RecipientSchedule,
    recipient_outcome,
    wait_after,
)
from mailroom.outbound.return_paths import WithReturnPaths
from mailroom.outbound.sent_content import digests_of
from mailroom.outbound.sign_in_mail import WithSignInLinks
from mailroom.ports.archive import Archive
from mailroom.ports.breakers import Breakers
from mailroom.ports.dispatch import Claimed, Dispatch, Outcome
from mailroom.ports.pauses import Admission, Pauses
from mailroom.ports.provider import MailProvider, ProviderReceipt
from mailroom.ports.rate import Permit, Rate

log = logging.getLogger(__name__)

#: Concurrent calls to a provider, for one batch.
SENDER_THREADS = 32
#: Calls of each sender thread in one round, at least: with fewer, all threads wait for the slowest and for the database.
_CALLS_PER_THREAD = 4
#: Rounds of a batch that overlap: while one claims or settles, the other sends, so the rate does not wait for the database.
_OVERLAPPING_ROUNDS = 2
#: How long the first mail of a call waits for others, where a provider takes several per call. Its slot is idle as long.
_GATHER_S = 0.002
#: How long one call of `send_some` lasts: between calls, progress is shown, and a worker may stop.
_SLICE_S = 5.0
_SETTLE_TRIES = 8


@dataclass(slots=True, kw_only=True)
class Outbound:
    """The ports and settings that sending needs, opened.

    `sender_threads` calls the provider concurrently. `names` are the providers that `provider` sends by; by default itself.
    `leave_url` returns our unsubscribe link for a message id; `tracker` signs links and pixel of batches with tracking, where
    the provider does not track. `return_paths` gives each mail its envelope's sender, where bounces come by mail. `sign_in`
    puts the secret into mails with sign-in links, after the digest is taken. `pauses` are those of providers' accounts, shared by all workers. `checks` (`database`) raise if a port cannot be used now. `schedule` is
    that of messages whose recipients' servers take no mail for them now.
    """

    dispatch: Dispatch
    breakers: Breakers
    archive: Archive
    provider: MailProvider
    rate: Rate
    sender_threads: Executor
    names: frozenset[str] = frozenset()
    leave_url: Callable[[str], str] | None = None
    tracker: Tracker | None = None
    return_paths: WithReturnPaths | None = None
    sign_in: WithSignInLinks | None = None
    pauses: Pauses | None = None
    checks: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    schedule: RecipientSchedule = field(default_factory=RecipientSchedule)

    def __post_init__(self) -> None:
        """Default `names` to the provider itself."""
        self.names = self.names or frozenset({self.provider.name})


def _now() -> datetime:
    return datetime.now(UTC)


class Sender:
    """Sends one batch, some rounds at a time; it counts failed rounds in a row."""

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
        self._gate: ProviderGate | None = None
        self._refusals = RefusalCount(outbound.breakers, batch_id)
        self._failed_rounds = 0
        self._counting = threading.Lock()
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Make `send_some` return after the current round; may be called from any thread."""
        self._stopping.set()

    def send_some(self, due: int) -> DispatchResult:
        """Send for a few seconds; `due` is the known number of waiting messages."""
        tally, end = DispatchResult(), time.monotonic() + _SLICE_S
        self._outbound.dispatch.work_on(self.batch_id, now=self._clock())
        if not self._is_admitted(tally):
            return tally
        if due <= self._most():
            self._send_until(end, tally, due)
            return tally
        with ThreadPoolExecutor(_OVERLAPPING_ROUNDS, thread_name_prefix="round") as rounds:
            for one in [rounds.submit(self._send_until, end, tally, due) for _ in range(_OVERLAPPING_ROUNDS)]:
                one.result()
        return tally

    def _is_admitted(self, tally: DispatchResult) -> bool:
        """Return whether the batch may send now; if its turn is a probe, one message was sent and ended the pause."""
        if self._is_stopped(tally):
            return False
        admission = self._open_gate().admit(now=self._clock(), may_probe=True)
        if not admission.probe:
            return not self._is_paused(tally, admission)
        permits = self._outbound.rate.wait(1, lane=self.lane)
        try:
            if permits:
                self._take(permits, tally, probing=True)
        finally:
            self._give_back(permits)
        if not permits or tally.over:
            # Nothing was sent: another batch may probe at once.
            self._open_gate().give_up_probe(now=self._clock())
        return not self._is_over(tally)

    def _is_paused(self, tally: DispatchResult, found: Admission | None = None) -> bool:
        admission = found or self._open_gate().admit(now=self._clock(), may_probe=False)
        if admission.pause and admission.resume_at:
            self._put_off(tally, admission.resume_at, waiting_reason(admission.pause))
        return admission.pause is not None

    def _open_gate(self) -> ProviderGate:
        if self._gate is None:
            batch = self._outbound.dispatch.batch(self.batch_id)
            address = batch.from_.address if batch else ""
            self._gate = ProviderGate(self._outbound.pauses, self._outbound.provider, address)
        return self._gate

    def _send_until(self, end: float, tally: DispatchResult, due: int) -> None:
        most = self._most()
        while not self._is_over(tally) and time.monotonic() < end:
            if self._is_stopped(tally) or self._is_paused(tally):
                break
            left = max(1, due - tally.dispatched - tally.again - tally.deferred - len(tally.failures))
            permits = self._outbound.rate.wait(min(left, most), lane=self.lane)
            try:
                if permits:
                    self._take(permits, tally)
            finally:
                self._give_back(permits)

    def _most(self) -> int:
        return SENDER_THREADS * max(_CALLS_PER_THREAD, self._outbound.provider.capabilities.batch)

    def _is_over(self, tally: DispatchResult) -> bool:
        return tally.over or bool(tally.hold) or tally.resume_at is not None or self._stopping.is_set()

    def _is_stopped(self, tally: DispatchResult) -> bool:
        """Return whether a breaker is open, or the provider's quota already forbids sending; then the batch is deferred."""
        tally.broken = self._outbound.breakers.check(self.batch_id, now=self._clock())
        if tally.broken is not None:
            return True
        try:
            quota = self._outbound.provider.quota()
        except TransientError:
            return False
        if quota.paused:
            self._hold_by_quota(tally, Paused("the provider has paused this account"), WHEN_PAUSED)
        elif quota.per_day is not None and (quota.sent_today or 0) >= quota.per_day:
            self._hold_by_quota(tally, DailyQuota("the provider's daily quota is used up"), AFTER_DAILY_QUOTA)
        return tally.resume_at is not None

    def _hold_by_quota(self, tally: DispatchResult, error: MailroomError, wait: timedelta) -> None:
        now = self._clock()
        self._put_off(tally, now + (self._open_gate().hold([error], now=now) or wait), _reason([error]))

    def _take(self, permits: Sequence[Permit], tally: DispatchResult, *, probing: bool = False) -> None:
        dispatch, provider = self._outbound.dispatch, self._outbound.provider
        claims = dispatch.claim(
            self.batch_id,
            most=len(permits),
            provider=provider.name,
            now=self._clock(),
            run_id=self._run_id,
            probing=probing,
        )
        if not claims:
            tally.over = True
            return
        digests: dict[str, str] = {}
        results = send_claimed(claims, permits, self._outbound, digests)
        pause = self._open_gate().hold(results, now=self._clock(), probing=probing)
        with self._counting:
            hold, self._failed_rounds = wait_after(
                results, failed_rounds=self._failed_rounds, counts=not tally.hold, jitter=random.uniform(*JITTER)
            )
            hold = pause or hold
            if hold:
                hold = tally.hold = max(tally.hold, hold)
        retry_at = self._clock() + hold
        settled = self._refusals.checked(claims, results, now=self._clock())
        outcomes = [
            self._outcome(claim, result, retry_at, digests.get(claim.draft.id))
            for claim, result in zip(claims, settled, strict=True)
        ]
        self._settle(outcomes)
        with self._counting:
            tally.add(outcomes)
        if hold > LONGEST_WAIT_IN_RUN:
            self._put_off(tally, retry_at, _reason(results))
        elif hold:
            log.warning("batch %s pauses for %.1f s: %s", self.batch_id, hold.total_seconds(), _reason(results))
            tally.pause_s = max(tally.pause_s, hold.total_seconds())

    def _outcome(
        self, claim: Claimed, result: ProviderReceipt | MailroomError, retry_at: datetime, digest: str | None
    ) -> Outcome:
        if isinstance(result, RecipientUnavailable):
            schedule, jitter = self._outbound.schedule, random.random()
            return recipient_outcome(claim, result, schedule=schedule, now=self._clock(), jitter=jitter)
        again = retry_at if isinstance(result, TransientError) else None
        return Outcome(claim.draft.id, claim.attempt, result, again, sent_sha256=digest)

    def _put_off(self, tally: DispatchResult, until: datetime, reason: OutboundReason) -> None:
        """Defer due messages. Those just settled with a retry wait for the same time, so both share one order."""
        with self._counting:
            if tally.resume_at:
                return
            tally.resume_at, tally.reason = until, reason
        self._outbound.dispatch.defer(self.batch_id, until=until, reason=reason, now=self._clock())
        log.warning("batch %s is delayed until %s: %s", self.batch_id, until.isoformat(timespec="seconds"), reason)

    def _give_back(self, permits: Sequence[Permit]) -> None:
        """Give permits back; those that cannot be given back expire."""
        try:
            if permits:
                self._outbound.rate.give_back(permits)
        except MailroomError as error:
            log.warning("%d unused send permits cannot be returned: %s", len(permits), error)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        """Settle, with retries for half a minute while the database is down: unsettled messages would become `unknown`."""
        for trial in range(_SETTLE_TRIES):
            try:
                return self._outbound.dispatch.settle(outcomes, now=self._clock())
            except TransientError:
                if trial == _SETTLE_TRIES - 1:
                    raise
                time.sleep(min(8.0, 0.25 * 2**trial))
        raise AssertionError("settled or raised by now")


def send_claimed(
    claims: Sequence[Claimed],
    permits: Sequence[Permit],
    outbound: Outbound,
    digests: dict[str, str] | None = None,
) -> list[ProviderReceipt | MailroomError]:
    """Return the result of each claimed message, in order; nothing is raised once a message is `sending`.

    Each is sent at the time of its permit; there are at least as many `permits` as `claims`. `digests` is filled with the
    digest of each rendered mail, by message id.
    """
    try:
        mails: Sequence[Outgoing | MailroomError] = outgoing(
            claims,
            dispatch=outbound.dispatch,
            archive=outbound.archive,
            leave_url=outbound.leave_url,
            tracker=outbound.tracker,
            provider_tracks=outbound.provider.capabilities.tracks,
        )
        if digests is not None:
            digests.update(digests_of(mails))
        if outbound.sign_in is not None:
            mails = outbound.sign_in(mails, claims)
        if outbound.return_paths is not None:
            mails = outbound.return_paths(mails, claims)
    except TransientError as error:
        mails = [error] * len(claims)
    except Exception as error:  # noqa: BLE001 - nothing was sent yet: these are failed, not unknown
        mails = [PermanentError("the message cannot be rendered", kind=type(error).__name__)] * len(claims)
    results: list[ProviderReceipt | MailroomError | None] = [
        None if isinstance(one, Outgoing) else one for one in mails
    ]
    ready = [(number, one) for number, one in enumerate(mails) if isinstance(one, Outgoing)]
    calls: list[tuple[list[int], Future[list[ProviderReceipt | MailroomError]]]] = []
    for start, stop in _together(permits[: len(ready)], outbound.provider.capabilities.batch):
        numbers, going = [number for number, _ in ready[start:stop]], [mail for _, mail in ready[start:stop]]
        calls.append((numbers, outbound.sender_threads.submit(_call, outbound.provider, going, permits[start:stop])))
    for numbers, call in calls:
        for number, result in zip(numbers, call.result(), strict=True):
            results[number] = result
    return [one for one in results if one is not None]


def _together(permits: Sequence[Permit], most: int) -> Iterator[tuple[int, int]]:
    """Yield, when a permit's time has come, the range of permits for one call: it and those that are due by then.

    The wait is here, so that sender threads stay free for other batches.
    """
    start = 0
    while start < len(permits):
        moment = permits[start].at + (_GATHER_S if most > 1 else 0.0)
        time.sleep(max(0.0, moment - time.monotonic()))
        now, stop = time.monotonic(), start + 1
        while stop < min(len(permits), start + most) and permits[stop].at <= now:
            stop += 1
        yield start, stop
        start = stop


def _call(
    provider: MailProvider, mails: Sequence[Outgoing], permits: Sequence[Permit]
) -> list[ProviderReceipt | MailroomError]:
    began = time.monotonic()
    if began > min(permit.until for permit in permits):
        # This process was frozen: others have the permits, and may have these messages.
        return [PermitExpired("send permit expired")] * len(mails)
    for permit in permits:
        permit.began = began
    try:
        crash_point("before", "send to provider")
        answers = provider.send(mails)
        crash_point("after", "send to provider")
        for permit in permits:
            permit.ended = time.monotonic()
        return answers
    except Exception as error:  # noqa: BLE001 - a provider that breaks its contract may have sent
        log.error("provider %s raised %s", provider.name, type(error).__name__)
        lost = OutcomeUnknown(
            "the call to the provider was interrupted", provider=provider.name, kind=type(error).__name__
        )
        return [lost] * len(mails)


def _reason(results: Sequence[ProviderReceipt | MailroomError]) -> OutboundReason:
    kinds = {type(one) for one in results if isinstance(one, TransientError)}
    if DailyQuota in kinds:
        return OutboundReason.DAILY_QUOTA
    if SenderRefused in kinds:
        return OutboundReason.SENDER_REFUSED
    return OutboundReason.PAUSED if Paused in kinds else OutboundReason.PROVIDER_SLOW_OR_AWAY
