"""Delivery events of providers, applied to messages. Every call may raise `TransientError`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.delivery.events import DeliveryEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """The result of recording events: how many were new and matched, parked (message unknown), or recorded before."""

    matched: int = 0
    parked: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Counts of events whose message is unknown: `waiting` are tried again, `aged` no longer; `oldest` of those that wait."""

    waiting: int = 0
    aged: int = 0
    oldest: datetime | None = None


class Events(Protocol):
    """Stores verified delivery events, each once, and updates the status of their messages.

    An event matches only messages of its provider and recipient and, where the account belongs to one tenant, that tenant.
    Hard bounces, complaints and unsubscribes suppress the address in the same transaction (`mailroom.domain.delivery.suppression`).
    """

    def record(self, events: Sequence[DeliveryEvent], *, now: datetime) -> Folded:
        """Store each event as an activity of its message; an event whose message is unknown is parked."""

    def rematch(self, *, now: datetime, limit: int) -> Folded:
        """Match up to `limit` parked events again, each that is due."""

    def parked(self, *, now: datetime) -> Parked:
        """Count the parked events."""
