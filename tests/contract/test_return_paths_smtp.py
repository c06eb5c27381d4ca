"""Return paths on the wire, and what a refusal at the recipient suppresses: sending on PostgreSQL, to a scripted SMTP server."""

import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.return_paths import SqlReturnPaths
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.delivery.return_paths import token_in
from mailroom.domain.errors import MailroomError, RecipientRefused, Refused, TransientError
from mailroom.domain.outbound.message import Lane
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.return_paths import WithReturnPaths
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import Capabilities
from mailroom.testing.provider import a_mail
from mailroom.testing.return_paths import MemoryReturnPaths
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DOMAIN = "bounces.acme.test"
_SENDER = re.compile(r"MAIL FROM:<([^>]*)>")


@dataclass
class Script:
    """An SMTP server that accepts everything; `features` are its EHLO lines, `commands` those of the envelopes."""

    features: tuple[str, ...] = ("PIPELINING", "DSN")
    commands: list[str] = field(default_factory=list)

    def reply_to(self, line: str) -> str:
        word = line.split(" ")[0].rstrip(":").upper()
        if word == "EHLO":
            return "".join(f"250-{line}\r\n" for line in ("script", *self.features)) + "250 SIZE 40000000"
        if word in ("MAIL", "RCPT"):
            self.commands.append(line)
        return {"DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 OK")

    def senders(self) -> list[str]:
        return [found[1] for line in self.commands if (found := _SENDER.match(line))]


@contextmanager
def served(script: Script) -> Iterator[Smtp]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 hello\r\n")
            with suppress(ConnectionError):
                self.talk()

        def talk(self) -> None:
            while line := self.rfile.readline().decode().rstrip("\r\n"):
                self.wfile.write(f"{script.reply_to(line)}\r\n".encode())
                if line == "DATA":
                    while self.rfile.readline() != b".\r\n":
                        pass
                    self.wfile.write(b"250 accepted\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            with Smtp(host="127.0.0.1", port=server.server_address[1], tls=Tls.OFF, bounces="static@acme.test") as smtp:
                yield smtp
        finally:
            server.shutdown()
            thread.join()


def sent(office: Office, messages: int) -> None:
    batch_id = office.batch(messages, now=NOW)
    sender = Sender(batch_id, Lane.TRANSACTIONAL, office.outbound, clock=lambda: NOW)
    for _ in range(5):
        result = sender.send_some(messages)
        if result.over or result.hold:
            break


def test_each_mail_has_a_return_path_that_finds_its_message(engine: Engine) -> None:
    """The envelope's sender is new for each attempt, and stored before the mail leaves; From stays the caller's."""
    script, paths = Script(), SqlReturnPaths(engine)

    with served(script) as smtp, office_on(engine, provider=smtp) as office:
        office.outbound.return_paths = WithReturnPaths(DOMAIN, paths)
        sent(office, 5)

    tokens = [token_in(sender, DOMAIN) or "" for sender in script.senders()]
    found = [paths.find(token, received_at=NOW) for token in tokens]
    assert len(set(tokens)) == 5
    assert sorted(one.recipient for one in found if one) == [f"u{at}@users.test" for at in range(5)]
    assert {(one.tenant, one.provider, one.attempt) for one in found if one} == {("acme", "smtp", 1)}
    assert not any("users.test" in sender for sender in script.senders())


def test_nothing_is_sent_while_return_paths_cannot_be_stored(engine: Engine) -> None:
    """The intent comes before the act: a mail whose bounce nobody could assign does not leave."""

    class Away(MemoryReturnPaths):
        def issue(self, attempts: Any, *, now: datetime) -> list[str]:
            raise TransientError("the database is away")

    with office_on(engine) as office:
        office.outbound.return_paths = WithReturnPaths(DOMAIN, Away())
        sent(office, 2)

        assert office.statuses() == ["queued", "queued"]
        assert office.provider.accepted == []


def test_a_mail_that_cannot_be_made_takes_no_return_path(engine: Engine) -> None:
    """Each of the others keeps its own."""
    mails = [a_mail(), Refused("too large"), a_mail()]
    with office_on(engine) as office:
        batch_id = office.batch(3, now=NOW)
        claims = office.outbound.dispatch.claim(batch_id, most=3, provider="smtp", now=NOW)
        paths = SqlReturnPaths(engine)

        made = WithReturnPaths(DOMAIN, paths)(mails, claims)

    assert isinstance(made[1], Refused)
    tokens = [token_in(one.return_path or "", DOMAIN) or "" for one in made if not isinstance(one, MailroomError)]
    owners = [found.message_id for token in tokens if (found := paths.find(token, received_at=NOW))]
    assert owners == [claims[0].draft.id, claims[2].draft.id]


@pytest.mark.parametrize("features", [("PIPELINING", "DSN"), ("DSN",), ("PIPELINING",), ()])
def test_a_server_that_reports_deliveries_is_asked_to(features: tuple[str, ...]) -> None:
    """RFC 3461: failures and delays, the headers only, with our id; a server that does not offer it would refuse the words."""
    script, mail = Script(features), a_mail(return_path=f"b+aaaaaaaaaaaaaaaa@{DOMAIN}")

    with served(script) as smtp:
        smtp.send([mail])

    options = [line.split("> ", 1)[1] if "> " in line else "" for line in script.commands]
    asked = f" RET=HDRS ENVID={mail.id}" if "DSN" in features else ""
    assert re.sub(r"SIZE=\d+", "", options[0]) == asked
    assert options[1] == ("NOTIFY=FAILURE,DELAY" if "DSN" in features else "")


def test_a_mail_without_a_return_path_is_sent_as_before() -> None:
    """Without a bounce domain the block's address for bounces stays the envelope's sender, and no report is asked for."""
    script = Script()

    with served(script) as smtp:
        smtp.send([a_mail()])

    assert script.senders() == ["static@acme.test"]
    assert not any("RET=" in line or "NOTIFY=" in line for line in script.commands)


def test_only_smtp_takes_return_paths() -> None:
    """SES, SendGrid and Postmark set the envelope's sender themselves."""
    assert Smtp.capabilities.return_path
    assert not Capabilities().return_path


@pytest.mark.parametrize(
    ("refusal", "suppressed"),
    [
        (RecipientRefused("refused", code=550, enhanced="5.1.1", hard=True), ["u0@users.test"]),
        (RecipientRefused("refused", code=550, enhanced="5.7.1", hard=False), []),
        (RecipientRefused("refused", code=550), []),
        (Refused("refused", code=552, hard=True), []),
        (TransientError("later", hard=True), []),
    ],
)
def test_a_recipient_that_is_refused_for_good_is_suppressed(
    engine: Engine, refusal: MailroomError, suppressed: list[str]
) -> None:
    """`550 5.1.1` to RCPT says what a hard bounce says later; a refusal for another reason must not suppress."""
    with office_on(engine) as office:
        office.provider.answers.append(refusal)
        sent(office, 2)

        assert office.values("select address from suppression where reason = 'hard_bounce'") == suppressed
        assert office.values("select count(*) from suppression s join message m on m.id = s.message_id") == [
            len(suppressed)
        ]


def test_a_late_answer_of_an_earlier_attempt_suppresses_nothing(engine: Engine) -> None:
    """The attempt's number is the fence: the worker was thought dead, and another one sent the message."""
    with office_on(engine) as office:
        batch_id = office.batch(1, now=NOW)
        [claim] = office.outbound.dispatch.claim(batch_id, most=1, provider="smtp", now=NOW)
        late = Outcome(claim.draft.id, claim.attempt - 1, RecipientRefused("refused", hard=True))

        office.outbound.dispatch.settle([late], now=NOW)

        assert office.values("select address from suppression") == []
