"""One SMTP connection for several mails in sequence (RFC 5321), pipelined if the server offers it (RFC 2920).

    MAIL RCPT DATA          one group; nothing is accepted before its replies
    the mail                nothing is accepted either: without the final dot no server may accept it
    .  MAIL RCPT DATA       the dot submits the mail, and the next mail's group follows: one round trip a mail

Between the dot and its reply the outcome is the server's. If the connection is lost there, that one mail is
`OutcomeUnknown`; the next one, of which only the envelope was sent, was not accepted.
"""

import re
import select
import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientUnavailable,
    Refused,
    Throttled,
    TransientError,
)

#: RFC 3463 codes for a slower rate, including those of large receivers.
_SLOW = frozenset({"4.4.5", "4.5.3", "4.7.0", "4.7.28", "4.7.500", "4.7.650", "4.7.651"})
#: Reply codes for a wrong login, permission or setting.
_ACCOUNT = frozenset({530, 534, 535, 538})
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?!\d)")


@dataclass(frozen=True, slots=True)
class SmtpMail:
    """A mail with its envelope; `utf8` mails need a server with SMTPUTF8.

    With `envelope_id` the server is asked to report failures and delays, and to return it and the headers (RFC 3461).
    """

    sender: str
    recipient: str
    raw: bytes
    utf8: bool = False
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    text: bytes

    def verdict(self, step: str) -> MailroomError:
        """Return the error that an unsuccessful reply at this step means for a mail."""
        match = _ENHANCED.match(self.text)
        enhanced = match.group().decode() if match else ""
        facts = {"provider": "smtp", "step": step, "code": self.code, "enhanced": enhanced}
        if self.code in _ACCOUNT:
            return Paused("the provider has paused this account, or refuses its credentials", **facts)
        if 500 <= self.code < 600:
            return Refused("the provider refused the mail", **facts)
        if self.code == 454 or enhanced in _SLOW:
            # SES replies 454 for both of its limits; only the text distinguishes them.
            if b"daily" in self.text.lower():
                return DailyQuota("the provider's daily quota is used up", **facts)
            return Throttled("the provider throttles sending", **facts)
        if step == "rcpt" and self.code == 450 and enhanced.startswith(("4.1.", "4.2.")):
            return RecipientUnavailable("the recipient's server takes no mail for this recipient now", **facts)
        return TransientError("the provider cannot accept the mail now", **facts)


class Session:
    """A connection after its greeting, TLS and login. Not safe to share between threads."""

    def __init__(self, client: smtplib.SMTP, *, answer_s: float) -> None:
        self._client = client
        self._answer_s = answer_s
        self._pipelining = client.has_extn("pipelining")
        self.alive = True
        self.carried = 0

    def usable(self) -> bool:
        """Return whether the connection is open and silent: an unexpected reply means that the server is closing it."""
        if not self.alive or self._client.sock is None:
            return False
        poll = select.poll()
        poll.register(self._client.sock, select.POLLIN)
        return not poll.poll(0) and not self._left_over()

    def unfit(self, letter: SmtpMail) -> MailroomError | None:
        """Return why this server cannot accept the mail, or None."""
        if letter.utf8 and not self._client.has_extn("smtputf8"):
            return Refused("the provider does not support this", provider="smtp", feature="utf8_addresses")
        limit = self._client.esmtp_features.get("size", "")
        if limit.isdecimal() and 0 < int(limit) < len(letter.raw):
            return Refused("the mail is too large", provider="smtp", size=len(letter.raw), limit=int(limit))
        return None

    def send(self, letters: Sequence[SmtpMail]) -> list[MailroomError | None]:
        """Send mails in order and return each one's error, None for accepted.

        The list ends where the connection is lost: the mails after that were not sent.
        """
        refusals: list[MailroomError | None] = []
        try:
            self._write(self._group(letters[0]))
            for letter, following in zip(letters, [*letters[1:], None], strict=True):
                refusals.append(self._carry(letter, following))
                if not self.alive:
                    break
        except OSError as error:
            self.alive = False
            if len(refusals) < len(letters):
                facts = {"provider": "smtp", "kind": type(error).__name__}
                refusals.append(TransientError("the connection was lost before the mail was sent", **facts))
        self.carried += len(refusals)
        return refusals

    def close(self) -> None:
        """Send QUIT if the connection is open, without waiting for the reply."""
        try:
            if self.alive:
                self._write(b"QUIT\r\n")
        except OSError:
            self.alive = False
        self._client.close()

    def _carry(self, letter: SmtpMail, following: SmtpMail | None) -> MailroomError | None:
        step, reply = self._envelope(letter)
        if step:
            return self._refused(step, reply, following)
        # Dot-stuffing as in smtplib; a missing final CRLF is added.
        stuffed = re.sub(rb"(?m)^\.", b"..", letter.raw)
        self._write(stuffed if stuffed.endswith(b"\r\n") else stuffed + b"\r\n")
        try:
            self._write(b".\r\n" + self._group(following))
            reply = self._read(self._answer_s)
        except OSError as error:
            self.alive = False
            return OutcomeUnknown("the provider's response was lost", provider="smtp", kind=type(error).__name__)
        if 200 <= reply.code < 300:
            return None
        if 400 <= reply.code < 600:
            return self._error_of(reply, "data")
        self.alive = False
        return OutcomeUnknown("the provider's response does not mention the mail", provider="smtp", code=reply.code)

    def _envelope(self, letter: SmtpMail) -> tuple[str, _Reply]:
        """Return the first refused step and its reply; an empty step means that the server waits for the mail."""
        refused = ""
        replies = []
        for step, command in self._commands(letter):
            if not self._pipelining:
                self._write(command)
            reply = self._read()
            replies.append(reply)
            refused = refused or ("" if reply.code // 100 == (3 if step == "data" else 2) else step)
            if refused and not self._pipelining:
                break
        if not refused:
            return "", replies[-1]
        index = ("mail", "rcpt", "data").index(refused)
        if len(replies) == 3 and replies[-1].code // 100 == 3:
            # It waits for a mail without a recipient (RFC 2920 section 3.1): it gets an empty one, which it must refuse.
            self._write(b".\r\n")
            self._read()
        return refused, replies[index]

    def _refused(self, step: str, reply: _Reply, following: SmtpMail | None) -> MailroomError:
        verdict = self._error_of(reply, step)
        if self.alive:
            try:
                self._write(b"RSET\r\n" + self._group(following))
                self.alive = self._read().code == 250
            except OSError:
                self.alive = False
        return verdict

    def _error_of(self, reply: _Reply, step: str) -> MailroomError:
        # RFC 5321 section 3.8: after 421 the server closes. After an invalid reply, later ones cannot be matched to commands.
        self.alive = self.alive and reply.code != 421 and 400 <= reply.code < 600
        return reply.verdict(step)

    def _group(self, letter: SmtpMail | None) -> bytes:
        if letter is None or not self._pipelining:
            return b""
        return b"".join(command for _, command in self._commands(letter))

    def _commands(self, letter: SmtpMail) -> list[tuple[str, bytes]]:
        options = f" SIZE={len(letter.raw)}" if self._client.has_extn("size") else ""
        options += " BODY=8BITMIME SMTPUTF8" if letter.utf8 else ""
        reports = letter.envelope_id and self._client.has_extn("dsn")
        options += f" RET=HDRS ENVID={letter.envelope_id}" if reports else ""
        notify = " NOTIFY=FAILURE,DELAY" if reports else ""
        return [
            ("mail", f"MAIL FROM:<{letter.sender}>{options}\r\n".encode()),
            ("rcpt", f"RCPT TO:<{letter.recipient}>{notify}\r\n".encode()),
            ("data", b"DATA\r\n"),
        ]

    def _left_over(self) -> bytes:
        # A second reply may have come with the first; it must not count as the reply to the next command.
        sock, file = self._client.sock, self._client.file
        if sock is None or file is None:
            return b""
        usual = sock.gettimeout()
        sock.settimeout(0)
        try:
            return bytes(file.peek(1))
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        finally:
            sock.settimeout(usual)

    def _write(self, content: bytes) -> None:
        if self._client.sock is None:
            raise ConnectionError
        if content:
            self._client.sock.sendall(content)

    def _read(self, timeout_s: float | None = None) -> _Reply:
        sock = self._client.sock
        if sock is None:
            raise ConnectionError
        usual = sock.gettimeout()
        if timeout_s is not None:
            sock.settimeout(timeout_s)
        try:
            reply = _Reply(*self._client.getreply())
        except smtplib.SMTPResponseException as error:
            raise ConnectionError from error
        sock.settimeout(usual)
        return reply
