"""What sealing needs: the journals and the record of seals, the places where seals are kept, a key, and an authority."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.archive.seals import Entry, Link, SignedSeal, Token


@dataclass(frozen=True, slots=True)
class SealLag:
    """Since when the oldest waits: an entry for its seal, a seal for its token, a seal for the witness; None where none does."""

    unsealed: datetime | None = None
    unstamped: datetime | None = None
    unwitnessed: datetime | None = None


class SealRecords(Protocol):
    """The journals, and the record of their seals, tokens and what the witness has. Rows are only inserted."""

    def journals(self) -> Sequence[tuple[str, str]]:
        """Return both journals, as tenant and stream, of each tenant that has one; `life`, whose seals are entries of the other, first."""

    def entries(self, tenant: str, stream: str, *, after: int, limit: int) -> Sequence[Entry]:
        """Return the entries after this `seq`, in their order, at most `limit`."""

    def hashes(self, tenant: str, stream: str, *, size: int) -> Sequence[bytes]:
        """Return the hashes of the first `size` entries."""

    def last(self, tenant: str, stream: str) -> SignedSeal | None:
        """Return the newest recorded seal of a journal."""

    def find(self, tenant: str, stream: str, number: int) -> SignedSeal | None:
        """Return a recorded seal."""

    def covering(self, tenant: str, stream: str, seq: int) -> SignedSeal | None:
        """Return the first recorded seal that has this entry."""

    def before(self, tenant: str, stream: str, moment: datetime) -> Link | None:
        """Return the newest recorded seal of this time or earlier."""

    def unnamed_tokens(self, tenant: str, stream: str) -> Mapping[int, str]:
        """Return the SHA-512 of the recorded tokens that no seal names yet, by the number of their seal."""

    def record(self, sealed: SignedSeal) -> bool:
        """Record a seal; False if it is recorded already. One of the stream `life` is an entry of `operations` as well.

        Raises:
            PermanentError: another seal of this number is recorded.
        """

    def unstamped(self, *, limit: int) -> Sequence[SignedSeal]:
        """Return the recorded seals after the last one of their journal that has a token, the oldest first."""

    def record_token(self, sealed: SignedSeal, stored: bytes) -> None:
        """Record the document of a seal's token; nothing happens if one is recorded.

        Raises:
            ValueError: it is no token.
        """

    def token(self, tenant: str, stream: str, number: int) -> bytes | None:
        """Return the document of a recorded token."""

    def token_times(self, tenant: str, stream: str) -> Sequence[tuple[int, datetime, datetime]]:
        """Return the number, the time, and the end of the certificate of all recorded tokens, by number."""

    def unwitnessed(self, witness: str, *, limit: int) -> Sequence[SignedSeal]:
        """Return the recorded seals after the last one of their journal that this witness has, the oldest first."""

    def record_witnessed(self, sealed: SignedSeal, witness: str, *, now: datetime) -> None:
        """Record that the witness has a seal; nothing happens if it is recorded."""

    def lag(self) -> SealLag:
        """Return since when the oldest waits."""


class SealStore(Protocol):
    """A place where documents of seals are kept for good: the archive, or the witness."""

    name: str

    def keep(self, key: str, content: bytes) -> bytes:
        """Store `content` unless the key was ever used, and return what was stored first under it.

        Raises:
            TransientError: another process is writing the same key.
        """

    def find(self, key: str) -> bytes | None:
        """Return what was stored first under this key."""


class SealKey(Protocol):
    """The key that signs seals (Ed25519)."""

    id: str
    public_key: str
    """In PEM."""

    def sign(self, statement: bytes) -> bytes:
        """Return the signature."""

    def is_signed(self, statement: bytes, signature: bytes, public_key: str = "") -> bool:
        """Return whether this key made the signature, or one before it, whose public key (PEM) is given."""


class TimeStamping(Protocol):
    """Authorities that state when a document existed (RFC 3161)."""

    def stamp(self, document: bytes, *, not_before: datetime, now: datetime) -> Token:
        """Return a valid token for `document` from the first authority that gives one.

        Raises:
            TransientError: none does.
        """
