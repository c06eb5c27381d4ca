"""Toy: one mail a call. There is no such provider; it is the example of the guide."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mailroom.adapters.providers.capability_checks import require, require_size
from mailroom.adapters.providers.http_post import Poster, verdict
from mailroom.domain.errors import MailroomError, OutcomeUnknown
from mailroom.domain.mail.mime import TAG, tagged_headers
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

API = "https://api.toy.example"


class Toy:
    """The port `MailProvider` on Toy."""

    name = "toy"
    capabilities = Capabilities(max_bytes=10**6, inline=False)

    def __init__(self, *, token: str, url: str = API, timeout_s: float = 60) -> None:
        self.identity = f"{self.name}/account"
        self._poster = Poster(self.name, url, headers={"Authorization": f"Bearer {token}"}, timeout_s=timeout_s)

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send each mail once."""
        return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return nothing: Toy has no interface for it."""
        return ProviderQuota()

    def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
        """Raise: it cannot be asked."""
        raise OutcomeUnknown("the provider cannot be asked", provider=self.name)

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _send(self, mail: Outgoing) -> ProviderReceipt | MailroomError:
        try:
            require(mail, self.capabilities, provider=self.name)
            content = json.dumps(_payload(mail)).encode()
            require_size(len(content), self.capabilities, provider=self.name)
            answer = self._poster.post("/send", content)
        except MailroomError as error:
            return error
        match answer.body:
            case {"id": str() as known} if answer.status == 200 and known:
                return ProviderReceipt(self.name, known)
        return verdict(answer, provider=self.name)


def _payload(mail: Outgoing) -> dict[str, Any]:
    return {
        "from": on_the_wire(mail.from_.address),
        "to": on_the_wire(mail.to.address),
        "subject": mail.subject,
        "text": mail.text,
        "html": mail.html,
        "headers": tagged_headers(mail),
        "files": [[file.filename, file.content.hex()] for file in mail.attachments],
        "tags": {TAG: mail.id},
    }
