"""A virus scanner in memory, and the EICAR test file."""

from datetime import UTC, datetime, timedelta

from mailroom.domain.inbound.filing_policy import Finding, Scan

# In two halves, so that no virus scanner takes a checkout of this file for the test file itself.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


class MemoryScanner:
    """The port `Scanner` in memory: detects the EICAR test file; a test can make it unreachable, outdated or too small."""

    def __init__(self, *, most_bytes: int = 1024 * 1024) -> None:
        self.down = False
        self.signatures_of = datetime.now(UTC)
        self._most_bytes = most_bytes

    def scan(self, content: bytes) -> Scan:
        """Return the verdict."""
        finding, why = self._look(content)
        return Scan(finding, "memory", why, None if self.down else self.signatures_of)

    def _look(self, content: bytes) -> tuple[Finding, str | None]:
        if self.down:
            return Finding.UNSCANNED, "down"
        if datetime.now(UTC) - self.signatures_of > timedelta(days=7):
            return Finding.UNSCANNED, "stale"
        if len(content) > self._most_bytes:
            return Finding.UNSCANNED, "too_large"
        return (Finding.INFECTED, "Eicar-Test-Signature") if EICAR in content else (Finding.CLEAN, None)
