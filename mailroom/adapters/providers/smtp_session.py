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
    Refused,
    SenderRefused,
    TransientError,
)
from mailroom.domain.outbound.answers import Phase, classify_smtp, error_of
from mailroom.domain.outbound.answers.texts import enhanced_status


@dataclass(frozen=True, slots=True)
class SmtpMail:
    """A mail with its envelope; `utf8` mails need a server with SMTPUTF8.

    With `envelope_id` the server is asked to report failures and delays, and to return it and the headers (RFC 3461). `from_domain`
    is the domain of From.
    """

    sender: str
    recipient: str
    raw: bytes
    utf8: bool = False
    envelope_id: str = ""
    from_domain: str = ""


@dataclass(frozen=True, slots=True)
class _Reply:
    code: int
    text: bytes


def error_for(phase: Phase, code: int, text: bytes | str, *, from_domain: str = "") -> MailroomError:
    """Return the error that an unsuccessful reply in this phase means."""
    lines = text if isinstance(text, str) else text.decode("utf-8", "replace")
    enhanced = enhanced_status(lines)
    facts = {"provider": "smtp", "step": phase.value, "code": code, "enhanced": enhanced}
    return error_of(classify_smtp(phase, code, enhanced, lines), sender_domain=from_domain.lower(), **facts)


def stops(error: MailroomError | None, letter: SmtpMail, following: SmtpMail | None) -> bool:
    """Return whether the answer to a mail holds for the next one too: of the account, the day's quota, or its sender."""
    if following is None or not isinstance(error, Paused | DailyQuota):
        return False
    return not isinstance(error, SenderRefused) or letter.from_domain == following.from_domain


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

        The list ends where the connection is lost, and at an answer that holds for the next mail too: the mails after that
        were not sent.
        """
        refusals: list[MailroomError | None] = []
        try:
            self._write(self._group(letters[0]))
            for letter, following in zip(letters, [*letters[1:], None], strict=True):
                refusals.append(self._carry(letter, following))
                if not self.alive or stops(refusals[-1], letter, following):
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
            return self._refused(Phase(step), reply, letter, following)
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
            refusal = self._error_of(reply, Phase.AFTER_DOT, letter)
            # The next mail's envelope is on its way already; its replies must not count for another one.
            self.alive = self.alive and not (self._pipelining and stops(refusal, letter, following))
            return refusal
        self.alive = False
        return OutcomeUnknown("the provider's response does not mention the mail", provider="smtp", code=reply.code)

    def _envelope(self, letter: SmtpMail) -> tuple[str, _Reply]:
        """Return the first refused step and its reply; an empty step means that the server waits for the mail."""
        refused = ""
        replies = []
        for step, command in self._commands(letter):
            if not self._pipelining:
                self._write(command)
            try:
                reply = self._read()
            except OSError:
                if not refused:
                    raise
                # It closed after a refusal that it had sent, such as 421.
                self.alive = False
                break
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

    def _refused(self, phase: Phase, reply: _Reply, letter: SmtpMail, following: SmtpMail | None) -> MailroomError:
        error = self._error_of(reply, phase, letter)
        if self.alive:
            try:
                self._write(b"RSET\r\n" + self._group(None if stops(error, letter, following) else following))
                self.alive = self._read().code == 250
            except OSError:
                self.alive = False
        return error

    def _error_of(self, reply: _Reply, phase: Phase, letter: SmtpMail) -> MailroomError:
        # RFC 5321 section 3.8: after 421 the server closes. After an invalid reply, later ones cannot be matched to commands.
        self.alive = self.alive and reply.code != 421 and 400 <= reply.code < 600
        return error_for(phase, reply.code, reply.text, from_domain=letter.from_domain)

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
