"""API keys: which user or service a key belongs to."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Holder:
    """The owner of an API key. `tenant` None is an administrator."""

    name: str
    tenant: str | None = None


class ApiKeys(Protocol):
    """The keys that the HTTP API accepts."""

    def holder(self, sha256: str) -> Holder | None:
        """Return the owner of the key with this SHA-256 (lower-case hex); None for an unknown key."""
