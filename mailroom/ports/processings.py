"""What processors did with e-mails."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol


class Processings(Protocol):
    """What processors did with e-mails; a row for each stands before anything leaves."""

    def claim(
        self,
        email_id: str,
        processor: str,
        *,
        now: datetime,
        sender: str | None = None,
        once_in: timedelta | None = None,
    ) -> str | None:
        """Note the intent and return None, or why there must be none: `done_before`, `too_often` for this sender, or `restored`: it may be forgotten."""

    def release(self, email_id: str, processor: str) -> None:
        """Take the intent back: nothing has left."""

    def is_done(self, email_id: str, processor: str) -> bool:
        """Return whether the processor has ended well."""

    def end(
        self, email_id: str, processor: str, state: str, *, now: datetime, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Note how the processor ended; the row is made where there was no intent."""

    def failed(self, email_id: str) -> list[str]:
        """Return what failed for the e-mail and was not done since, as `<processor>/<tenant>`, in this order."""

    def failed_emails(self, processor: str, *, since: datetime | None, limit: int) -> list[str]:
        """Return the ids of the e-mails at which this processor failed, oldest first."""

    def kept_before(self, email_id: str, archive_ids: Sequence[str]) -> set[str]:
        """Return those of these deposits that were in the archive before the e-mail came."""
