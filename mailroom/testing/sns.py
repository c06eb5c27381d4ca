"""The ports around SNS notifications, in memory: certificates, topics, subscriptions, deduplication."""

from collections.abc import Callable
from datetime import datetime

from mailroom.domain.errors import PermanentError


class MemoryCertificates:
    """The port `Certificates` with one certificate, or with the error to raise; `asked` lists each URL."""

    def __init__(self, pem: bytes | Exception) -> None:
        self.pem = pem
        self.asked: list[str] = []

    def fetch(self, url: str) -> bytes:
        """Return the certificate."""
        self.asked.append(url)
        if isinstance(self.pem, Exception):
            raise self.pem
        return self.pem


class MemoryTopics:
    """The ports `Topics` and `Subscriptions`: each of `topics` may be confirmed; `confirmed` lists topics and tokens."""

    def __init__(self, *topics: str) -> None:
        self.confirmed: list[tuple[str, str]] = []
        self._topics = topics

    def confirm(self, topic_arn: str, token: str) -> None:
        """Record the confirmed topic."""
        if topic_arn not in self._topics:
            raise PermanentError("AWS refused", service="sns", code="NotFound")
        self.confirmed.append((topic_arn, token))


class MemoryOnce:
    """The port `Deduplicator` over a set."""

    def __init__(self) -> None:
        self.taken: set[tuple[str, str]] = set()

    def do(self, source: str, message_id: str, action: Callable[[], None], *, now: datetime) -> bool:
        """Call `action` unless this message was processed before."""
        if (source, message_id) in self.taken:
            return False
        action()
        self.taken.add((source, message_id))
        return True
