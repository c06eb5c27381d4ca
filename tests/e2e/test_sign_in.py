"""Signing in on a running stack, in a browser: a link that really goes by mail, and is nowhere else."""

import json
import re
from email import message_from_string
from email.message import EmailMessage
from email.policy import default

import httpx
from playwright.sync_api import Browser, expect

from tests.support.running_stack import Stack, wait_until

LINK = re.compile(r"http://127\.0\.0\.1:\d+/sign-in/[\w-]{43}")


def mailed_link(stack: Stack, address: str) -> str | None:
    """Return the link in the last mail that SES accepted for this address."""
    answer = httpx.get(f"{stack['aws_endpoint']}/moto-api/data.json", timeout=30).json()
    found = None
    for raw in answer["ses"]["RawMessage"]:
        mail = message_from_string(raw["raw_data"], policy=default)
        if isinstance(mail, EmailMessage) and address in str(mail["To"]):
            body = mail.get_body(("plain",))
            links = LINK.findall(body.get_content() if body else "")
            found = links[0] if links else found
    return found


def test_a_member_signs_in_by_mail_reads_a_document_and_signs_out(stack: Stack, browser: Browser) -> None:
    """Given a colleague's link to an item, I type my address, get a mail, press its button, and read the item; then I am out
    everywhere. The link works once, and no log, run or table has it."""
    stack.receives("post@readers.test", tenant="readers")
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Rent 2027", "landlord@office.test", "post@readers.test"
    mail.set_content("As agreed.")
    item = stack.wait_closed(stack.send(mail, "post@readers.test"))["items"][0]["id"]
    me = "ada@elsewhere.test"
    stack.mailroom("user", "add", me, "--tenant", "readers", "--inbox", "post@readers.test")
    context = browser.new_context()
    page = context.new_page()

    page.goto(f"{stack['api_url']}/items/{item}")
    page.get_by_label("Your address").fill(me)
    page.get_by_role("button", name="Send me a link").click()
    expect(page.get_by_text("If this address may sign in")).to_be_visible()
    link = wait_until(lambda: mailed_link(stack, me), "the link is mailed", timeout_s=120)
    page.goto(link)
    expect(page.get_by_text(me)).to_be_visible()
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Rent 2027")).to_be_visible()
    assert page.url == f"{stack['api_url']}/items/{item}"

    page.goto(link)
    expect(page.get_by_text("This link does not work")).to_be_visible()
    page.goto(f"{stack['api_url']}/inboxes")
    page.get_by_role("link", name=re.compile("post@readers.test")).click()
    page.get_by_text(me).click()
    page.get_by_role("button", name="Sign out everywhere").click()
    expect(page.get_by_text("Sign in to Mailroom")).to_be_visible()
    page.goto(f"{stack['api_url']}/items/{item}")
    expect(page.get_by_label("Your address")).to_be_visible()
    context.close()

    done = [(one["what"], one["who"]) for one in stack.json("user", "trail", "--tenant", "readers")]
    assert done == [
        ("signed_out_everywhere", me),
        ("item_opened", me),
        ("signed_in", me),
        ("link_asked", me),
        ("person_added", "cli"),
    ]
    secret = link.rpartition("/")[2]
    assert not [log.name for log in (stack.folder / "logs").iterdir() if secret in log.read_text(errors="replace")]
    runs = stack.prefect("POST", "/flow_runs/filter", {"limit": 200, "sort": "START_TIME_DESC"})
    logs = stack.prefect("POST", "/logs/filter", {"limit": 200, "sort": "TIMESTAMP_DESC"})
    assert secret not in json.dumps([runs, logs])
    [(stored,)] = stack.ask("select string_agg(content::text, '') from content")
    assert secret not in stored
    assert "/sign-in/" in stored


def test_the_demos_link_signs_in(stack: Stack, browser: Browser) -> None:
    """A newcomer follows the last line of `make demo`."""
    output = stack.json("demo", "--mails", "8")
    context = browser.new_context()
    page = context.new_page()

    page.goto(output["sign_in_url"])
    page.get_by_role("button", name="Sign in").click()

    expect(page.get_by_text("delivery-note.pdf").first).to_be_visible()
    assert page.url == output["item_url"]
    expect(page.get_by_text("you@laptop.test")).to_be_visible()
    page.goto(f"{stack['api_url']}/people")
    expect(page.get_by_role("heading", name="People")).to_be_visible()
    context.close()
