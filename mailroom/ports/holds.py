"""Held messages: not sent until an operator or the tenant resumes or cancels their batch.

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

    #: The database was restored: waiting messages may have been sent after the dump.
    RESTORED = "restored"
    #: The flow run that was to send it is no longer on the Prefect server.
    RUN_GONE = "run_gone"

    @property
    def sentence(self) -> str:
        """What the reason means, in one sentence for people."""
        return OutboundReason[self.name].sentence

    @property
    def remedy(self) -> str:
        """What to do, for people."""
        return OutboundReason[self.name].remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBatch:
    """Messages of one batch that are held for one reason: how many, since when, and from when on they may be sent."""

    id: str
    tenant: str
    reason: HoldReason
    messages: int
    held_at: datetime
    due_at: datetime
    expires_at: datetime | None
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
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
    """Numbers of batches and messages held for one reason."""

    batches: int
    messages: int


class Holds(Protocol):
    """Holds waiting messages, and resumes them."""

    def hold(self, batch_ids: Collection[str], *, reason: HoldReason, now: datetime) -> int:
        """Hold the waiting messages of these batches, and return how many.

        Messages that are held already keep their reason; those that a provider has, or may have, are left unchanged.
        """

    def resume(self, tenant: str | None, batch_id: str, *, by: str, now: datetime) -> int | None:
        """Resume the held messages of a batch, with its orders in the same transaction, and return how many.

        Each is sent at its time, or now if that has passed; its activity names `by`. None: this tenant has no such batch.
        """

    def held(self, tenant: str | None, *, reason: HoldReason | None = None, limit: int) -> list[HeldBatch]:
        """Return the batches that have held messages, by due time, earliest first."""

    def held_count(self) -> Mapping[HoldReason, HeldCount]:
        """Return how many batches and messages are held, by reason; reasons with none are left out."""
