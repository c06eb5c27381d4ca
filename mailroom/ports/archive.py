"""The legal electronic archive (SAE)."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Protocol

from mailroom.domain.archive.retention import RetentionClass


@dataclass(frozen=True, slots=True)
class Deposit:
    """A deposit receipt: what is archived, where, and until when the object lock forbids deletion.

    `archive_id` is `<tenant>/<sha256>`: the same bytes for the same tenant are the same deposit. `verified_at` is when the
    store last confirmed the bytes and the lock, as it does at each deposit. `sha512` is None in receipts of earlier versions.
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
    sha512: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be deposited for a tenant, and its class of retention; digests only where they are computed already."""

    tenant: str
    content: bytes = field(repr=False)
    retention: RetentionClass = RetentionClass.DOCUMENT
    sha256: str | None = None
    sha512: str | None = None


class Archive(Protocol):
    """The legal electronic archive (SAE): write-once deposits keyed by content."""

    def deposit(self, tenant: str, content: bytes, *, retention: RetentionClass = RetentionClass.DOCUMENT) -> Deposit:
        """Archive `content` and return its receipt; the same content again is the same deposit with an extended lock.

        The lock is extended to at least the period of the class's rule from now, less a day or a hundredth, before the receipt
        is returned; it is never shortened or weakened, so that shared bytes have the longest lock of all that use them. Other
        content under the same key is reported and does not fail the deposit.

        Raises:
            NotPermitted: a permission to read or extend locks is missing; the message names it.
        """

    def deposit_all(self, contents: Sequence[Content], *, pool: Executor) -> list[Deposit]:
        """Archive distinct contents in the threads of `pool` and return their receipts, which are recorded at once; see `deposit`.

        If one fails, the others are deposited all the same, and its error is raised.
        """

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt of `archive_id`; None for an unknown one."""

    def read(self, archive_id: str) -> bytes:
        """Return the content, verified against its digest.

        Raises:
            LookupError: no such deposit, or its object is no longer in the store.
            PermanentError: the stored bytes are not those that were deposited.
        """

    def copy(self, archive_id: str, target: IO[bytes]) -> None:
        """Write the content to `target` in chunks: `read` for content that need not be in memory as a whole.

        The digest is known at the end: if this raises, what `target` has is not to be used.

        Raises:
            LookupError: no such deposit, or its object is no longer in the store.
            PermanentError: the stored bytes are not those that were deposited.
        """
