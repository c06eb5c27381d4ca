"""Delivery events of providers, folded into messages. Every call may raise `TransientError`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.delivery.events import DeliveryEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """What came of events: how many were new and matched, parked for want of their message, or told before."""

    matched: int = 0
    parked: int = 0
    repeated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Events whose message is not known: `waiting` are tried again, `aged` no longer; the oldest of those that wait."""

    waiting: int = 0
    aged: int = 0
    oldest: datetime | None = None


class Events(Protocol):
    """Where verified delivery events go: each is stored once and folded into its message's status.

    An event touches a message only of its own provider, recipient and, where its account is one's alone, tenant. Hard
    bounces, complaints and unsubscribes suppress the address in the same transaction (`mailroom.domain.delivery.suppression`).
    """

    def record(self, events: Sequence[DeliveryEvent], *, now: datetime) -> Folded:
        """Store each event as an activity of its message; one whose message is not known is parked."""

    def rematch(self, *, now: datetime, limit: int) -> Folded:
        """Try parked events again, each when its time has come."""

    def parked(self, *, now: datetime) -> Parked:
        """Count the parked events."""
