"""What users see."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.received_email import Item


class Inbox(Protocol):
    """What users see."""

    def file(self, email_id: str, items: Sequence[Item], *, now: datetime, attempt: int | None = None) -> list[str]:
        """Put one item in each recipient's inbox, all or none, and return their ids in order.

        An item that is there already (same e-mail and recipient) is left as it is, but for being withdrawn or not.

        Raises:
            TakenOver: a later attempt than `attempt` has the e-mail in hand.
        """
