"""Entries of the archive's journals: what they are about, and their stored form.

Each tenant has two journals: `life`, of its deposits and e-mails, and `operations`, of what is done to the archive. The
installation's own are those of `unrouted`. A payload is canonical JSON with ids, digests and pseudonyms; it never has an
address, a name, a subject or content.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mailroom.domain.archive.manifests import canonical


class Stream(StrEnum):
    """One of the two journals of a tenant; the words are stored."""

    LIFE = "life"
    OPERATIONS = "operations"


class Kind(StrEnum):
    """What happened to a deposit or an e-mail (stream `life`); the words are stored."""

    DEPOSIT = "deposit"
    COPY = "copy"
    EXTEND = "extend"
    ARCHIVED = "archived"
    FILED = "filed"
    WITHDRAWN = "withdrawn"
    """Items that were shown are not any more: `items reason`, and the `state` of the e-mail if it is quarantined as a whole."""
    SHOWN = "shown"
    """Items that were withdrawn are shown again: `items`."""
    ACCESS = "access"
    HOLD = "hold"
    RELEASE = "release"
    REPAIR = "repair"
    DAMAGE = "damage"


class OperationsKind(StrEnum):
    """What is done to the archive or the installation (stream `operations`); the words are stored."""

    STARTED = "started"
    """A worker or an HTTP service: `part version configuration`, the SHA-256 of its settings without secrets."""
    MIGRATED = "migrated"
    """The schema: `from to`, revisions."""
    GRANTED = "granted"
    """The application's role: `login tables`, how many tables' rights were changed."""
    REFUSED = "refused"
    """S3 denied a permission: `permission`."""
    BACKED_UP = "backed_up"
    """The database: `revision counter size`."""
    RESTORED = "restored"
    """The database, from a backup: `made_at revision counter`; none of them after a restore by other means."""
    REBUILT = "rebuilt"
    """In either stream, of an empty database: `first last_seq last_hash`, the entries before it that came from the archive, and
    `again`, how many after it were there instead."""
    RECOVERED = "recovered"
    """The same, of a database that had some of them."""
    RULE = "rule"
    """A version of a retention rule: `rule days action trigger`."""
    COPY = "copy"
    REPAIR = "repair"
    DAMAGE = "damage"
    """Of the copy of a manifest or of a seal's document, whose key is the subject: `place`, `sha256` or `sha512`."""
    CLOCK_BACK = "clock_back"
    """In either stream; the database's own: `seconds`."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An entry to append. `subject` is a deposit's or an e-mail's id; facts that are None are left out."""

    tenant: str
    kind: str
    subject: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    stream: Stream = Stream.LIFE

    @property
    def payload(self) -> str:
        """The stored text."""
        known = {name: value for name, value in self.facts.items() if value is not None}
        about = {"subject": self.subject} if self.subject is not None else {}
        return canonical(known | about | {"kind": str(self.kind)}).decode()


def in_order(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """Return entries as every writer must append them, or two of them wait for each other: by tenant and stream."""
    return sorted(entries, key=lambda one: (one.tenant, one.stream))
