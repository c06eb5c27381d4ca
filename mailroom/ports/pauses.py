"""Pauses of a provider's account, or of one sender's domain at it: shared by all workers, ended by a probe.

    an account's or sender's fault, the day's quota ──> paused until its time ──> one worker sends one message
                                                              ^                        │           │
                                                              └── still refused ───────┘           └──> ended

No message fails by a pause: all wait, with the reason. Pauses of one sender's domain leave other senders alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.reasons import OutboundReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A pause of a provider's account (`identity`), or with `sender_domain` of that sender at it.

    `until` is when the next message is tried, a probe; `probes` is how many were refused. `code` is the provider's own.
    """

    identity: str
    provider: str
    sender_domain: str | None
    since: datetime
    until: datetime
    probes: int
    reason: OutboundReason
    code: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, with the reason's sentence and what to do."""
        return {
            "identity": self.identity,
            "provider": self.provider,
            "sender_domain": self.sender_domain,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "probes": self.probes,
            "code": self.code,
            "reason": self.reason.value,
            "why": self.reason.sentence,
            "what_to_do": self.reason.remedy,
        }


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a sender may send now. With `pause` it may not, until `resume_at`; with `probe` it sends one message first."""

    pause: Pause | None = None
    resume_at: datetime | None = None
    probe: bool = False


class Pauses(Protocol):
    """The pauses of all providers' accounts. Every call may raise `TransientError`."""

    def admit(self, identity: str, sender_domain: str, *, now: datetime, may_probe: bool = True) -> Admission:
        """Return whether this sender may send through this account now.

        When all its pauses are past their time, the first caller with `may_probe` probes; the others wait for the result.
        """

    def begin(
        self, error: MailroomError, *, identity: str, provider: str, sender_domain: str, now: datetime
    ) -> Pause | None:
        """Pause the account, or the sender's domain, for this error, or prolong its pause if its time has come.

        Returns the pause as it is then; None for an error that pauses nothing.
        """

    def end(self, identity: str, sender_domain: str | None, *, now: datetime) -> bool:
        """End the pause of the sender's domain, or with None of the account, if its time has come; return whether there was one."""

    def postpone(self, identity: str, sender_domain: str, *, until: datetime, now: datetime) -> None:
        """Move the pauses that a probe could not decide to `until`."""

    def probe_now(self, identity: str, sender_domain: str | None, *, now: datetime) -> int | None:
        """Make the next probe due, and the batches that wait for it; return how many batches, None where nothing is paused."""

    def all(self) -> Sequence[Pause]:
        """Return all pauses, by identity."""
