"""The outside counter of restore detection, in memory."""

from mailroom.domain.errors import TransientError


class MemoryCounter:
    """The port `OutsideCounter` in memory. Its value is public, so that a test can lose it; `down` is an outage."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.down = False

    def read(self, name: str) -> int | None:
        """Return the value, or None where none is stored."""
        if self.down:
            raise TransientError("out of reach")
        return self.values.get(name)

    def raise_to(self, name: str, counter: int) -> None:
        """Store `counter` if the value is lower or missing."""
        if self.down:
            raise TransientError("out of reach")
        self.values[name] = max(counter, self.values.get(name, 0))
