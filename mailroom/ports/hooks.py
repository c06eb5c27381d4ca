"""Verified webhook calls, kept before they are answered."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol


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
