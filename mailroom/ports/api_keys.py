"""API keys: which user or service a key belongs to, what it may do, and until when.

A key itself is never stored; its SHA-256 is. Every query but `holder` and `used` names a tenant: with a name it is that
tenant's keys, with None (an administrator) all. Every call may raise `TransientError`.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from zoneinfo import ZoneInfo

from mailroom.domain.api_keys import EVERYTHING
from mailroom.domain.people import Role
from mailroom.domain.trail import What
from mailroom.ports.inbox_reader import Page, Position
from mailroom.ports.trail import NewEntry

#: The most keys of a tenant, or of the installation, that have not ended.
MOST_LIVE = 500
#: How long a rotated key works beside the new one: by default, and at most.
OVERLAP, LONGEST_OVERLAP = timedelta(days=1), timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Holder:
    """The owner of an API key, or a person who is signed in. `tenant` None is an administrator of the installation.

    `scopes`: see `mailroom.domain.api_keys`. `ends_at` is when the key ends, None for never. A person has a `role` and a
    `person_id`, no `key_id`, an address as the name, and may have chosen a `language` and a time `zone` for pages.
    """

    name: str
    tenant: str | None = None
    scopes: tuple[str, ...] = EVERYTHING
    ends_at: datetime | None = None
    key_id: str | None = field(default=None, compare=False)
    role: Role | None = field(default=None, compare=False)
    person_id: str | None = field(default=None, compare=False)
    language: str | None = field(default=None, compare=False)
    zone: ZoneInfo | None = field(default=None, compare=False)

    def entry(self, what: What, *, tenant: str | None = None, of: str | None = None) -> NewEntry:
        """Return an entry of the trail about what this holder saw or did; see `NewEntry`."""
        return NewEntry(what, self.name, tenant, of, person_id=self.person_id, key_id=self.key_id)


class KeyState(StrEnum):
    """Whether a key is accepted, and if not, why."""

    ACTIVE = "active"
    ENDED = "ended"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to add: its digest and first characters, never the key. `made_by` is a key's name, or `cli`."""

    name: str
    tenant: str | None
    scopes: tuple[str, ...]
    ends_at: datetime | None
    sha256: str
    starts: str
    made_by: str


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A key in a list. `starts` are its first characters.

    `starts` and `made_by` are None for a key that was made by SQL. `last_used_at` is at most a minute old while it is used.
    `replaced_by` is the id of the key that it was rotated to.
    """

    id: str
    name: str
    tenant: str | None
    scopes: tuple[str, ...]
    state: KeyState
    created_at: datetime
    made_by: str | None = None
    starts: str | None = None
    ends_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None
    revoked_by: str | None = None
    replaced_by: str | None = None


def not_rotated(line: KeyLine) -> str | None:
    """Return why a key cannot be rotated, as a sentence with what to do; None if it can."""
    if line.state is not KeyState.ACTIVE:
        return f"this key is {line.state.value}; add a new one"
    if line.replaced_by is not None:
        return "this key was rotated before; rotate the key that replaced it"
    return None


class ApiKeys(Protocol):
    """The keys that the HTTP API accepts."""

    def holder(self, sha256: str) -> Holder | None:
        """Return the owner of the key with this SHA-256 (lower-case hex); None for an unknown, ended or revoked key."""

    def used(self, key_ids: Collection[str]) -> None:
        """Record that these keys were used now; one recorded within the last minute is left as it is."""

    def add(self, new: NewKey, entry: NewEntry | None = None) -> KeyLine:
        """Add a key, and its tenant when that is new; `entry` is stored in the trail with it, or neither is.

        Raises:
            Conflict: the tenant has `MOST_LIVE` keys that have not ended.
        """

    def all(self, tenant: str | None, *, after: Position | None, limit: int) -> Page[KeyLine]:
        """Return keys with ended and revoked ones, the newest first."""

    def find(self, tenant: str | None, key_id: str) -> KeyLine | None:
        """Return one key; None for an unknown or malformed id, or another tenant's."""

    def revoke(self, tenant: str | None, key_id: str, *, by: str) -> KeyLine | None:
        """Revoke a key: it is refused from the next request on. None as for `find`; a revoked key stays as it is."""

    def rotate(
        self, tenant: str | None, key_id: str, *, sha256: str, starts: str, overlap: timedelta, by: str
    ) -> tuple[KeyLine, KeyLine] | None:
        """Add a key with the same name, tenant and scopes, and end this one after `overlap`; return the new and this one.

        A key that lasts for a time is followed by one that lasts as long. None as for `find`.

        Raises:
            Conflict: the key has ended, was revoked or rotated before, or as `add`.
        """
