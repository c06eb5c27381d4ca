"""The audit of the archive: which copies are to be read next, and what was found of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from mailroom.domain.archive.damage import Damage


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyToRead:
    """A copy of a deposit as its records say it is; `damage` is what an earlier audit found and could not repair."""

    archive_id: str
    place: str
    bucket: str
    key: str
    version: str
    sha256: str
    sha512: str | None
    size: int
    lock_mode: str
    retain_until: datetime
    damage: Damage | None = None
    verified_at: datetime | None = None

    @property
    def is_new(self) -> bool:
        """Whether it is only now to be made; a copy that is recorded was there."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceToRead:
    """The copy at a place of a manifest, or of a document of a seal; `digest` is SHA-256 of a manifest, else SHA-512, in hex."""

    key: str
    digest: str
    place: str
    tenant: str
    size: int
    damage: Damage | None = None
    verified_at: datetime | None = None

    @property
    def archive_id(self) -> str:
        """Its key, which incidents name."""
        return self.key

    @property
    def is_new(self) -> bool:
        """Whether it was never read: a second copy may be of before there was a second bucket."""
        return self.verified_at is None and self.place != "first"


@dataclass(frozen=True, slots=True)
class Incident:
    """A document with copies that are damaged and could not be repaired: the damage by place, and since when.

    `archive_id` is the key of a manifest or of a document of a seal.
    """

    archive_id: str
    damages: dict[str, str]
    since: datetime


@dataclass(frozen=True, slots=True)
class AuditState:
    """How far the audit is: copies and their bytes, when the one that was read longest ago was, open incidents.

    `single` counts the deposits without a second copy whose lock has not ended.
    """

    copies: int
    bytes: int
    oldest: datetime | None
    incidents: int
    single: int = 0


def together(states: Sequence[AuditState]) -> AuditState:
    """Return how far several audits are."""
    return AuditState(
        copies=sum(one.copies for one in states),
        bytes=sum(one.bytes for one in states),
        oldest=min((one.oldest for one in states if one.oldest), default=None),
        incidents=sum(one.incidents for one in states),
        single=sum(one.single for one in states),
    )


Copy = TypeVar("Copy", CopyToRead, PieceToRead)


class CopyAudit(Protocol[Copy]):
    """Copies by the time of their last verification, and their damage."""

    def due(self, *, before: datetime, budget: int, limit: int) -> Sequence[Copy]:
        """Return the copies that were verified longest ago, and before `before`, of about `budget` bytes; at least one.

        Copies with damage are returned by `damaged`.
        """

    def damaged(self, *, limit: int) -> Sequence[Copy]:
        """Return some of the copies with damage, to be read again: they may have been repaired."""

    def verified(self, copies: Sequence[Copy], *, now: datetime) -> None:
        """Record that these copies are as recorded; an incident that they had is over."""

    def repaired(self, copy: Copy, *, now: datetime) -> None:
        """Record that a copy was repaired from another, which is an entry `repair` already: its damage is over."""

    def lost(self, copy: Copy, damage: Damage, *, now: datetime) -> None:
        """Record damage that cannot be repaired, with an entry `damage` of the journal; one that is known changes nothing."""

    def to_alarm(self, *, now: datetime) -> Sequence[Incident]:
        """Return the incidents that were never reported, or last a day ago."""

    def alarmed(self, incidents: Sequence[Incident], *, now: datetime) -> None:
        """Record that these incidents were reported."""

    def state(self, *, now: datetime) -> AuditState:
        """Return how far the audit is."""


class ArchiveAudit(CopyAudit[CopyToRead], Protocol):
    """The audit of deposits."""

    def single(self, *, now: datetime, budget: int, limit: int) -> Sequence[CopyToRead]:
        """Return the first copies of deposits without a second one, of about `budget` bytes, those deposited first first; at least one.

        Left out are those whose lock has ended, and those with damage, which wait for a good copy.
        """

    def suspect(self, copies: Sequence[CopyToRead]) -> None:
        """Have these copies read next: they could not be used."""


class PieceAudit(CopyAudit[PieceToRead], Protocol):
    """The audit of manifests and seals. Copies are found by key and digest: an e-mail's or a seal's record names no second version."""

    def add_new(self, places: Sequence[str], *, now: datetime) -> None:
        """Add the copies that archived mails, seals and tokens should have at these places, and that are not known yet."""

    def repairing(self, piece: PieceToRead, damage: Damage) -> None:
        """Record that a copy is about to be repaired, so that a run after one that was killed names it."""
