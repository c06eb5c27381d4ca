"""The limit of mails from one sender to one address within an hour: a guard against mail storms."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Protocol

#: The period in which mails are counted, by their time of receipt.
WINDOW = timedelta(hours=1)


class SenderLimit(Protocol):
    """Counts each e-mail once for each of its inboxes, whatever happens to its runs."""

    def held(
        self, email_id: str, sender: str, inboxes: Collection[tuple[str, str]], *, received_at: datetime
    ) -> set[str]:
        """Count the e-mail for these inboxes (tenant and recipient), and return the tenants for which it is held.

        It is held for an inbox that within some hour around `received_at` gets more mails of this sender than the limit. A
        decision is kept: a further attempt counts nothing. An e-mail that a person processes again after its quarantine, for
        whatever reason, is released, and stays so.
        """

    def withheld(self, *, since: datetime | None, limit: int, email_id: str | None = None) -> Sequence[str]:
        """Return the ids of filed e-mails that are held for some of their tenants, oldest first; or only this one."""

    def release(self, email_id: str, *, now: datetime) -> bool:
        """Release an e-mail, and open its line if it is filed, so that its next run files it for all its tenants.

        False if it is not held.
        """
