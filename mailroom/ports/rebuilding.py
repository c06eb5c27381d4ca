"""Rebuilding a lost database from the archive: what is read there, and where it is put."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from mailroom.domain.archive.journal import OperationsKind
from mailroom.domain.archive.manifests import Part
from mailroom.domain.archive.rebuilt import RebuiltMail
from mailroom.ports.archive import Deposit


@dataclass(frozen=True, slots=True)
class ArchivedVersion:
    """A version of a manifest, as the journal names it."""

    tenant: str
    key: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class JournalledMail:
    """What the journal says of an e-mail: its manifests, oldest first, and the digests of its items by their ids.

    `withdrawn` has each item that was withdrawn or shown again after it was filed, with the reason, None if it is shown. `state`
    is that of an e-mail that was quarantined after it was filed.
    """

    email_id: str
    manifests: Sequence[ArchivedVersion]
    items: Mapping[str, str]
    filed_at: datetime | None
    withdrawn: Mapping[str, str | None] = field(default_factory=dict)
    state: str | None = None


@dataclass(frozen=True, slots=True)
class SealedEntries:
    """A seal's document, and that of the entries that it sealed."""

    seal: bytes
    entries: bytes


@dataclass(frozen=True, slots=True)
class FoundDeposit:
    """A deposit as it is in the bucket now, when it was stored, and the SHA-512 that its manifest has."""

    deposit: Deposit
    stored_at: datetime
    sha512: str


@dataclass(frozen=True, slots=True)
class OwnEntry:
    """An entry of the database that no seal has where it stands."""

    seq: int
    kind: str
    subject: str | None


@dataclass(frozen=True, slots=True)
class PutBack:
    """Sealed entries that a journal lacked: from number `first` to `last`. `again` were there instead, and follow them now."""

    first: int
    last: int
    again: Sequence[OwnEntry] = ()


class ArchivedObjects(Protocol):
    """The objects of the archive's bucket, with its database gone. Of a key, the version that was stored first counts."""

    def tenants(self) -> Sequence[str]:
        """Return the names of the tenants that have objects."""

    def sealed(self, tenant: str, stream: str) -> Iterator[SealedEntries]:
        """Yield the sealed entries of a journal, in the order of the seals; what is missing is empty."""

    def read(self, key: str, version: str) -> bytes | None:
        """Return the bytes of a version; None if it is not there."""

    def versions(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of each version of a key."""

    def find(self, tenant: str, part: Part) -> FoundDeposit | None:
        """Return the locked version with the bytes of this part, the oldest if there are several."""


class RebuiltRows(Protocol):
    """The rows of a database that is being rebuilt. Each call is one transaction, and may be made again."""

    def refuse_mail(self) -> None:
        """Return if the database has no mail, or a rebuild put it there and has not ended.

        Raises:
            ConfigurationError: it has other mail.
        """

    def begin(self, *, now: datetime) -> None:
        """Begin, or continue, a rebuild.

        Raises:
            ConfigurationError: the database has mail that no rebuild put there.
        """

    def put_journal(
        self,
        tenant: str,
        stream: str,
        entries: Iterable[tuple[int, int, str]],
        *,
        kind: OperationsKind,
        dry_run: bool = False,
    ) -> PutBack | None:
        """Put back the sealed entries (`seq`, `at`, `payload`) that a journal lacks, then an entry `kind`; None if it has all.

        An entry that stands where a sealed one was follows them, marked with the number and the time that it had.

        Raises:
            PermanentError: there is a gap.
        """

    def put_archived(self) -> int:
        """Put back the rows of archived manifests from the journals, and return how many e-mails they are of."""

    def missing(self, *, after: str, limit: int) -> Sequence[JournalledMail]:
        """Return archived e-mails that have no line, by id, after the id `after` ("" is the beginning)."""

    def put_deposits(self, deposits: Sequence[FoundDeposit]) -> None:
        """Put back receipts as they were first given, by the journal if it has an entry, and the places of their copies."""

    def put_copies(self, copies: Sequence[Deposit]) -> None:
        """Put back the places of second copies of deposits that were put back."""

    def put_mail(self, mail: RebuiltMail, *, now: datetime) -> int:
        """Put back an e-mail's line, activities and items; return how many items differ from what the journal says.

        An item that differs is entered in the journal again.
        """

    def withdraw_again(self) -> None:
        """Withdraw the items that are shown, though the journal's last entry about them says that they were withdrawn."""

    def finish(self, facts: Mapping[str, Any], *, now: datetime) -> None:
        """Record that the rebuild has ended."""
