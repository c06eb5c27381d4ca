"""What is needed of what providers tell after they took a mail: their calls kept, and their events folded into messages.

Both work on one SQL database. Every call may raise `TransientError`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

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


@dataclass(frozen=True, slots=True)
class Hook:
    """A verified webhook call as it came, stored before it is answered. `id` is the same when it is sent again."""

    source: str
    id: str
    body: bytes
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class Hooks(Protocol):
    """Verified webhook calls, kept before they are answered and handled afterwards."""

    def store(self, hooks: Sequence[Hook], *, now: datetime) -> int:
        """Keep them and return how many are new."""

    def taken(self, *, most: int, now: datetime) -> AbstractContextManager[list[Hook]]:
        """Give the oldest that are not handled to the block, to nobody else meanwhile; they are handled when it ends.

        A block that raises leaves them as they were.
        """

    def waiting(self) -> int:
        """Count those that are not handled."""

    def forget(self, *, before: datetime) -> int:
        """Delete what was handled before `before`: bodies hold addresses."""
