"""Automatic replies: finished mails, such as an acknowledgement of receipt."""

from typing import Protocol


class Replies(Protocol):
    """Sends one finished mail, such as an acknowledgement of receipt."""

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Send the mail once and return the service's id for it.

        Raises:
            TransientError: not sent; safe to retry.
            OutcomeUnknown: the answer was lost; the service may have the mail.
            Refused: this recipient or content will never be accepted.
        """
