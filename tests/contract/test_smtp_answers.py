"""What an SMTP provider returns for the replies of each phase, over a socket, pipelined and not."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from mailroom.adapters.providers.failover import FailOver
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.errors import (
    ContentRefused,
    DailyQuota,
    MailroomError,
    Paused,
    RecipientRefused,
    RecipientUnavailable,
    SenderRefused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.message import Outgoing, Party
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.provider import MemoryProvider, a_mail
from tests.support.scripted_smtp import Script, scripted

PIPELINED, PLAIN = ("PIPELINING",), ()
BOTH = pytest.mark.parametrize("features", [PIPELINED, PLAIN])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def provider(stack: ExitStack, script: Script, **settings: Any) -> Smtp:
    stack.enter_context(scripted(script))
    wanted = {"host": "127.0.0.1", "port": script.port, "tls": Tls.OFF, "timeout_s": 3, "answer_s": 3} | settings
    return stack.enter_context(Smtp(**wanted))


def mails(*names: str) -> list[Outgoing]:
    return [a_mail(to=Party(f"{name}@example.com")) for name in names]


def kinds(results: list[ProviderReceipt | MailroomError]) -> list[str]:
    return [type(result).__name__ for result in results]


@BOTH
@pytest.mark.parametrize(
    ("phase", "reply", "kind"),
    [
        ("rcpt", "550 5.4.5 Daily sending quota exceeded", DailyQuota),
        ("rcpt", "554 5.7.1 <bob@example.com>: Relay access denied", Paused),
        ("rcpt", "454 4.7.1 <bob@example.com>: Relay access denied", Paused),
        ("rcpt", "553 5.7.1 <a@acme.example>: Sender address rejected: not owned by user x", SenderRefused),
        ("rcpt", "451 4.3.0 You sent more than 500 mails within a 24-hours period", DailyQuota),
        ("rcpt", "450 mailbox unavailable\nMail send limit exceeded", Throttled),
        ("rcpt", "450 4.1.2 <bob@example.com>: Recipient address rejected: Domain not found", RecipientUnavailable),
        ("rcpt", "550 5.1.1 User unknown in relay recipient table", RecipientRefused),
        ("rcpt", "421 4.7.0 Error: too many errors", Throttled),
        ("mail", "553 5.1.8 Sender address rejected", SenderRefused),
        ("mail", "530 5.7.0 Authentication required", Paused),
        ("mail", "552 5.3.4 message too big", ContentRefused),
        ("mail", "452 4.3.1 disk full", TransientError),
        ("data", "550 Data command rejected: only 200 messages per day", DailyQuota),
        ("data", "451 4.3.5 not now", TransientError),
        ("after_dot", "554 5.7.1 spam message rejected", ContentRefused),
        ("after_dot", "451 4.7.1 try again later", RecipientUnavailable),
        ("after_dot", "550 5.4.5 Daily user sending limit exceeded", DailyQuota),
        ("after_dot", "554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException; failed", SenderRefused),
        ("connect", "554 5.7.1 no SMTP service here", Paused),
        ("connect", "421 4.3.2 not available", TransientError),
        ("connect", "421 4.7.0 too many connections from your address", Throttled),
        ("ehlo", "550 5.7.506 Access denied, bad HELO", Paused),
    ],
)  # fmt: skip
def test_a_reply_means_the_same_over_the_wire(
    stack: ExitStack, features: tuple[str, ...], phase: str, reply: str, kind: type[MailroomError]
) -> None:
    """The reply of the phase that refused counts, not that of the commands pipelined behind it, nor the close after 421."""
    script = Script(replies={phase: reply} | ({"helo": reply} if phase == "ehlo" else {}), features=features)

    [result] = provider(stack, script).send(mails("bob"))

    assert type(result) is kind, result
    assert isinstance(result, MailroomError)
    assert result.facts["step"] == phase
    assert "bob" not in str(result)
    assert script.accepted == []
    if isinstance(result, SenderRefused):
        assert result.facts["sender_domain"] == "acme.example"


@BOTH
def test_a_recipient_s_temporary_answer_costs_the_other_mails_nothing(
    stack: ExitStack, features: tuple[str, ...]
) -> None:
    """One greylisted address among sixty: one connection, and all others are sent."""
    script = Script(recipients={"grey": "450 4.2.0 Greylisted, try again in 300 seconds"}, features=features)
    names = [f"u{number}" for number in range(30)] + ["grey"] + [f"u{number}" for number in range(30, 59)]

    results = provider(stack, script).send(mails(*names))

    assert kinds(results) == ["ProviderReceipt"] * 30 + ["RecipientUnavailable"] + ["ProviderReceipt"] * 29
    assert isinstance(results[30], RecipientUnavailable)
    assert results[30].facts["retry_after_s"] == 300
    assert (len(script.accepted), script.connections) == (59, 1)


def test_a_temporary_answer_at_the_last_mail_of_a_connection_loses_no_mail_behind_it(stack: ExitStack) -> None:
    """A connection carries a hundred mails; the hundred-and-first is not "lost at an earlier mail"."""
    script = Script(recipients={"grey": "450 4.2.0 Greylisted"})
    names = [f"u{number}" for number in range(99)] + ["grey", "u99", "u100"]

    results = provider(stack, script).send(mails(*names))

    assert kinds(results) == ["ProviderReceipt"] * 99 + ["RecipientUnavailable"] + ["ProviderReceipt"] * 2
    assert len(script.accepted) == 101


@BOTH
@pytest.mark.parametrize("phase", ["mail", "rcpt", "after_dot"])
def test_an_account_s_fault_is_met_by_one_mail_of_a_call(
    stack: ExitStack, features: tuple[str, ...], phase: str
) -> None:
    """Forty-nine more refusals would be forty-nine more reasons to block the account."""
    script = Script(replies={phase: "550 5.7.1 Relay access denied, not authenticated"}, features=features)
    smtp = provider(stack, script)

    results = smtp.send(mails(*[f"u{number}" for number in range(50)]))

    assert set(kinds(results)) == {"Paused"}
    assert script.heard.count("mail") <= 2
    script.replies = {}
    assert kinds(smtp.send(mails("bob"))) == ["ProviderReceipt"]


def test_a_sender_s_fault_stops_that_sender_only(stack: ExitStack) -> None:
    """A call may have mails of several senders."""
    script = Script(replies={"mail": "553 5.7.1 Sender address rejected: not owned by user"})
    other = a_mail(from_=Party("desk@umbrella.example"), to=Party("bob@example.com"))

    results = provider(stack, script).send([*mails("a", "b"), other])

    assert kinds(results) == ["SenderRefused"] * 3
    domains = [one.facts["sender_domain"] for one in results if isinstance(one, MailroomError)]
    assert domains == ["acme.example", "acme.example", "umbrella.example"]
    assert script.heard.count("mail") == 2


def test_a_login_that_is_refused_pauses_and_one_that_is_busy_does_not(stack: ExitStack) -> None:
    """535 is a password, 454 a server without its directory."""
    login = {"user": "u", "password": "p"}
    wrong = Script(replies={"auth": "535 5.7.139 Authentication unsuccessful"}, features=("AUTH PLAIN",))
    busy = Script(replies={"auth": "454 4.7.0 Temporary authentication failure"}, features=("AUTH PLAIN",))
    strange = Script(features=("AUTH NTLM",))

    results = [provider(stack, script, **login).send(mails("bob"))[0] for script in (wrong, busy, strange)]

    assert kinds(results) == ["Paused", "TransientError", "Paused"]


def test_a_temporary_answer_for_one_recipient_never_goes_to_the_second_provider(stack: ExitStack) -> None:
    """The receiver greylists each client's address from the start, and the mail would wait longer."""
    script, second = Script(replies={"rcpt": "450 4.2.0 Greylisted"}), MemoryProvider("second")
    both = FailOver(provider(stack, script), second)

    first = both.send(mails("bob"))
    script.replies = {"rcpt": "451 4.3.0 temporary system problem"}
    then = both.send(mails("bob"))

    assert kinds(first) == ["RecipientUnavailable"]
    assert [one.provider for one in then if isinstance(one, ProviderReceipt)] == ["second"]
    assert len(second.accepted) == 1
