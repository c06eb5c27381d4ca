"""Messages that are held: nothing of them is sent until a person resumes or cancels their batch.

    waiting ── a restored database, a run that is gone ──> held ── resume ──> queued, or scheduled until its time
                                                            ├── cancel ──> cancelled
                                                            └── a provider's event ──> delivered, bounced, ...

A held message keeps its time; one that has expired meanwhile expires as usual once it is resumed.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from mailroom.domain.outbound.reasons import OutboundReason


class HoldReason(StrEnum):
    """Why a message is held. Stable words: they are the message's `reason`, and a label of metrics."""

    #: The database was restored: what waits in it may have been sent after the dump.
    RESTORED = "restored"
    #: The run that was to send it is not on the Prefect server any more.
    RUN_GONE = "run_gone"

    @property
    def sentence(self) -> str:
        """What it means, for people."""
        return OutboundReason[self.name].sentence

    @property
    def remedy(self) -> str:
        """What to do."""
        return OutboundReason[self.name].remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBatch:
    """What is held of one batch for one reason: how many messages, since when, and from when on they may go."""

    id: str
    tenant: str
    reason: HoldReason
    messages: int
    held_at: datetime
    due_at: datetime
    expires_at: datetime | None
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        times = ("held_at", "due_at", "expires_at", "created_at")
        values = {name: value.isoformat() if (value := getattr(self, name)) else None for name in times}
        return {
            "id": self.id,
            "tenant": self.tenant,
            "reason": self.reason.value,
            "messages": self.messages,
            "why": self.reason.sentence,
            "what_to_do": self.reason.remedy,
            **values,
        }


@dataclass(frozen=True, slots=True)
class HeldCount:
    """How much is held for one reason."""

    batches: int
    messages: int


class Holds(Protocol):
    """Holds what waits, and lets it go on."""

    def hold(self, batch_ids: Collection[str], *, reason: HoldReason, now: datetime) -> int:
        """Hold everything that waits of these batches, and return how many messages that is.

        What is held already keeps its reason; what is at a provider, or may be, stays as it is.
        """

    def resume(self, tenant: str | None, batch_id: str, *, by: str, now: datetime) -> int | None:
        """Let what is held of a batch go on, with its orders in the same transaction, and return how many messages.

        Each goes at its time, or now where that has passed. The activity of each says who resumed it. None: this tenant
        has no such batch.
        """

    def held(self, tenant: str | None, *, reason: HoldReason | None = None, limit: int) -> list[HeldBatch]:
        """Return the batches that have held messages, those that were to go first before the others."""

    def held_count(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason; a reason that holds nothing is not there."""
