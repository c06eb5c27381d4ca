"""Verified incoming webhook calls, stored before they are acknowledged."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Hook:
    """A verified webhook call as received. `id` is the same when the provider sends it again."""

    source: str
    id: str
    body: bytes
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class Hooks(Protocol):
    """Verified webhook calls: stored before they are acknowledged, processed afterwards."""

    def store(self, hooks: Sequence[Hook], *, now: datetime) -> int:
        """Store them and return how many are new."""

    def taken(self, *, most: int, now: datetime) -> AbstractContextManager[list[Hook]]:
        """Lease up to `most` of the oldest unprocessed calls to the `with` block; they are processed when it ends.

        No other process gets them meanwhile. A block that raises leaves them unprocessed.
        """

    def waiting(self) -> int:
        """Return the number of unprocessed calls."""

    def forget(self, *, before: datetime) -> int:
        """Delete calls processed before `before` (their bodies hold addresses), and return how many."""
