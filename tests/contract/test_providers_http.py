"""Each HTTP provider's calls to its vendor, and the fallback provider."""

import base64
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config

from mailroom.adapters.providers.failover import FailOver
from mailroom.adapters.providers.postmark import Postmark
from mailroom.adapters.providers.sendgrid import SendGrid
from mailroom.adapters.providers.ses import Ses, once
from mailroom.domain.errors import (
    ConfigurationError,
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientRefused,
    RecipientUnavailable,
    Refused,
    SenderRefused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.domain.parsing import parse_email
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt
from mailroom.sandbox.stand_ins.behaviours import RETRY_AFTER_S, Behaviour
from mailroom.sandbox.stand_ins.postmark import PostmarkStandIn
from mailroom.sandbox.stand_ins.sendgrid import SendGridStandIn
from mailroom.sandbox.stand_ins.ses import SesStandIn
from mailroom.sandbox.stand_ins.vendors import VendorAnswer, serving
from mailroom.testing.clock import Clock
from mailroom.testing.provider import MemoryProvider, a_mail
from mailroom.testing.rate import MemoryRate

LOGO = File(filename="logo.png", content_type="image/png", content=b"png", content_id="logo")
BILL = File(filename="März.pdf", content_type="application/pdf", content=b"pdf")
LINK = "https://mail.acme.example/u/t"


def mail(**changes: Any) -> Outgoing:
    rich: dict[str, Any] = {
        "from_": Party("billing@acme.example", "Acme, Billing"),
        "to": Party("bob@bücher.example", 'Böb "B"'),
        "subject": "Ihre Rechnung für März",
        "html": '<img src="cid:logo">',
        "reply_to": Party("help@acme.example"),
        "headers": (("X-Campaign", "march"),),
        "attachments": (LOGO, BILL),
        "metadata": {"customer": "4711"},
        "unsubscribe": LINK,
    }
    return a_mail(**rich | changes)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def postmark(stack: ExitStack) -> tuple[PostmarkStandIn, Postmark]:
    vendor = PostmarkStandIn()
    url = stack.enter_context(serving(vendor))
    return vendor, stack.enter_context(closing(Postmark(token="t", server="s", url=url, timeout_s=2)))


def ses_client(url: str, config: dict[str, Any]) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("sesv2", endpoint_url=url, region_name="eu-west-1", config=Config(**config), **keys)


def ses(stack: ExitStack, **named: Any) -> tuple[SesStandIn, Ses]:
    vendor = SesStandIn()
    url = stack.enter_context(serving(vendor))
    return vendor, Ses(ses_client(url, once(timeout_s=0.4)), account_id="123456789012", **named)


def test_ses_gets_the_raw_mail_with_its_tag_set_and_tenant(stack: ExitStack) -> None:
    """The tag comes back in every event, the set decides where events go, the tenant is whose reputation counts."""
    vendor, provider = ses(stack, configuration_set="tracked", tenant="acme")
    sent = mail()

    provider.send([sent])

    [payload] = vendor.payloads
    assert payload["EmailTags"] == [{"Name": "mailroom-id", "Value": sent.id}]
    assert (payload["ConfigurationSetName"], payload["TenantName"]) == ("tracked", "acme")
    assert payload["Destination"] == {"ToAddresses": ["bob@xn--bcher-kva.example"]}
    found = parse_email(payload["raw"])
    assert found.subject == sent.subject
    assert f"\r\nX-Correlation-ID: {sent.id}\r\n".encode() in payload["raw"]
    assert b"4711" not in payload["raw"]


@pytest.mark.parametrize("behaviour", [Behaviour.HANGS, Behaviour.RESETS_AFTER, Behaviour.FAILS_AFTER, Behaviour.SLOW])
def test_ses_is_called_once_whatever_happens(stack: ExitStack, behaviour: Behaviour) -> None:
    """boto3 itself would send again after a timeout, three to five times."""
    vendor, provider = ses(stack)
    vendor.behaviours.append(behaviour)

    provider.send([mail()])

    assert vendor.requests == 1


def test_a_client_that_retries_by_itself_is_not_accepted() -> None:
    """The setting is one word far from here; without this check its removal would go unnoticed."""
    client = ses_client("http://127.0.0.1:9", {"retries": {"mode": "standard"}})

    with pytest.raises(ConfigurationError):
        Ses(client, account_id="123456789012")


def test_the_quota_is_asked_once_a_minute(stack: ExitStack) -> None:
    """SES allows one such request a second for the whole account."""
    vendor, clock = SesStandIn(), Clock()
    client = ses_client(stack.enter_context(serving(vendor)), once())
    provider = Ses(client, account_id="123456789012", clock=clock)

    first = provider.quota()
    vendor.account["SendingEnabled"] = False
    soon = provider.quota()
    clock.now = 60
    later = provider.quota()

    assert first == soon == ProviderQuota(per_second=14.0, per_day=50_000, sent_today=12, paused=False)
    assert later.paused
    assert vendor.requests == 2


def test_an_account_that_ses_has_shut_down_is_paused(stack: ExitStack) -> None:
    """On probation it still sends; shut down it does not. -1 is SES's value for no daily limit."""
    vendor, provider = ses(stack)
    vendor.account |= {"EnforcementStatus": "SHUTDOWN", "SendQuota": {"Max24HourSend": -1.0, "MaxSendRate": 90.0}}

    quota = provider.quota()

    assert (quota.paused, quota.per_day, quota.per_second) == (True, None, 90.0)


def test_the_emulator_s_ses_takes_what_we_send(emulator: str) -> None:
    """moto's own SESv2 parses the raw mail and knows verified identities: an independent check of the request."""
    client = ses_client(emulator, once())
    client.create_email_identity(EmailIdentity="acme.example")
    provider = Ses(client, account_id="123456789012")

    [taken, refused] = provider.send([mail(), mail(from_=Party("eve@evil.example"))])
    quota = provider.quota()

    assert isinstance(taken, ProviderReceipt)
    assert isinstance(refused, SenderRefused)
    assert (refused.facts["code"], refused.facts["sender_domain"]) == ("MessageRejected", "evil.example")
    assert quota == ProviderQuota()


def test_sendgrid_gets_every_field_in_its_own_format(stack: ExitStack) -> None:
    """A mail's content must arrive alike through each provider; the caller's metadata is never sent."""
    vendor = SendGridStandIn()
    url = stack.enter_context(serving(vendor))
    provider = stack.enter_context(closing(SendGrid(key="k", account="a", url=url)))
    sent = mail()

    provider.send([sent])

    assert vendor.payloads == [
        {
            "personalizations": [
                {
                    "to": [{"email": "bob@xn--bcher-kva.example", "name": 'Böb "B"'}],
                    "custom_args": {"mailroom-id": sent.id},
                }
            ],
            "from": {"email": "billing@acme.example", "name": "Acme, Billing"},
            "reply_to": {"email": "help@acme.example"},
            "subject": sent.subject,
            "content": [
                {"type": "text/plain", "value": "Hello Bob"},
                {"type": "text/html", "value": '<img src="cid:logo">'},
            ],
            "headers": {
                "X-Correlation-ID": sent.id,
                "List-Unsubscribe": f"<{LINK}>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
                "X-Campaign": "march",
            },
            "attachments": [
                {
                    "content": base64.b64encode(b"png").decode(),
                    "type": "image/png",
                    "filename": "logo.png",
                    "disposition": "inline",
                    "content_id": "logo",
                },
                {
                    "content": base64.b64encode(b"pdf").decode(),
                    "type": "application/pdf",
                    "filename": "März.pdf",
                    "disposition": "attachment",
                },
            ],
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
            },
        }
    ]


def test_sendgrid_takes_no_header_twice(stack: ExitStack) -> None:
    """Its headers are one JSON object: the second of a name would silently replace the first."""
    vendor = SendGridStandIn()
    url = stack.enter_context(serving(vendor))
    provider = stack.enter_context(closing(SendGrid(key="k", account="a", url=url)))

    [result] = provider.send([mail(headers=(("X-A", "1"), ("x-a", "2")))])

    assert isinstance(result, Refused)
    assert vendor.requests == 0


def test_postmark_gets_every_field_in_its_own_format(stack: ExitStack) -> None:
    """Names with quotes and commas must stay names."""
    vendor, provider = postmark(stack)
    sent = mail()

    provider.send([sent])

    [[payload]] = vendor.payloads
    assert payload["From"] == '"Acme, Billing" <billing@acme.example>'
    assert payload["To"] == '"Böb \\"B\\"" <bob@xn--bcher-kva.example>'
    assert payload["Metadata"] == {"mailroom-id": sent.id}
    assert payload["MessageStream"] == "outbound"
    assert {"Name": "X-Correlation-ID", "Value": sent.id} in payload["Headers"]
    assert {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"} in payload["Headers"]
    assert [file.get("ContentID") for file in payload["Attachments"]] == ["cid:logo", None]


def test_postmark_takes_five_hundred_mails_in_a_call(stack: ExitStack) -> None:
    """One call for a batch is what makes it fast; one more than 500 is refused as a whole."""
    vendor, provider = postmark(stack)
    mails = [mail(attachments=()) for _ in range(501)]

    results = provider.send(mails)

    assert vendor.requests == 2
    assert vendor.accepted == [sent.id for sent in mails]
    assert all(isinstance(result, ProviderReceipt) for result in results)


def test_postmark_calls_stay_under_fifty_megabytes(stack: ExitStack) -> None:
    """A call over the limit would be refused with every mail in it."""
    vendor, provider = postmark(stack)
    file = File(filename="a.bin", content_type="a/b", content=bytes(6 * 10**6))

    results = provider.send([mail(attachments=(file,)) for _ in range(7)])

    assert [len(payload) for payload in vendor.payloads] == [6, 1]
    assert all(isinstance(result, ProviderReceipt) for result in results)


def test_one_refused_in_a_postmark_batch_costs_the_others_nothing(stack: ExitStack) -> None:
    """Each mail of a batch has its own response, in order."""
    vendor, provider = postmark(stack)
    vendor.inactive.add("gone@example.com")
    mails = [mail(), mail(to=Party("gone@example.com")), mail()]

    results = provider.send(mails)

    assert [type(result) for result in results] == [ProviderReceipt, RecipientRefused, ProviderReceipt]
    assert isinstance(results[1], Refused)
    on_its_list = {"hard": False, "suppress": "provider_list", "rule": "postmark_inactive"}
    assert results[1].facts == {"provider": "postmark", "code": 406} | on_its_list
    assert vendor.accepted == [mails[0].id, mails[2].id]


def test_a_slow_postmark_is_not_called_for_the_rest(stack: ExitStack) -> None:
    """A provider that throttles gets no more calls; its pause is a field of the error."""
    vendor, provider = postmark(stack)
    vendor.behaviours.append(Behaviour.SLOW)

    results = provider.send([mail(attachments=()) for _ in range(501)])

    assert {type(result) for result in results} == {Throttled}
    assert isinstance(results[-1], Throttled)
    assert results[-1].facts["retry_after_s"] == RETRY_AFTER_S
    assert vendor.requests == 1


def test_postmark_search_is_unreliable_too_early_and_too_late(stack: ExitStack) -> None:
    """The search lags behind, and forgets: no result is then no proof, and `None` would send a second mail."""
    _, provider = postmark(stack)

    for ago in (timedelta(minutes=1), timedelta(days=8)):
        with pytest.raises(OutcomeUnknown):
            provider.ask(mail().id, since=datetime.now(UTC) - ago)


def test_a_redirect_is_not_followed(stack: ExitStack) -> None:
    """A redirect would send the key and the mail to somebody else."""
    vendor = SendGridStandIn()
    moved = VendorAnswer(307, {}, {"Location": "http://127.0.0.1:9/elsewhere"})
    vendor.refusals = {Behaviour.REFUSES: moved}
    vendor.behaviours.append(Behaviour.REFUSES)
    url = stack.enter_context(serving(vendor))
    provider = stack.enter_context(closing(SendGrid(key="k", account="a", url=url)))

    [result] = provider.send([mail()])

    assert type(result) is Paused
    assert vendor.requests == 1


@pytest.mark.parametrize("error", [TransientError("gone"), Paused("stopped")])
def test_the_second_provider_takes_what_the_first_did_not(error: MailroomError) -> None:
    """Nothing was sent, so nothing can arrive twice. The receipt names the provider."""
    first, second, rate = MemoryProvider("first"), MemoryProvider("second"), MemoryRate()
    first.answers.extend([None, error, None])
    mails = [mail(), mail(), mail()]

    results = FailOver(first, second, rate=rate).send(mails)

    assert [result.provider for result in results if isinstance(result, ProviderReceipt)] == [
        "first",
        "second",
        "first",
    ]
    assert second.accepted == [mails[1].id]
    assert rate.asked == [1]


def test_the_second_provider_is_called_within_its_own_rate() -> None:
    """A hundred mails that the first did not take are not a hundred at once for the second."""
    first, second, rate = MemoryProvider("first"), MemoryProvider("second"), MemoryRate(permit=2)
    first.answers.extend([TransientError("gone")] * 3)

    results = FailOver(first, second, rate=rate).send([mail(), mail(), mail()])

    assert [type(result) for result in results] == [ProviderReceipt] * 3
    assert rate.asked == [3, 1]
    assert rate.given_back == 3


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("lost"),
        Refused("no"),
        Throttled("slow"),
        DailyQuota("used up"),
        RecipientUnavailable("greylisted"),
    ],
)
def test_nothing_else_goes_to_the_second_provider(error: MailroomError) -> None:
    """After a lost response the first may have the mail; a limit must not be bypassed; and a receiver greylists from the start."""
    first, second = MemoryProvider("first"), MemoryProvider("second")
    first.answers.append(error)

    results = FailOver(first, second).send([mail()])

    assert results == [error]
    assert second.accepted == []


def test_fail_over_can_do_what_both_can() -> None:
    """A mail that only one of them accepts must not depend on which one is up."""
    first = MemoryProvider("first", capabilities=Capabilities(batch=500, max_bytes=10, asks=True))
    second = MemoryProvider("second", capabilities=Capabilities(batch=1, max_bytes=20, inline=False))

    both = FailOver(first, second)

    assert both.capabilities == Capabilities(batch=1, max_bytes=10, inline=False, asks=False)
    first.allowed = ProviderQuota(paused=True)
    assert both.quota() == second.allowed


def test_the_second_is_asked_when_the_first_has_not_got_it() -> None:
    """Either may have the mail; only when both are sure, neither has it."""
    first, second = MemoryProvider("first"), MemoryProvider("second")
    sent = mail()
    second.send([sent])
    both = FailOver(first, second)

    found = both.ask(sent.id, since=datetime.now(UTC))

    assert isinstance(found, ProviderReceipt)
    assert found.provider == "second"
    assert both.ask(mail().id, since=datetime.now(UTC)) is None
