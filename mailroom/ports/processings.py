"""The record of what processors did with e-mails."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol


class Processings(Protocol):
    """One row per e-mail and processor, committed before the processor sends anything."""

    def claim(
        self,
        email_id: str,
        processor: str,
        *,
        now: datetime,
        sender: str | None = None,
        once_in: timedelta | None = None,
    ) -> str | None:
        """Record the intent to run and return None, or the reason not to run it.

        `done_before`; `too_often` for this sender within `once_in`; `restored`: the database may have lost an earlier run.
        """

    def release(self, email_id: str, processor: str) -> None:
        """Delete the intent: nothing was sent."""

    def is_done(self, email_id: str, processor: str) -> bool:
        """Return whether the processor has succeeded."""

    def end(
        self, email_id: str, processor: str, state: str, *, now: datetime, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Record how the processor ended; creates the row if there was no intent."""

    def failed(self, email_id: str) -> list[str]:
        """Return the processors that failed for the e-mail and did not succeed since, as `<processor>/<tenant>`, sorted."""

    def failed_emails(self, processor: str, *, since: datetime | None, limit: int) -> list[str]:
        """Return the ids of e-mails for which this processor failed, oldest first."""

    def kept_before(self, email_id: str, archive_ids: Sequence[str]) -> set[str]:
        """Return which of these deposits were in the archive before the e-mail arrived."""
