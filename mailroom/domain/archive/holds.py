"""Legal holds: what they are about, and who may release one."""

from dataclasses import dataclass
from datetime import datetime

from mailroom.domain.archive.retention import words_fault


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """A legal hold on a deposit or a received e-mail (`subject`), active until another person releases it."""

    id: str
    tenant: str
    subject: str
    author: str
    reason: str
    placed_at: datetime
    released_at: datetime | None = None
    released_by: str | None = None
    release_reason: str | None = None

    @property
    def is_active(self) -> bool:
        """Whether it has not been released."""
        return self.released_at is None

    def release_fault(self, by: str, reason: str) -> str:
        """Return why `by` cannot release it, or an empty text."""
        if not self.is_active:
            return "it has been released already"
        if by == self.author:
            return "another person than its author releases a legal hold"
        return words_fault(reason, "the reason")
