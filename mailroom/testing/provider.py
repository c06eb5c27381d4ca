"""A provider in memory, and a mail for it."""

import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from mailroom.domain.errors import MailroomError, OutcomeUnknown
from mailroom.domain.outbound.content_rules import check
from mailroom.domain.outbound.message import Outgoing, Party
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

_mails = count(1)


def a_mail(**changes: Any) -> Outgoing:
    """Return a mail of acme's to Bob with an id of its own; `changes` are fields of it."""
    values: dict[str, Any] = {
        "id": str(UUID(int=next(_mails))),
        "batch_id": "batch",
        "tenant": "acme",
        "from_": Party("billing@acme.example", "Acme Billing"),
        "to": Party("bob@example.com", "Bob"),
        "subject": "Your invoice",
        "text": "Hello Bob",
        "html": None,
    }
    return Outgoing(**values | changes)


class MemoryProvider:
    """The port `MailProvider` in memory, safe between threads.

    `answers` are what the next mails meet, one each; None and an empty queue take the mail. A mail that meets
    `OutcomeUnknown` is taken, and the answer lost. `accepted` has our ids in the order of acceptance: a mail accepted twice
    is there twice.
    """

    def __init__(self, name: str = "memory", *, capabilities: Capabilities | None = None) -> None:
        self.name, self.identity = name, f"{name}/test"
        self.capabilities = capabilities or Capabilities(batch=10, utf8_addresses=True, asks=True)
        self.answers: deque[MailroomError | None] = deque()
        self.accepted: list[str] = []
        self.mails: list[Outgoing] = []
        self.allowed = ProviderQuota()
        self._lock = threading.Lock()

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Accept each mail, or return the result prepared for it."""
        with self._lock:
            return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return `allowed`."""
        return self.allowed

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Return the receipt of the mail if it was accepted."""
        return self._receipt(message_id) if message_id in self.accepted else None

    def close(self) -> None:
        """Do nothing: the test may still inspect everything."""

    def _send(self, mail: Outgoing) -> ProviderReceipt | MailroomError:
        try:
            check(mail)
        except MailroomError as error:
            return error
        answer = self.answers.popleft() if self.answers else None
        if answer is None or isinstance(answer, OutcomeUnknown):
            self.accepted.append(mail.id)
            self.mails.append(mail)
        return answer or self._receipt(mail.id)

    def _receipt(self, message_id: str) -> ProviderReceipt:
        return ProviderReceipt(self.name, f"{self.name}-{message_id}")
