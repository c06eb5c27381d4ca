"""What sends one finished mail, such as a receipt."""

from typing import Protocol


class Replies(Protocol):
    """Sends one finished mail, such as a receipt."""

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Hand the mail over once and return the service's id of it.

        Raises:
            TransientError: not handed over; safe to retry.
            OutcomeUnknown: the answer was lost; the service may have the mail.
            Refused: this recipient or content will never be accepted.
        """
