"""Answers in memory."""


class MemoryAnswers:
    """The port `Answers` in memory. `fails` are raised first, one a call; `sent` has what went out."""

    def __init__(self, *fails: Exception) -> None:
        self.sent: list[tuple[bytes, str, str]] = []
        self._fails = list(fails)

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Remember the mail."""
        if self._fails:
            raise self._fails.pop(0)
        self.sent.append((raw, sender, recipient))
        return f"answer-{len(self.sent)}"
