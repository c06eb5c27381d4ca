"""Return paths of mails that are about to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailroom.domain.delivery.return_paths import return_path
from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.dispatch import Claimed
from mailroom.ports.return_paths import ReturnPaths


@dataclass(frozen=True, slots=True)
class WithReturnPaths:
    """Gives each mail a return path at `domain`, which is normalised and received here."""

    domain: str
    store: ReturnPaths

    def __call__(
        self, mails: Sequence[Outgoing | MailroomError], claims: Sequence[Claimed]
    ) -> list[Outgoing | MailroomError]:
        """Return the mails of these claims, each with a new return path, stored before any of them is sent.

        Raises:
            TransientError: they cannot be stored now; nothing was sent.
        """
        ready = [claim for claim, mail in zip(claims, mails, strict=True) if isinstance(mail, Outgoing)]
        if not ready:
            return list(mails)
        attempts = [(claim.draft.id, claim.attempt) for claim in ready]
        tokens = iter(self.store.issue(attempts, now=ready[0].handed_at))
        return [
            replace(mail, return_path=return_path(next(tokens), self.domain)) if isinstance(mail, Outgoing) else mail
            for mail in mails
        ]
