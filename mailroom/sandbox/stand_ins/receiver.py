"""An SMTP receiver for tests and drills: accepts mail to any address, misbehaves on demand, and counts accepted mail."""

import asyncio
import ssl
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from mailroom.domain.mail.mime import CORRELATION
from mailroom.sandbox.stand_ins.behaviours import Behaviour

_AT_THE_RECIPIENT = {
    Behaviour.SLOW: "451 4.7.500 server busy, bob@example.com",
    Behaviour.STOPPED: "530 5.7.0 authentication required",
    Behaviour.REFUSES: "550 5.1.1 no such user bob@example.com",
}
_AFTER_THE_DOT = {
    Behaviour.DAILY: "454 4.7.0 Throttling failure: Daily message quota exceeded.",
    Behaviour.TOO_LARGE: "552 5.3.4 message too big",
}


# Without slots: aiosmtpd inspects all members of its handler, and early Pythons 3.11 give a slotted dataclass one
# that cannot be read.
@dataclass
class Receiver:
    """The received mails. `behaviours` apply to the next mails, one each; later mails are accepted."""

    behaviours: deque[Behaviour] = field(default_factory=deque)
    pipelining: bool = False
    #: Our ids, in the order of acceptance: a mail accepted twice is here twice.
    accepted: list[str] = field(default_factory=list)
    raws: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    #: The features of each transaction: SMTPUTF8, SIZE, TLS, login.
    options: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += session.host_name is None
        session.host_name = hostname
        return [*responses[:-1], *(["250-PIPELINING"] if self.pipelining else []), responses[-1]]

    async def handle_MAIL(  # noqa: N802
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from, envelope.mail_options = address, options
        self.options.append(options)
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Session, envelope: Any, address: str, options: list[str]
    ) -> str:
        envelope.behaviour = self.behaviours.popleft() if self.behaviours else Behaviour.GOOD
        if envelope.behaviour is Behaviour.RESETS_BEFORE:
            server.transport.abort()
        if refusal := _AT_THE_RECIPIENT.get(envelope.behaviour):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Any) -> str:  # noqa: N802
        if refusal := _AFTER_THE_DOT.get(envelope.behaviour):
            return refusal
        raw = bytes(envelope.content)
        self.raws.append(raw)
        self.recipients += envelope.rcpt_tos
        self.accepted.append(str(BytesHeaderParser().parsebytes(raw)[CORRELATION]))
        match envelope.behaviour:
            case Behaviour.RESETS_AFTER:
                server.transport.abort()
            case Behaviour.HANGS:
                await asyncio.sleep(3600)
            case Behaviour.GARBAGE:
                return "this is no reply"
            case Behaviour.TWICE:
                return "250 OK\r\n250 OK"
        return "250 2.0.0 OK"


def _login(server: Any, session: Session, envelope: Envelope, mechanism: str, login: LoginPassword) -> AuthResult:
    return AuthResult(success=login.password == b"secret", handled=False, auth_data=login.login)


@contextmanager
def receiving(
    receiver: Receiver, *, port: int, tls: ssl.SSLContext | None = None, implicit: bool = False, utf8: bool = True
) -> Iterator[None]:
    """Serve a receiver on the loopback interface. With `tls` it offers STARTTLS, or speaks TLS from the first byte."""
    controller = Controller(
        receiver,
        hostname="127.0.0.1",
        port=port,
        enable_SMTPUTF8=utf8,
        ssl_context=tls if implicit else None,
        tls_context=None if implicit else tls,
        authenticator=_login,
        auth_require_tls=tls is not None and not implicit,
        data_size_limit=40 * 10**6,
    )
    controller.start()
    try:
        yield
    finally:
        controller.stop()
