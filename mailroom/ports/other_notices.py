"""Counts of messages of the inbound queue that announce no e-mail."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.other_notices import OtherNotice


class OtherNotices(Protocol):
    """Counts acknowledged notices by kind."""

    def count(self, notices: Mapping[OtherNotice, int], *, now: datetime) -> None:
        """Add these numbers of notices."""
