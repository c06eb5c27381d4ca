"""What looks for viruses."""

from typing import Protocol

from mailroom.domain.inbound.trust import Scan


class Scanner(Protocol):
    """Looks for viruses."""

    def scan(self, content: bytes) -> Scan:
        """Return what is found. Never raises: what kept the scanner from looking is a finding, `unscanned`."""
