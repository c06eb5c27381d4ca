"""The inboxes that received e-mails are filed to."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.received_email import Item


class Inbox(Protocol):
    """The items that users see, one for each recipient of an e-mail."""

    def file(self, email_id: str, items: Sequence[Item], *, now: datetime, attempt: int | None = None) -> list[str]:
        """File one item to each recipient's inbox, all or none, and return their ids in order.

        An item that exists already (same e-mail and recipient) is unchanged, except whether it is withdrawn.

        Raises:
            TakenOver: a later attempt than `attempt` has leased the e-mail.
        """

    def index_again(self, *, limit: int) -> int:
        """Index the words of at most `limit` items again that an earlier release indexed, and return of how many; 0: none are left.

        One short transaction: it locks these items only, and leaves out those that others have locked.
        """
