"""Any SMTP relay: connections are kept and reused, TLS by policy, DKIM if a key is set."""

import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from typing import Self

from mailroom.adapters.providers.capability_checks import require, require_size
from mailroom.adapters.providers.dkim_signatures import Dkim
from mailroom.adapters.providers.no_outcome_query import NoOutcomeQuery
from mailroom.adapters.providers.smtp_session import Session, SmtpMail, error_for, stops
from mailroom.domain.errors import (
    ConfigurationError,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientUnavailable,
    SenderRefused,
    TransientError,
)
from mailroom.domain.mail.mime import mime
from mailroom.domain.outbound.answers import Phase
from mailroom.domain.outbound.content_rules import needs_utf8, on_the_wire
from mailroom.domain.outbound.message import Outgoing
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

#: A connection that was idle longer is replaced, in seconds: servers close theirs after half a minute or more.
_IDLE_S = 20
#: Servers limit the mails of a connection; Postfix does not, others to a hundred.
_MAILS_A_CONNECTION = 100
#: Errors of one mail, or of one sender's: the others go on.
_OF_ONE_MAIL = (RecipientUnavailable, SenderRefused)
_PHASES: dict[type[smtplib.SMTPResponseException], Phase] = {
    smtplib.SMTPConnectError: Phase.CONNECT,
    smtplib.SMTPHeloError: Phase.EHLO,
    smtplib.SMTPAuthenticationError: Phase.AUTH,
}


class Tls(StrEnum):
    """How a connection is encrypted."""

    #: TLS from the first byte (RFC 8314), port 465.
    IMPLICIT = "implicit"
    #: STARTTLS, or nothing is sent.
    STARTTLS = "starttls"
    #: STARTTLS where it is offered, with any certificate; never with a login.
    OPPORTUNISTIC = "opportunistic"
    #: None; a login only on this machine.
    OFF = "off"


class Smtp(NoOutcomeQuery):
    """The port `MailProvider` on an SMTP server.

    The id in a receipt is the mail's Message-ID without its angle brackets. `bounces` is the envelope's sender, where
    bounces of mails without a return path go; by default each mail's own sender. `answer_s` is how long the reply to a mail may take, in seconds.
    """

    name = "smtp"
    capabilities = Capabilities(batch=50, max_bytes=40 * 10**6, utf8_addresses=True, return_path=True)

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: Tls = Tls.STARTTLS,
        user: str | None = None,
        password: str | None = None,
        ca_file: str | None = None,
        bounces: str | None = None,
        dkim: Dkim | None = None,
        timeout_s: float = 30,
        answer_s: float = 120,
    ) -> None:
        if user and tls in (Tls.OPPORTUNISTIC, Tls.OFF) and not _is_loopback(host):
            raise ConfigurationError("an SMTP login needs TLS: `implicit` or `starttls`")
        self.identity = f"{self.name}/{host}:{port}" + (f"/{user}" if user else "")
        self._host, self._port, self._tls = host, port, tls
        self._login = (user, password or "") if user else None
        self._context = ssl.create_default_context(cafile=ca_file)
        if tls is Tls.OPPORTUNISTIC:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        self._bounces = bounces
        self._dkim = dkim
        self._timeout_s, self._answer_s = timeout_s, answer_s
        self._idle: list[tuple[float, Session]] = []
        self._lock = threading.Lock()

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send the mails over one connection; each sending thread has its own.

        When the connection is lost, the mails after that one are `TransientError`: they were not sent. An answer that holds
        for the following mails too, of the account or their sender, is their result untried.
        """
        results: list[ProviderReceipt | MailroomError] = []
        waiting: list[tuple[int, SmtpMail]] = []
        for number, mail in enumerate(mails):
            try:
                message_id, letter = self._letter(mail)
                waiting.append((number, letter))
                results.append(ProviderReceipt(self.name, message_id))
            except MailroomError as error:
                results.append(error)
        while waiting:
            refusals = self._carry([letter for _, letter in waiting])
            for (number, _), refusal in zip(waiting, refusals, strict=False):
                results[number] = refusal or results[number]
            (_, last), waiting = waiting[len(refusals) - 1], waiting[len(refusals) :]
            refusal = refusals[-1]
            held = [number for number, letter in waiting if stops(refusal, last, letter)]
            for number in held:
                results[number] = refusal or results[number]
            waiting = [(number, letter) for number, letter in waiting if number not in held]
            if isinstance(refusal, TransientError | OutcomeUnknown) and not isinstance(refusal, _OF_ONE_MAIL):
                for number, _ in waiting:
                    results[number] = TransientError("the connection was lost at an earlier mail", provider=self.name)
                break
        return results

    def quota(self) -> ProviderQuota:
        """Return an empty quota: SMTP has no command for it."""
        return ProviderQuota()

    def close(self) -> None:
        """Close idle connections; one in use is closed by its thread."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, session in idle:
            session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _letter(self, mail: Outgoing) -> tuple[str, SmtpMail]:
        require(mail, self.capabilities, provider=self.name)
        sender, recipient = on_the_wire(mail.from_.address), on_the_wire(mail.to.address)
        message_id = f"{mail.id}@{sender.rpartition('@')[2]}"
        raw = mime(mail, message_id=message_id, date=datetime.now(UTC))
        if self._dkim is not None:
            raw = self._dkim.signed(raw)
        require_size(len(raw), self.capabilities, provider=self.name)
        envelope_id = mail.id if mail.return_path else ""
        returns, domain = mail.return_path or self._bounces or sender, sender.rpartition("@")[2]
        utf8 = needs_utf8(mail)
        return message_id, SmtpMail(returns, recipient, raw, utf8=utf8, envelope_id=envelope_id, from_domain=domain)

    def _carry(self, letters: Sequence[SmtpMail]) -> list[MailroomError | None]:
        try:
            session = self._take()
        except MailroomError as error:
            return [error] * len(letters)
        # A mail that this server cannot accept ends the run of mails sent together; it comes first in the next call.
        refusals: list[MailroomError | None] = []
        unfit = [session.unfit(letter) for letter in letters]
        upto = next((number for number, error in enumerate(unfit) if error), len(letters))
        upto = min(upto, _MAILS_A_CONNECTION - session.carried)
        if upto:
            refusals = session.send(letters[:upto])
        elif unfit[0]:
            refusals = [unfit[0]]
        self._keep(session)
        return refusals

    def _take(self) -> Session:
        while True:
            with self._lock:
                since, session = self._idle.pop() if self._idle else (0.0, None)
            if session is None:
                return self._connect()
            if time.monotonic() - since < _IDLE_S and session.usable():
                return session
            session.close()

    def _keep(self, session: Session) -> None:
        if session.alive and session.carried < _MAILS_A_CONNECTION:
            with self._lock:
                self._idle.append((time.monotonic(), session))
        else:
            session.close()

    def _connect(self) -> Session:
        facts = {"provider": self.name, "step": "connect"}
        try:
            return Session(self._greeted(), answer_s=self._answer_s)
        except smtplib.SMTPNotSupportedError:
            raise Paused("the provider does not offer the configured TLS or login", **facts) from None
        except ssl.SSLCertVerificationError as error:
            raise Paused("the provider's certificate is not valid", code=error.verify_code, **facts) from None
        except smtplib.SMTPResponseException as error:
            phase = next((phase for kind, phase in _PHASES.items() if isinstance(error, kind)), Phase.STARTTLS)
            raise error_for(phase, error.smtp_code, error.smtp_error) from None
        except (OSError, smtplib.SMTPException) as error:
            if type(error) is smtplib.SMTPException:
                # smtplib has no class for it: the server offers no way to log in that we know.
                raise Paused("the provider does not offer the configured TLS or login", **facts) from None
            raise TransientError("the provider cannot be reached", kind=type(error).__name__, **facts) from None

    def _greeted(self) -> smtplib.SMTP:
        kind = partial(smtplib.SMTP_SSL, context=self._context) if self._tls is Tls.IMPLICIT else smtplib.SMTP
        client = kind(self._host, self._port, local_hostname=socket.gethostname(), timeout=self._timeout_s)
        try:
            if client.sock is not None:
                # The last bytes of a mail and its dot are two writes; without this the second waits for an acknowledgement.
                client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.ehlo_or_helo_if_needed()
            if self._tls is Tls.STARTTLS or (self._tls is Tls.OPPORTUNISTIC and client.has_extn("starttls")):
                code, text = client.starttls(context=self._context)
                if code != 220:
                    raise smtplib.SMTPResponseException(code, text)
                client.ehlo_or_helo_if_needed()
            if self._login is not None:
                client.login(*self._login)
        except BaseException:
            client.close()
            raise
        return client


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
