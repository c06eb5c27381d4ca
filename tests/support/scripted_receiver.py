"""An SMTP server that answers RCPT by the recipient, and counts how often each recipient was tried."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from tests.support.loopback_ports import free_port

#: Postfix's answer where the recipient's domain has no DNS entry now.
NO_DOMAIN = "450 4.1.2 Recipient address rejected: Domain not found"


@dataclass
class ScriptedReceiver(Receiver):
    """`replies` are the answers to RCPT by address; others are accepted. `tried_at` has the times, in seconds."""

    replies: dict[str, str] = field(default_factory=dict)
    tried: Counter[str] = field(default_factory=Counter)
    tried_at: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        self.tried[address] += 1
        self.tried_at[address].append(time.monotonic())
        if (reply := self.replies.get(address)) is not None:
            return reply
        return await super().handle_RCPT(server, session, envelope, address, options)


@contextmanager
def scripted(replies: Mapping[str, str]) -> Iterator[tuple[ScriptedReceiver, Smtp]]:
    """Run a receiver with these replies; yields it, and the provider that sends to it."""
    receiver, port = ScriptedReceiver(pipelining=True, replies=dict(replies)), free_port()
    with receiving(receiver, port=port), Smtp(host="127.0.0.1", port=port, tls=Tls.OFF) as smtp:
        yield receiver, smtp
