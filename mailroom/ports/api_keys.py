"""The keys that open the HTTP API, and who holds one."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds an API key. `tenant` None is an administrator."""

    name: str
    tenant: str | None = None


class ApiKeys(Protocol):
    """The keys that open the HTTP API."""

    def holder(self, sha256: str) -> Holder | None:
        """Return who holds the key with this SHA-256 (lower-case hex), or None."""
