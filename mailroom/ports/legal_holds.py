"""Legal holds on what is archived."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mailroom.domain.archive.holds import LegalHold


class LegalHolds(Protocol):
    """Legal holds: many for each deposit or e-mail. Nothing is deleted while one is active."""

    def place(self, subject: str, *, tenant: str, author: str, reason: str, now: datetime) -> LegalHold:
        """Record a hold, journal it and return it.

        Raises:
            LookupError: the tenant has no such deposit or e-mail.
            ConfigurationError: the reason is none; see `words_fault`.
        """

    def release(self, hold_id: str, *, by: str, reason: str, now: datetime) -> LegalHold:
        """Release a hold, journal it and return it.

        Raises:
            LookupError: no such hold.
            ConfigurationError: it cannot be released, or not by this person; see `LegalHold.release_fault`.
        """

    def find(self, hold_id: str) -> LegalHold | None:
        """Return a hold, or None."""

    def all(
        self, *, tenant: str | None = None, subject: str | None = None, released: bool = False
    ) -> Sequence[LegalHold]:
        """Return active holds, newest first; with `released`, all."""

    def released_since(self, moment: datetime) -> Sequence[LegalHold]:
        """Return the holds that were released since then."""

    def deposits_of(self, hold: LegalHold) -> Sequence[str]:
        """Return the archive ids of the deposits that a hold is about."""

    def manifests_of(self, holds: Sequence[LegalHold]) -> Sequence[str]:
        """Return the keys of the manifests, for its tenant, of the e-mails that each hold is about or whose deposit it is about."""

    def is_held(self, archive_id: str) -> bool:
        """Return whether a hold on the deposit, or on an e-mail that has it, is active."""
