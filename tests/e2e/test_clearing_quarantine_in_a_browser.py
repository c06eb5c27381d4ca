"""An operator clears 200 quarantined mails from the page, in a real browser, on PostgreSQL. It needs no stack.

What processes a mail is `Desk`, as its flow run does: 200 runs of Prefect take minutes. That the real worker does the same with some
is in tests/e2e/test_quarantine.py.
"""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.inbox.item_marks import SqlItemMarks
from mailroom.api.app import create_app
from mailroom.ports.api_keys import Holder
from mailroom.testing.api import Memory
from tests.support.http_server import basic, serving
from tests.support.quarantined_mails import MINUTE, NOW, SPAM, Desk

HELD, LOST, CHOSEN = 120, 80, 20
_REQUESTED = (
    "select substr(e.key, 4) from replay_mail m join inbound_email e on e.id = m.email_id where m.state = 'requested'"
)


@pytest.fixture
def desk(engine: Engine) -> Desk:
    """Mails that a tenant's policy holds back, and mails to an address that nobody added."""
    desk = Desk(engine)
    for number in range(HELD):
        desk.receives(f"held{number}", "bob@other.test", verdicts=SPAM, at=NOW - (number + 1) * MINUTE)
    for number in range(LOST):
        desk.receives(f"lost{number}", "invoices@acme.test", at=NOW - (number + 1) * MINUTE)
    return desk


@pytest.fixture
def site(desk: Desk) -> Iterator[str]:
    memory, engine = Memory(), desk.engine
    memory.keys.holders.update(
        {"root": Holder("root"), "olga": Holder("olga", "other"), "anna": Holder("anna", "acme")}
    )
    ports = {"reader": SqlInboxReader(engine), "marks": SqlItemMarks(engine), "ledger": desk.ledger, "runs": desk.runs}
    services = replace(memory.services(), **ports, addresses=desk.book, replayer=desk.replayer, now=lambda: NOW)
    with serving(create_app(services)) as url:
        yield url


def opened(browser: Browser, url: str, key: str = "root") -> Page:
    page = browser.new_context(extra_http_headers={"Authorization": basic(key, key)}).new_page()
    page.goto(url)
    return page


def process_some(desk: Desk) -> bool:
    """Do what is due of replays once, with the runs that it requests; return whether there was anything."""
    desk.replayer.advance(now=NOW)
    names = [name for (name,) in desk.sql(_REQUESTED)]
    for name in names:
        desk.processes(name)
    desk.replays.settle(now=NOW)
    return bool(names)


def finish(desk: Desk, page: Page, mails: int) -> None:
    """See the progress of a replay grow on the page, which reloads itself, until nothing is left."""
    expect(page.get_by_role("status")).to_contain_text(f"0 of {mails} done")
    process_some(desk)
    expect(page.get_by_role("status")).to_contain_text(f"20 of {mails} done")
    while process_some(desk):
        pass
    expect(page.get_by_role("status")).to_contain_text(f"{mails} of {mails} done: all is well")


def test_an_operator_clears_200_quarantined_mails(desk: Desk, site: str, browser: Browser) -> None:
    """By reason with counts: some that are chosen are released, then all others, then the missing address is added; each is in
    its inbox, once, and quarantine is empty."""
    page = opened(browser, f"{site}/quarantine")
    groups = page.get_by_role("region", name="By reason")
    expect(groups.locator("li", has_text="spam").locator(".count")).to_have_text(str(HELD))
    expect(groups.locator("li", has_text="no route").locator(".count")).to_have_text(str(LOST))

    groups.get_by_role("link", name="spam", exact=True).click()
    for box in page.locator("input[name=id]").all()[:CHOSEN]:
        box.check()
    page.get_by_role("button", name="Release the chosen").click()
    expect(page.get_by_role("region", name="What it will touch")).to_contain_text(f"at most {CHOSEN} new")
    page.get_by_role("button", name=f"Release {CHOSEN} e-mails").click()
    expect(page.get_by_role("status")).to_contain_text(f"0 of {CHOSEN} done")
    assert process_some(desk)
    expect(page.get_by_role("status")).to_contain_text(f"{CHOSEN} of {CHOSEN} done: all is well")

    page.get_by_role("link", name="Quarantine").first.click()
    page.get_by_role("link", name=f"Release all {HELD - CHOSEN} of spam").click()
    page.get_by_role("button", name=f"Release {HELD - CHOSEN} e-mails").click()
    finish(desk, page, HELD - CHOSEN)

    page.get_by_role("link", name="Quarantine").first.click()
    page.get_by_role("link", name=re.compile("Add this address.*invoices@acme.test")).click()
    page.get_by_label("Tenant").fill("acme")
    page.get_by_role("button", name=f"Add it and replay {LOST}").click()
    finish(desk, page, LOST)

    page.get_by_role("link", name="Quarantine").first.click()
    expect(page.get_by_role("heading", name="Quarantine is empty")).to_be_visible()
    page.context.close()
    filed = desk.sql("select recipient, count(*), count(distinct email_id) from inbox_item group by 1 order by 1")
    assert [tuple(row) for row in filed] == [("bob@other.test", HELD, HELD), ("invoices@acme.test", LOST, LOST)]
    for key, address, others in (("olga", "bob@other.test", "acme.test"), ("anna", "invoices@acme.test", "other.test")):
        inbox = opened(browser, f"{site}/inboxes/{address}", key)
        expect(inbox.locator("[data-row]").first).to_be_visible()
        expect(inbox.get_by_role("main")).not_to_contain_text(others)
        inbox.context.close()
