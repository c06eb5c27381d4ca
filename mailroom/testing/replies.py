"""Automatic replies in memory."""

from mailroom.domain.errors import Refused


class MemoryReplies:
    """The port `Replies` in memory. `fails` are raised first, one per call; `sent` lists sent mails.

    With `verified` domains only their addresses may send.
    """

    def __init__(self, *fails: Exception, verified: tuple[str, ...] | None = None) -> None:
        self.sent: list[tuple[bytes, str, str]] = []
        self._fails, self._verified = list(fails), verified

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Record the mail."""
        if self._fails:
            raise self._fails.pop(0)
        if self._verified is not None and sender.rpartition("@")[2] not in self._verified:
            raise Refused("the sender is not verified")
        self.sent.append((raw, sender, recipient))
        return f"answer-{len(self.sent)}"
