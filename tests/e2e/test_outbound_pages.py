"""A batch in a real browser, over HTTP, on a real database: from the list to the history of one mail."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.domain.errors import Refused
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.api import NOW, Memory, TestClient
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, batch, message, submitted
from tests.support.http_server import serving


@pytest.fixture
def api(engine: Engine) -> TestClient:
    """The application on a real database."""
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    ports = (SqlOutbox, SqlMessageReader, SqlSuppressions, SqlQuotas, SqlBreakers, SqlSenders, SqlTerms)
    sending = OutboundServices(*(port(engine) for port in ports))
    return TestClient(create_app(replace(memory.services(), sending=sending)), headers=ACME)


@pytest.fixture
def site(api: TestClient) -> Iterator[str]:
    """The same application behind a real server."""
    with serving(api.app) as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without scripts, whose console must stay empty."""
    context = browser.new_context(java_script_enabled=False, extra_http_headers=ADMIN)
    opened, complaints = context.new_page(), []
    opened.on("console", lambda line: complaints.append(line.text))
    yield opened
    context.close()
    assert complaints == []


def test_a_batch_is_followed_to_what_became_of_each_mail(
    api: TestClient, site: str, page: Page, engine: Engine
) -> None:
    """All pages that an operator follows, without a script; the progress bar moves by itself."""
    file = {"filename": '"><img src=x onerror=alert(1)>.pdf', "content_type": "application/pdf", "content": "aGk="}
    output = submitted(api, batch(message(attachments=[file]), message(to="bob@users.test")))
    page.goto(f"{site}/")
    page.get_by_role("link", name="Batches").click()
    page.get_by_role("link", name="2 messages from Acme").click()
    expect(page.locator(".progress")).to_contain_text("0 of 2 done")

    dispatch = SqlDispatch(engine)
    one, other = dispatch.claim(output["id"], most=2, provider="ses", now=NOW)
    outcomes = [
        Outcome(one.draft.id, 1, ProviderReceipt("ses", "0100-x")),
        Outcome(other.draft.id, 1, Refused("no", code=550)),
    ]
    dispatch.settle(outcomes, now=NOW)

    expect(page.locator(".progress")).to_contain_text("2 of 2 done")
    box = page.locator(".progress .bar rect.gone").bounding_box()
    assert box is not None
    assert box["width"] > 100
    page.get_by_role("link", name="1 rejected").click()
    expect(page.locator(".rows .row")).to_have_count(1)
    page.get_by_role("link", name="all", exact=True).click()
    page.get_by_role("link", name="ada@users.test").click()
    expect(page.locator(".history .step")).to_have_text(["accepted", "sending", "dispatched"])
    expect(page.locator("aside")).to_contain_text("0100-x")
    expect(page.locator(".files")).to_contain_text("onerror=alert(1)")
    assert page.locator("img[src=x]").count() == 0

    page.get_by_role("link", name="Batches").first.click()
    page.get_by_role("searchbox").fill("Bob@users.test")
    page.get_by_role("button", name="Find").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("bob@users.test")
    expect(page.locator(".rows .row")).to_have_count(1)
    expect(page.locator(".rows")).to_contain_text("rejected")
