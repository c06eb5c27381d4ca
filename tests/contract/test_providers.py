"""The port `MailProvider`: every provider sends a mail once and returns its true outcome.

HTTP providers run against stand-ins that answer as the vendors document and misbehave on demand, SMTP against a real
server. What a stand-in accepted is counted, so that a mail sent twice is detected.
"""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from pkgutil import resolve_name
from uuid import UUID

import boto3
import pytest
from botocore.config import Config

from mailroom.adapters.providers.catalogue import PROVIDERS
from mailroom.adapters.providers.folder import Folder
from mailroom.adapters.providers.ses import Ses, once
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.errors import (
    ContentRefused,
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientRefused,
    Refused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.domain.outbound.providers import REGISTRY
from mailroom.ports.provider import MailProvider, ProviderReceipt
from mailroom.sandbox.stand_ins.behaviours import RETRY_AFTER_S, Behaviour
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.sandbox.stand_ins.vendors import Vendor, serving
from mailroom.testing.provider import MemoryProvider, a_mail
from tests.support.loopback_ports import free_port

#: How long a provider waits for a response that never comes, in seconds.
PATIENCE_S = 1.0
#: Providers over HTTP, from the registry: each has a stand-in, and a new provider is included by its row.
VENDORS = {row.name: row for row in REGISTRY if row.stand_in}
TALKING = ["memory", "smtp", "smtp-pipelining", *VENDORS]
ALL = [*TALKING, "file"]

#: The expected result of each behaviour; a class that is no exception stands for a receipt.
MEANS: dict[Behaviour, type[MailroomError] | type[ProviderReceipt]] = {
    Behaviour.GOOD: ProviderReceipt,
    Behaviour.SLOW: Throttled,
    Behaviour.DAILY: DailyQuota,
    Behaviour.STOPPED: Paused,
    Behaviour.REFUSES: RecipientRefused,
    Behaviour.TOO_LARGE: ContentRefused,
    Behaviour.FAILS_AFTER: OutcomeUnknown,
    Behaviour.GARBAGE: OutcomeUnknown,
    Behaviour.TWICE: ProviderReceipt,
    Behaviour.RESETS_AFTER: OutcomeUnknown,
    Behaviour.HANGS: OutcomeUnknown,
}
ACCEPTS = {behaviour for behaviour, kind in MEANS.items() if kind in (ProviderReceipt, OutcomeUnknown)}
#: Combinations that do not exist: a vendor without a daily quota, an SMTP server that fails after it took the mail.
WITHOUT: dict[str, set[Behaviour]] = {
    **{name: set(resolve_name(row.stand_in).without) for name, row in VENDORS.items()},
    "smtp": {Behaviour.FAILS_AFTER},
    "smtp-pipelining": {Behaviour.FAILS_AFTER},
}
MET = [(name, behaviour) for name in TALKING for behaviour in MEANS if behaviour not in WITHOUT.get(name, ())]


def mail(**changes: object) -> Outgoing:
    return a_mail(**{"html": "<p>Hello <b>Bob</b></p>"} | changes)


def meaning(case: "Case", behaviour: Behaviour) -> type[MailroomError] | type[ProviderReceipt]:
    """Return what a behaviour means. Some vendors do not say that a refusal is the recipient's: then it is the mail's."""
    row = VENDORS.get(case.name)
    names_recipients = row is None or resolve_name(row.stand_in).names_recipients
    return MEANS[behaviour] if names_recipients or behaviour is not Behaviour.REFUSES else ContentRefused


@dataclass(slots=True)
class Case:
    """A provider, what its stand-in accepted, and how the stand-in treats the next mail."""

    name: str
    provider: MailProvider
    accepted: Callable[[], list[str]]
    upset: Callable[[Behaviour], object] = field(default=lambda behaviour: None)

    def send(self, *mails: Outgoing) -> list[ProviderReceipt | MailroomError]:
        return self.provider.send(mails)


def memory() -> Case:
    provider = MemoryProvider()

    def upset(behaviour: Behaviour) -> None:
        kind = MEANS[behaviour]
        provider.answers.append(None if kind is ProviderReceipt else kind("configured", retry_after_s=RETRY_AFTER_S))

    return Case("memory", provider, lambda: provider.accepted, upset)


def smtp(name: str, stack: ExitStack) -> Case:
    receiver, port = Receiver(pipelining=name.endswith("pipelining")), free_port()
    stack.enter_context(receiving(receiver, port=port))
    provider = Smtp(host="127.0.0.1", port=port, tls=Tls.OFF, timeout_s=2, answer_s=PATIENCE_S)
    return Case(name, stack.enter_context(provider), lambda: receiver.accepted, receiver.behaviours.append)


def http(name: str, stack: ExitStack) -> Case:
    vendor: Vendor = resolve_name(VENDORS[name].stand_in)()
    adapter = ses if name == "ses" else resolve_name(VENDORS[name].adapter)
    url = stack.enter_context(serving(vendor))
    provider = adapter(**vendor.made_with, url=url, timeout_s=PATIENCE_S)
    return Case(name, provider, lambda: vendor.accepted, vendor.behaviours.append)


def ses(*, url: str, timeout_s: float) -> Ses:
    client = boto3.client(
        "sesv2",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(**once(timeout_s=timeout_s)),
    )
    return Ses(client, account_id="123456789012")


def opened(name: str, stack: ExitStack, folder: Path) -> Case:
    if name == "memory":
        return memory()
    if name == "file":
        return Case(name, Folder(folder), lambda: [path.stem for path in sorted(folder.glob("*.eml"))])
    return smtp(name, stack) if name.startswith("smtp") else http(name, stack)


@pytest.fixture(params=ALL)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    with ExitStack() as stack:
        made = opened(request.param, stack, tmp_path / "mails")
        yield made
        made.provider.close()


@pytest.fixture(params=TALKING)
def talking(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    """A provider whose stand-in can misbehave."""
    with ExitStack() as stack:
        made = opened(request.param, stack, tmp_path)
        yield made
        made.provider.close()


def test_a_mail_is_sent_once_and_returns_a_receipt(case: Case) -> None:
    """The provider's events are matched by the receipt."""
    sent = mail()

    [receipt] = case.send(sent)

    assert isinstance(receipt, ProviderReceipt), receipt
    assert receipt.provider == case.provider.name
    assert receipt.provider_message_id
    assert case.accepted() == [sent.id]


def test_receipts_come_in_the_order_of_the_mails(case: Case) -> None:
    """They are settled by position."""
    mails = [mail() for _ in range(7)]

    receipts = case.send(*mails)

    known = {receipt.provider_message_id for receipt in receipts if isinstance(receipt, ProviderReceipt)}
    assert len(known) == 7
    assert case.accepted() == [sent.id for sent in mails]


def test_an_empty_list_sends_nothing(case: Case) -> None:
    """It must not open a connection, or fail."""
    assert case.send() == []


def test_an_invalid_mail_is_refused_and_the_others_are_sent(case: Case) -> None:
    """No exception for one mail, and nothing of an invalid one reaches the provider."""
    first, evil, last = mail(), mail(subject="x\r\nBcc: eve@evil.example"), mail()

    results = case.send(first, evil, last)

    assert [type(result) for result in results] == [ProviderReceipt, Refused, ProviderReceipt]
    assert case.accepted() == [first.id, last.id]


@pytest.mark.parametrize(("talking", "behaviour"), MET, indirect=["talking"])
def test_each_answer_means_what_became_of_the_mail(talking: Case, behaviour: Behaviour) -> None:
    """Security row 69: garbage, two responses, 413, 429, failure after acceptance, silence; each accepted at most once."""
    talking.upset(behaviour)
    sent = mail()

    [result] = talking.send(sent)

    assert type(result) is meaning(talking, behaviour), result
    assert talking.accepted() == ([sent.id] if behaviour in ACCEPTS else [])


@pytest.mark.parametrize(("talking", "behaviour"), MET, indirect=["talking"])
def test_a_failed_mail_does_not_affect_the_next(talking: Case, behaviour: Behaviour) -> None:
    """The rest of a broken conversation must not be read as the response to the next mail."""
    talking.upset(behaviour)
    talking.send(mail())
    talking.upset(Behaviour.REFUSES)
    refused, sent = mail(), mail()

    results = [*talking.send(refused), *talking.send(sent)]

    assert [type(result) for result in results] == [meaning(talking, Behaviour.REFUSES), ProviderReceipt]
    assert refused.id not in talking.accepted()
    assert talking.accepted()[-1:] == [sent.id]


@pytest.mark.parametrize(("talking", "behaviour"), MET, indirect=["talking"])
def test_errors_repeat_nothing_that_the_other_side_said(talking: Case, behaviour: Behaviour) -> None:
    """A vendor's message may quote the recipient; errors end in logs and in the Prefect UI."""
    talking.upset(behaviour)

    results = talking.send(mail())

    assert not [result for result in results if "bob" in str(result) or "example.com" in str(result)]


@pytest.mark.parametrize("name", ["smtp", *VENDORS])
def test_without_a_connection_nothing_was_sent(name: str) -> None:
    """The one failure that is certain; it may be tried again at once, or by another provider."""
    with ExitStack() as stack:
        talking = opened(name, stack, Path())
    sent = [mail(), mail()]

    results = talking.provider.send(sent)

    assert [type(result) for result in results] == [TransientError, TransientError]


@pytest.mark.parametrize("name", ["smtp", "smtp-pipelining"])
def test_a_reset_before_the_dot_sent_nothing(name: str) -> None:
    """Without the final dot no server may take a mail; the mails behind it were not even tried."""
    with ExitStack() as stack:
        talking = opened(name, stack, Path())
        talking.upset(Behaviour.GOOD)
        talking.upset(Behaviour.RESETS_BEFORE)

        results = talking.send(*[mail() for _ in range(4)])

    assert [type(result) for result in results] == [ProviderReceipt, *[TransientError] * 3]
    assert len(talking.accepted()) == 1


@pytest.mark.parametrize("name", ["smtp", "smtp-pipelining"])
def test_a_reset_after_the_dot_leaves_one_mail_unknown(name: str) -> None:
    """R13: of all mails on a lost connection exactly one may have been accepted, pipelined or not."""
    with ExitStack() as stack:
        talking = opened(name, stack, Path())
        talking.upset(Behaviour.GOOD)
        talking.upset(Behaviour.RESETS_AFTER)

        results = talking.send(*[mail() for _ in range(4)])

    assert [type(result) for result in results] == [ProviderReceipt, OutcomeUnknown, TransientError, TransientError]
    assert len(talking.accepted()) == 2


@pytest.mark.parametrize("name", VENDORS)
def test_a_reset_while_the_request_is_written_is_unknown(name: str) -> None:
    """How much of a request arrived is not known here."""
    with ExitStack() as stack:
        talking = opened(name, stack, Path())
        talking.upset(Behaviour.RESETS_BEFORE)

        [result] = talking.send(mail())

    assert type(result) is OutcomeUnknown
    assert talking.accepted() == []


def test_an_attachment_over_the_limit_is_refused_before_anything_is_sent(case: Case) -> None:
    """Security row 70: the provider's limit is known; a mail over it costs no call, and the others are sent."""
    limit = case.provider.capabilities.max_bytes
    large = mail(attachments=(File(filename="a.bin", content_type="a/b", content=bytes(limit * 3 // 4 + 9)),))
    small = mail()

    results = case.send(large, small)

    assert type(results[0]) is (Refused if case.name != "memory" else ProviderReceipt)
    assert case.accepted()[-1:] == [small.id]
    assert len(case.accepted()) == 1 + (case.name == "memory")


@pytest.mark.parametrize("name", [name for name in VENDORS if not PROVIDERS[name].utf8_addresses])
def test_what_a_provider_cannot_do_is_refused_before_anything_is_sent(name: str) -> None:
    """Silently dropped, the mail would be sent differently from the request."""
    with ExitStack() as stack:
        talking = opened(name, stack, Path())

        [result] = talking.send(mail(to=Party("zoë@example.com")))

    assert isinstance(result, Refused)
    assert result.facts["feature"] == "utf8_addresses"
    assert talking.accepted() == []


def test_a_provider_that_can_be_asked_distinguishes_accepted_from_never_received(case: Case) -> None:
    """This settles outcomes without an event; a provider that cannot know must say so, not return `None`."""
    if case.name in TALKING:
        case.upset(Behaviour.HANGS)
    sent, an_hour_ago = mail(), datetime.now(UTC) - timedelta(hours=1)
    case.send(sent)

    if not case.provider.capabilities.asks:
        with pytest.raises(OutcomeUnknown):
            case.provider.ask(sent.id, since=an_hour_ago)
        return
    receipt = case.provider.ask(sent.id, since=an_hour_ago)
    never = case.provider.ask(str(UUID(int=0)), since=an_hour_ago)

    assert isinstance(receipt, ProviderReceipt)
    assert never is None


def test_the_identity_begins_with_the_name(case: Case) -> None:
    """One rate is kept for each identity, across all workers."""
    assert case.provider.identity.startswith(case.provider.name + "/")
    assert not case.provider.quota().paused


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_happens_no_mail_is_taken_twice(talking: Case, seed: int) -> None:
    """R13, R16: any mix of failures, from several threads, repeated wherever that is safe, until nothing is left to try.

    A receipt is a mail taken once; an error that may be tried again, one not taken; an unknown outcome, once at most.
    """
    dice = random.Random(seed)
    behaviours = [
        behaviour
        for behaviour in MEANS
        if behaviour not in WITHOUT.get(talking.name, ()) and behaviour is not Behaviour.HANGS
    ]
    for behaviour in dice.choices([*behaviours, *[Behaviour.GOOD] * 6], k=60):
        talking.upset(behaviour)
    left = [mail() for _ in range(40)]
    ended: dict[str, ProviderReceipt | MailroomError] = {}

    while left:
        size = talking.provider.capabilities.batch
        calls = [left[at : at + min(size, 5)] for at in range(0, len(left), min(size, 5))]
        with ThreadPoolExecutor(4) as pool:
            results = [result for call in pool.map(talking.provider.send, calls) for result in call]
        ended |= {sent.id: result for sent, result in zip(left, results, strict=True)}
        left = [sent for sent in left if isinstance(ended[sent.id], TransientError)]

    taken = talking.accepted()
    assert len(taken) == len(set(taken))
    assert {known for known, result in ended.items() if isinstance(result, ProviderReceipt)} <= set(taken)
    assert not {known for known, result in ended.items() if isinstance(result, Refused)} & set(taken)
