"""What an operator does about mails that were not filed, in a real browser, and Prefect and the worker do it."""

import re
from email.message import EmailMessage

import httpx
from playwright.sync_api import Browser, expect

from tests.support.running_stack import Stack, wait_until

_MAILS = 5


def a_mail(number: int, recipient: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", recipient, f"Document {number}"
    mail.set_content("Attached.")
    return mail


def test_an_operator_adds_the_address_that_was_missing_and_its_mails_are_filed(stack: Stack, browser: Browser) -> None:
    """From the list over the preview to the progress; each mail runs again in its own flow run, once."""
    stack.receives("known@newcomer.test", tenant="acme")
    recipient = "missing@newcomer.test"
    sent = [stack.send(a_mail(number, recipient), recipient) for number in range(_MAILS)]
    before = {one: stack.wait_closed(one, state="quarantined")["email"] for one in sent}

    page = browser.new_page()
    stack.open_page(page, "/quarantine")
    page.get_by_role("link", name=re.compile(f"Add this address.*{re.escape(recipient)}")).click()
    expect(page.get_by_role("region", name="What it will touch")).to_contain_text(f"at most {_MAILS} new")
    page.get_by_label("Tenant").fill("acme")
    page.get_by_role("button", name=f"Add it and replay {_MAILS}").click()
    expect(page.get_by_role("status")).to_contain_text(f"{_MAILS} of {_MAILS} done: all is well")

    for one in sent:
        trace = stack.wait_closed(one)
        assert trace["email"]["run_id"] == before[one]["run_id"]
        assert trace["email"]["attempts"] == before[one]["attempts"] + 1
        assert [item["recipient"] for item in trace["items"]] == [recipient]
    page.close()


def test_chosen_mails_are_replayed_and_those_that_fail_again_are_shown(stack: Stack, browser: Browser) -> None:
    """Two of three by their checkboxes: they have no address still, and the page says so and why."""
    stack.receives("known@newcomer.test", tenant="acme")
    recipient = "nobody@newcomer2.test"
    sent = [stack.send(a_mail(number, recipient), recipient) for number in range(3)]
    before = [stack.wait_closed(one, state="quarantined")["email"] for one in sent]

    page = browser.new_page()
    stack.open_page(page, "/quarantine?reason=no_route")
    for line in before[:2]:
        page.locator(f'input[value="{line["id"]}"]').check()
    page.get_by_role("button", name="Replay the chosen").click()
    page.get_by_role("button", name="Replay 2 e-mails").click()
    expect(page.get_by_role("status")).to_contain_text("2 of 2 done; 2 need a person")
    expect(page.get_by_role("main")).to_contain_text("none of its recipients has an address here")

    attempts = [stack.json("trace", one)["email"]["attempts"] for one in sent]
    page.close()
    assert attempts == [before[0]["attempts"] + 1, before[1]["attempts"] + 1, before[2]["attempts"]]


def test_the_status_page_says_that_the_stack_is_well_or_what_needs_a_person(stack: Stack, browser: Browser) -> None:
    """Its rows are of the worker, the queues, the schedules and the database that run here."""

    key = {"Authorization": f"Bearer {stack['api_key']}"}

    def answered() -> bool:
        said = httpx.get(f"{stack['api_url']}/v1/status", headers=key, timeout=60).json()
        names = {row["name"] for row in said["rows"] if row["level"] != "unknown"}
        return {
            "Mail",
            "Dead letters: inbound",
            "Dead letters: mailbox",
            "Dead letters: tracking",
            "watch",
            "reconcile",
            "sweep-inbound",
        } <= names

    # The first look is the slowest: clients are built, and Prefect is asked by a cold one.
    wait_until(answered, "every source has answered", timeout_s=120)
    page = browser.new_page()
    stack.open_page(page, "/status")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"is well|needs? you"))
    expect(page.get_by_role("link", name="Status")).to_have_attribute("aria-current", "page")
    page.close()
