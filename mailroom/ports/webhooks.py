"""What posts to URLs that tenants chose."""

from collections.abc import Mapping
from typing import Protocol


class Webhooks(Protocol):
    """Posts to URLs that tenants chose."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post once and return the status, which is 2xx. No redirect is followed.

        Raises:
            TransientError: not reachable, or it asks to come again.
            Refused: it refuses, or the URL leads where no tenant may have us go.
        """
