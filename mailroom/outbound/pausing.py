"""The sending side of pauses and of rows of the same refusal: asked before a batch sends, and shown what it was answered."""

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from mailroom.domain.delivery.same_refusals import SentTo, refusal_of
from mailroom.domain.errors import DailyQuota, MailroomError, Paused, Refused, SenderRefused, TransientError
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.pauses import AFTER_NO_ANSWER, answers_for_its_mail
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.ports.breakers import Breakers
from mailroom.ports.dispatch import Claimed
from mailroom.ports.pauses import Admission, Pause, Pauses
from mailroom.ports.provider import MailProvider, ProviderReceipt

log = logging.getLogger(__name__)

#: How long an open gate counts as open, in seconds.
_OPEN_S = 1.0
Result = ProviderReceipt | MailroomError


class ProviderGate:
    """The pauses of one provider's account, for one batch. Without `pauses` it is always open."""

    def __init__(self, pauses: Pauses | None, provider: MailProvider, from_address: str) -> None:
        self._pauses, self._provider = pauses, provider
        self._domain = on_the_wire(from_address).rpartition("@")[2].lower()
        self._open_until = 0.0

    def admit(self, *, now: datetime, may_probe: bool) -> Admission:
        """Return whether the batch may send now; see `Pauses.admit`. Between rounds it is asked once a second."""
        if self._pauses is None or (not may_probe and time.monotonic() < self._open_until):
            return Admission()
        admission = self._pauses.admit(self._provider.identity, self._domain, now=now, may_probe=may_probe)
        if admission.pause is None and not admission.probe:
            self._open_until = time.monotonic() + _OPEN_S
        return admission

    def hold(self, results: Sequence[Result], *, now: datetime, probing: bool = False) -> timedelta:
        """Begin, prolong or end pauses by these results, and return how long the batch waits for them.

        Nothing is raised: the provider was called, and the results must be settled. What could not be stored is found again
        by the next call.
        """
        try:
            return self._hold_after_probe(results, now) if probing else self._hold(results, now)
        except MailroomError as error:
            log.warning("the pause of %s cannot be stored: %s", self._provider.name, error)
            return timedelta()

    def give_up_probe(self, *, now: datetime) -> None:
        """Give a probe back by which nothing was sent; the next caller probes. Nothing is raised."""
        if self._pauses is None:
            return
        try:
            self._pauses.postpone(self._provider.identity, self._domain, until=now, now=now)
        except MailroomError as error:
            log.warning("the probe of %s cannot be given back: %s", self._provider.name, error)

    def _hold(self, results: Sequence[Result], now: datetime) -> timedelta:
        faults = {type(one): one for one in results if isinstance(one, Paused | DailyQuota)}
        begun = [self._begin(error, now) for error in faults.values()]
        return max((pause.until - now for pause in begun if pause), default=timedelta())

    def _hold_after_probe(self, results: Sequence[Result], now: datetime) -> timedelta:
        if self._pauses is None:
            return timedelta()
        identity, result = self._provider.identity, results[0]
        answered = answers_for_its_mail(result)
        if answered or isinstance(result, SenderRefused):
            self._pauses.end(identity, None, now=now)
        if answered:
            self._pauses.end(identity, self._domain, now=now)
            log.info("provider %s accepts mail again", self._provider.name)
            return timedelta()
        if isinstance(result, Paused | DailyQuota):
            return self._hold(results, now)
        self._pauses.postpone(identity, self._domain, until=now + AFTER_NO_ANSWER, now=now)
        return AFTER_NO_ANSWER

    def _begin(self, error: MailroomError, now: datetime) -> Pause | None:
        if self._pauses is None:
            return None
        names = {"identity": self._provider.identity, "provider": self._provider.name}
        return self._pauses.begin(error, **names, sender_domain=self._domain, now=now)


class RefusalCount:
    """Counts the same refusal in a row for one batch; the breaker that it opens stops the batch."""

    def __init__(self, breakers: Breakers, batch_id: str) -> None:
        self._breakers, self._batch_id = breakers, batch_id
        #: Whether the last answers may be a row of refusals; a run before may have begun it.
        self._may_count = True

    def checked(self, claims: Sequence[Claimed], results: Sequence[Result], *, now: datetime) -> list[Result]:
        """Return the results to settle: what was refused the same way behind a full row goes back to wait for the operator."""
        outcomes = [
            SentTo(refusal_of(result), claim.draft.to.address.rpartition("@")[2].lower())
            for claim, result in zip(claims, results, strict=True)
        ]
        if not self._may_count and not any(one.refusal for one in outcomes):
            return list(results)
        try:
            counted = self._breakers.count_refusals(self._batch_id, outcomes, now=now)
        except MailroomError as error:
            # The provider was called: the results must be settled in any case.
            log.warning("the refusals of batch %s cannot be counted: %s", self._batch_id, error)
            return list(results)
        self._may_count = counted.is_counting
        if counted.full_at is None:
            return list(results)
        return [
            _back(result) if number >= counted.full_at and one.refusal == counted.answer else result
            for number, (one, result) in enumerate(zip(outcomes, results, strict=True))
        ]


def _back(result: Result) -> Result:
    if not isinstance(result, Refused):
        return result
    return TransientError("refused like the recipients before it, for which the batch was stopped", **result.facts)


def waiting_reason(pause: Pause) -> OutboundReason:
    """Return the word of messages that wait with their batch for this pause."""
    waiting = {
        OutboundReason.ACCOUNT_PAUSED: OutboundReason.PAUSED,
        OutboundReason.DAILY_QUOTA_REACHED: OutboundReason.DAILY_QUOTA,
    }
    return waiting.get(pause.reason, pause.reason)
