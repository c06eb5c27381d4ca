"""A scanner in memory, and the file that every scanner finds."""

from datetime import UTC, datetime, timedelta

from mailroom.domain.inbound.trust import Finding, Scan

# In two halves, so that no virus scanner takes a checkout of this file for the test file itself.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class MemoryScanner:
    """The port `Scanner` in memory: finds the EICAR test file, and is away, old or too small when a test says so."""

    def __init__(self, *, most_bytes: int = 1024 * 1024) -> None:
        self.down = False
        self.signatures_of = datetime.now(UTC)
        self._most_bytes = most_bytes

    def scan(self, content: bytes) -> Scan:
        """Return what is found."""
        found, why = self._look(content)
        return Scan(found, "memory", why, None if self.down else self.signatures_of)

    def _look(self, content: bytes) -> tuple[Finding, str | None]:
        if self.down:
            return Finding.UNSCANNED, "down"
        if datetime.now(UTC) - self.signatures_of > timedelta(days=7):
            return Finding.UNSCANNED, "stale"
        if len(content) > self._most_bytes:
            return Finding.UNSCANNED, "too_large"
        return (Finding.INFECTED, "Eicar-Test-Signature") if EICAR in content else (Finding.CLEAN, None)
