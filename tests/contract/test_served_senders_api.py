"""A sender that the provider does not serve: refused with the request and its dry run, and shown on the page of senders."""

import logging
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.domain.errors import MailroomError, PermanentError, TransientError
from mailroom.outbound.served_senders import ServedSenders
from mailroom.ports.sender_identities import IdentityState, SenderIdentity
from mailroom.testing.api import BROWSER, Memory, TestClient
from mailroom.testing.sender_identities import MemoryIdentities
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, PORTS, UMBRELLA, batch, kept, refused, submitted

REFUSED = (
    ["from"],
    "SES has not verified the sender domain acme.test: verify it (`mailroom sender verify acme.test`), then send again",
)


@pytest.fixture
def account() -> MemoryIdentities:
    """The account that sends: not from the domain of the batches."""
    return MemoryIdentities("other.test")


@pytest.fixture
def sending(engine: Engine, account: MemoryIdentities) -> OutboundServices:
    made = OutboundServices(*(port(engine) for port in PORTS))
    # Each question is a new one: how long an answer is used has its own tests.
    always = iter(range(0, 10**9, 1000))
    served = ServedSenders(account.served, clock=lambda: float(next(always)))
    return replace(made, served=served, identities=lambda: account)


@pytest.fixture
def api(sending: OutboundServices) -> TestClient:
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    return TestClient(create_app(replace(memory.services(), sending=sending)), headers=ACME)


def page(api: TestClient, path: str, key: dict[str, str] = ACME) -> Any:
    return api.get(path, headers=BROWSER | key)


def test_batch_of_an_unverified_domain_is_refused_with_what_to_do(
    api: TestClient, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """Before anything is stored; only the caller's response names the domain."""
    with caplog.at_level(logging.DEBUG, logger="mailroom"):
        faults = refused(api, batch())

    assert faults == [REFUSED]
    assert kept(engine) == 0
    assert "acme" not in "".join(record.getMessage() for record in caplog.records if record.name.startswith("mailroom"))


def test_dry_run_lists_it_among_the_other_faults(api: TestClient) -> None:
    """All faults at once: the sender, and what else is wrong."""
    asked = batch({"to": "nobody", "subject": "x", "text": "x"})

    seen = api.post("/v1/batches", params={"dry_run": "true"}, json=asked).json()["invalid"]

    assert (seen[0]["where"], seen[0]["what"]) == REFUSED
    assert len(seen) == 2


@pytest.mark.parametrize(
    "params", [{"test_to": "me@acme.test"}, {"preview": "1"}, {"preview": "1", "test_to": "a@b.test"}]
)
def test_test_mails_and_previews_are_refused_like_their_batch(
    api: TestClient, engine: Engine, account: MemoryIdentities, params: dict[str, str]
) -> None:
    """Who tests a letter first learns of it there, and not by a test mail that never arrives."""
    answer = api.post("/v1/batches", params=params, json=batch())
    assert answer.status_code == 422
    assert [(fault["where"], fault["what"]) for fault in answer.json()["errors"]] == [REFUSED]
    assert kept(engine) == 0

    account.create("acme.test", mail_from="")

    assert api.post("/v1/batches", params=params, json=batch()).status_code in (200, 202)


def test_verified_since_is_accepted(api: TestClient, account: MemoryIdentities) -> None:
    """The same batch, as the fault says: verify, then send again."""
    assert refused(api, batch()) == [REFUSED]

    account.create("acme.test", mail_from="")

    submitted(api, batch())


@pytest.mark.parametrize("sender", ["desk@mail.acme.test", "Desk <DESK@ACME.TEST>"])
def test_verified_parent_serves_its_subdomains(api: TestClient, account: MemoryIdentities, sender: str) -> None:
    """SES sends for them."""
    account.create("acme.test", mail_from="")

    submitted(api, batch(**{"from": sender}))


def test_where_the_provider_cannot_be_asked_everything_is_accepted(api: TestClient, account: MemoryIdentities) -> None:
    """An outage or a missing permission never refuses a batch."""
    account.error = TransientError("away")

    submitted(api, batch())


def test_repeated_request_gets_its_first_answer(api: TestClient, account: MemoryIdentities) -> None:
    """Idempotency comes before the check: a domain that was verified then may not be now."""
    account.create("acme.test", mail_from="")
    first = submitted(api, batch(), **{"Idempotency-Key": "k"})

    account.known.clear()

    assert submitted(api, batch(), **{"Idempotency-Key": "k"}) == first


def test_sender_of_another_tenant_is_named_as_that_alone(api: TestClient, engine: Engine) -> None:
    """What the provider says of a domain is not shown to a tenant that may not use it."""
    SqlSenders(engine).allow("umbrella", "@acme.test")

    [(where, what)] = refused(api, batch())

    assert where == ["from"]
    assert "SES" not in what


def test_page_lists_a_tenants_domains_and_their_state(
    api: TestClient, engine: Engine, account: MemoryIdentities
) -> None:
    """Verified by itself, by a parent, or not; a tenant sees its own alone, an administrator all."""
    senders = SqlSenders(engine)
    for pattern in ("@acme.test", "desk@mail.other.test", "@third.test"):
        senders.allow("acme", pattern)
    senders.allow("umbrella", "@umbrella.test")
    for name in ("acme.test", "umbrella.test"):
        account.create(name, mail_from="")

    shown = page(api, "/senders").text

    assert "acme.test" in shown
    assert "covered by <bdi>other.test</bdi>" in shown
    assert shown.count(">not verified<") == 1
    assert "umbrella.test" not in shown
    assert "umbrella.test" in page(api, "/senders", ADMIN).text
    assert "third.test" in page(api, "/senders?tenant=acme", ADMIN).text


def test_page_of_a_domain_has_its_records(api: TestClient, account: MemoryIdentities) -> None:
    """What to copy into DNS, and how far SES is."""
    account.known["acme.test"] = SenderIdentity(
        domain="acme.test",
        state=IdentityState.PENDING,
        dkim=IdentityState.PENDING,
        dkim_tokens=("aaa",),
        dkim_zone="dkim.amazonses.com",
        region="eu-west-1",
    )

    shown = page(api, "/senders?domain=acme.test").text

    assert "aaa._domainkey.acme.test" in shown
    assert "aaa.dkim.amazonses.com" in shown
    assert ">pending<" in shown
    assert "<code>mailroom sender verify acme.test --create --mail-from bounces.acme.test</code>" in shown


@pytest.mark.parametrize(
    "error", [TransientError("away"), PermanentError("AWS refused the request", code="AccessDenied")]
)
def test_page_of_a_domain_where_ses_cannot_be_asked(
    api: TestClient, account: MemoryIdentities, error: MailroomError
) -> None:
    """It says so, and names the command that shows why."""
    account.error = error

    shown = page(api, "/senders?domain=acme.test")

    assert shown.status_code == 200
    assert "Not known now" in shown.text


def test_page_shows_no_other_tenants_domain(api: TestClient, engine: Engine) -> None:
    """As for anything that is not there."""
    SqlSenders(engine).allow("umbrella", "@umbrella.test")

    assert page(api, "/senders?domain=umbrella.test").status_code == 404
    assert page(api, "/senders?domain=umbrella.test", UMBRELLA).status_code == 200
    assert page(api, "/senders?tenant=umbrella").status_code == 404


@pytest.mark.parametrize("domain", ["acme", "a b", "<script>", "a@b.test", "%00.test", "x" * 255])
def test_what_is_no_domain_is_said_so(api: TestClient, domain: str) -> None:
    """No question is asked about it."""
    assert page(api, f"/senders?domain={domain}").status_code == 422


def test_page_without_a_provider_that_can_be_asked(api: TestClient, sending: OutboundServices) -> None:
    """SMTP: the state is not known, and the command shows the records."""
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    plain = replace(memory.services(), sending=replace(sending, served=None, identities=lambda: None))
    relay = TestClient(create_app(plain), headers=ACME)

    assert page(relay, "/senders").status_code == 200
    assert "Not checked here" in page(relay, "/senders?domain=acme.test").text
    submitted(relay, batch())
