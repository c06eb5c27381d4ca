"""The audit of the archive: which copies are to be read next, and what was found of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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


@dataclass(frozen=True, slots=True)
class Incident:
    """A document with copies that are damaged and could not be repaired: the damage by place, and since when."""

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


class ArchiveAudit(Protocol):
    """Copies by the time of their last verification, and their damage."""

    def due(self, *, before: datetime, budget: int, limit: int) -> Sequence[CopyToRead]:
        """Return the copies that were verified longest ago, and before `before`, of about `budget` bytes; at least one.

        Copies with damage are returned by `damaged`.
        """

    def damaged(self, *, limit: int) -> Sequence[CopyToRead]:
        """Return some of the copies with damage, to be read again: they may have been repaired."""

    def single(self, *, now: datetime, budget: int, limit: int) -> Sequence[CopyToRead]:
        """Return the first copies of deposits without a second one, of about `budget` bytes, those deposited first first; at least one.

        Left out are those whose lock has ended, and those with damage, which wait for a good copy.
        """

    def suspect(self, copies: Sequence[CopyToRead]) -> None:
        """Have these copies read next: they could not be used."""

    def verified(self, copies: Sequence[CopyToRead], *, now: datetime) -> None:
        """Record that these copies are as recorded; an incident that they had is over."""

    def repaired(self, copy: CopyToRead, *, now: datetime) -> None:
        """Record that a copy was repaired from another, which is an entry `repair` already: its damage is over."""

    def lost(self, copy: CopyToRead, damage: Damage, *, now: datetime) -> None:
        """Record damage that cannot be repaired, with an entry `damage` of the journal; one that is known changes nothing."""

    def to_alarm(self, *, now: datetime) -> Sequence[Incident]:
        """Return the incidents that were never reported, or last a day ago."""

    def alarmed(self, incidents: Sequence[Incident], *, now: datetime) -> None:
        """Record that these incidents were reported."""

    def state(self, *, now: datetime) -> AuditState:
        """Return how far the audit is."""
