"""The virus scanner."""

from typing import Protocol

from mailroom.domain.inbound.filing_policy import Scan


class Scanner(Protocol):
    """Scans content for viruses."""

    def scan(self, content: bytes) -> Scan:
        """Return the verdict. Never raises: a scan that could not be made has the verdict `unscanned`."""
