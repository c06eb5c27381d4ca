"""Exports of the installation: the rows that nothing else in the archive has, where they are kept, and who signs them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any, Protocol

from mailroom.domain.archive.exports import Row


@dataclass(frozen=True, slots=True)
class KeptExport:
    """An export in the archive; `sha256` is that of its bytes."""

    key: str
    version: str
    sha256: str


class Signer(Protocol):
    """The installation's key (Ed25519); `id` is the SHA-256 of the public key."""

    id: str
    public_key: str
    """In PEM."""

    def sign(self, statement: bytes) -> bytes:
        """Return the signature."""

    def is_signed(self, statement: bytes, signature: bytes, public_key: str = "") -> bool:
        """Return whether this key made the signature, or one before it, whose public key (PEM) is given."""


class ExportedRows(Protocol):
    """The rows that are exported, without secrets in plain form, and the record of exports in the journal."""

    def schema(self) -> str:
        """Return the schema's revision."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows as of one moment, in an order in which they can be put back."""

    def last(self) -> Mapping[str, Any]:
        """Return the facts of the journal's last `export`; empty if there is none."""

    def record(self, kept: KeptExport, *, rows: str, count: int) -> None:
        """Enter an export in the installation's journal `operations`; `rows` is the SHA-256 of its rows."""

    def put_back(self, rows: Iterable[Row]) -> Mapping[str, int]:
        """Insert rows that are not there, in one transaction, and return how many of each table were read.

        Tables and columns that this release does not export are passed over.
        """


class ExportStore(Protocol):
    """The archive's bucket: exports are locked, and every version of each stays until its lock ends."""

    def keep(self, key: str, body: IO[bytes], *, sha256: str, now: datetime) -> KeptExport:
        """Store an export, locked."""

    def newest(self) -> Iterator[KeptExport]:
        """Yield all versions of all exports, the newest first; `sha256` is empty."""

    def copy(self, export: KeptExport, target: IO[bytes]) -> None:
        """Write the bytes of an export to `target`."""
