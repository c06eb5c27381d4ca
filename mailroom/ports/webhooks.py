"""The client that posts to URLs chosen by tenants."""

from collections.abc import Mapping
from typing import Protocol


class Webhooks(Protocol):
    """Posts to URLs chosen by tenants."""

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post once and return the status, which is 2xx. Redirects are not followed.

        Raises:
            TransientError: not reachable, or the response asks for a retry.
            Refused: the endpoint refuses, or the URL points to a forbidden address.
        """
