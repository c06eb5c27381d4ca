"""The SAE, the legal electronic archive."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Deposit:
    """The archive's receipt: what is kept, where, and until when nobody can delete it.

    `archive_id` is `<tenant>/<sha256>`: the same bytes for the same tenant are the same deposit. `verified_at` is when the
    store last confirmed the bytes and the lock, as it does at each deposit.
    """

    archive_id: str
    tenant: str
    sha256: str
    size: int
    bucket: str
    key: str
    version: str
    lock_mode: str
    retain_until: datetime
    verified_at: datetime | None = field(default=None, compare=False)


class Archive(Protocol):
    """The SAE, the legal electronic archive: write-once deposits keyed by content."""

    def deposit(self, tenant: str, content: bytes) -> Deposit:
        """Keep `content` and return its receipt; the same content again is the same deposit, kept for longer.

        Its lock is extended to at least the retention from now, less a day or a hundredth, before the receipt is given;
        it is never shortened or weakened. Anything else that lies under its key is reported, and is not in the way.

        Raises:
            NotPermitted: a permission to read or extend locks is missing; the message names it.
        """

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt given for `archive_id`, or None."""

    def read(self, archive_id: str) -> bytes:
        """Return the content, checked against its digest.

        Raises:
            LookupError: no such deposit, or its object is no longer in the store.
            PermanentError: the stored bytes are not those that were deposited.
        """
