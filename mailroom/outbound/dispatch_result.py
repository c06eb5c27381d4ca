"""The result of some rounds of sending, for the run that asked for them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mailroom.domain.errors import RecipientUnavailable, TransientError
from mailroom.domain.outbound.reasons import OutboundReason, outbound_reason
from mailroom.ports.breakers import Broken
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt


@dataclass(frozen=True, slots=True)
class Failure:
    """A message that was not sent, or whose outcome is unknown, and why: codes, no addresses."""

    message_id: str
    reason: OutboundReason
    what: str
    code: str

    @property
    def kind(self) -> str:
        """The reason's word of up to 0.1.0."""
        return self.reason.old


@dataclass(slots=True)
class DispatchResult:
    """The result of some rounds.

    `again` are tried again with the batch; `deferred` wait for their recipients' servers, each by its own schedule. `over` when
    nothing more is due. `hold` is how long not to call the provider after errors: the run waits `pause_s`, or the batch was
    deferred until `resume_at` for `reason`. `broken` is the circuit breaker that stopped it.
    """

    dispatched: int = 0
    again: int = 0
    deferred: int = 0
    failures: list[Failure] = field(default_factory=list)
    over: bool = False
    hold: timedelta = timedelta()
    pause_s: float = 0.0
    resume_at: datetime | None = None
    reason: OutboundReason | None = None
    broken: Broken | None = None

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Count the outcomes of one round."""
        for outcome in outcomes:
            result = outcome.result
            if isinstance(result, ProviderReceipt):
                self.dispatched += 1
            elif isinstance(result, RecipientUnavailable):
                self.deferred += 1
            elif isinstance(result, TransientError):
                self.again += 1
            else:
                code = result.facts.get("code") or result.facts.get("why") or ""
                self.failures.append(Failure(outcome.message_id, outbound_reason(result), result.message, str(code)))
