"""Signing in on a running stack, in a browser: a link that really goes by mail, and is nowhere else."""

import json
import re
from datetime import timedelta
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from urllib.parse import urlsplit

import httpx
from playwright.sync_api import Browser, Page, expect

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSessions
from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson
from tests.support.patience import PATIENCE_S
from tests.support.previewed_files import pdf
from tests.support.running_stack import Stack, wait_until

DESK = "desk@storeys.test"
LINK = re.compile(r"http://127\.0\.0\.1:\d+/sign-in/[\w-]{43}")


def mailed_link(stack: Stack, address: str) -> str | None:
    """Return the link in the last mail that SES accepted for this address."""
    answer = httpx.get(f"{stack['aws_endpoint']}/moto-api/data.json", timeout=PATIENCE_S).json()
    found = None
    for raw in answer["ses"]["RawMessage"]:
        mail = message_from_string(raw["raw_data"], policy=default)
        if isinstance(mail, EmailMessage) and address in str(mail["To"]):
            body = mail.get_body(("plain",))
            links = LINK.findall(body.get_content() if body else "")
            found = links[0] if links else found
    return found


def a_letter(to: str, content: bytes) -> EmailMessage:
    """Return a mail with a PDF."""
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "The lease", "landlord@office.test", to
    mail.set_content("As agreed.")
    mail.add_attachment(content, maintype="application", subtype="pdf", filename="lease.pdf")
    return mail


def signed_in(
    stack: Stack, browser: Browser, address: str, role: Role, *inboxes: str, tenant: str | None = None
) -> Page:
    """Return a page of someone who is signed in already, of the tenant that the address names; how people sign in is tested above."""
    engine, tenant = make_engine(stack["database_url"]), tenant or address.rpartition("@")[2].partition(".")[0]
    person = SqlPeople(engine).add(NewPerson(address, role, tenant, inboxes, "cli"))
    secret = SqlSessions(engine).begin(person.id, idle=timedelta(hours=1), lasts=timedelta(hours=1))
    engine.dispose()
    context = browser.new_context()
    name = f"mailroom-{urlsplit(stack['api_url']).port}"
    context.add_cookies([{"name": name, "value": secret or "", "url": stack["api_url"]}])
    return context.new_page()


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


def test_an_administrator_gives_an_inbox_and_its_members_work_in_it(stack: Stack, browser: Browser) -> None:
    """A person is added on the page, signs in by the mailed link, and has no inbox; once it is given there, the person reads the PDF
    of a mail, opens it, marks the mail as done, which a colleague sees, and has everything in German."""
    stack.receives(DESK, tenant="storeys")
    lease = pdf(2)
    item = stack.wait_closed(stack.send(a_letter(DESK, lease), DESK))["items"][0]["id"]
    ada, bob = "ada@storeys-people.test", "bob@storeys-people.test"
    administrator = signed_in(stack, browser, "boss@storeys.test", Role.ADMINISTRATOR)
    colleague = signed_in(stack, browser, bob, Role.MEMBER, DESK, tenant="storeys")

    administrator.goto(f"{stack['api_url']}/people")
    administrator.get_by_label("Address", exact=True).fill(ada)
    administrator.get_by_role("button", name="Add the person").click()
    row = administrator.locator("li.row", has_text=ada)
    expect(row).to_contain_text("no inbox yet")
    member = browser.new_context().new_page()
    member.goto(stack["api_url"])
    member.get_by_label("Your address").fill(ada)
    member.get_by_role("button", name="Send me a link").click()
    expect(member.get_by_text("If this address may sign in")).to_be_visible()
    member.goto(wait_until(lambda: mailed_link(stack, ada), "the link is mailed", timeout_s=120))
    member.get_by_role("button", name="Sign in").click()
    expect(member.get_by_text("No inbox was given to you yet")).to_be_visible()

    row.get_by_text("Change", exact=False).first.click()
    row.get_by_label("Give inboxes").fill(DESK)
    row.get_by_role("button", name="Change the inboxes").click()
    expect(administrator.locator("li.row", has_text=ada)).to_contain_text(DESK)

    member.goto(stack["api_url"])
    member.get_by_role("link", name="The lease").click()
    preview = member.frame_locator("iframe[title='Preview of lease.pdf']")
    expect(preview.get_by_alt_text("Page 1 of 2 of lease.pdf")).to_be_visible()
    with member.expect_download() as opened:
        member.get_by_role("link", name="lease.pdf", exact=True).click()
    assert opened.value.path().read_bytes() == lease
    member.get_by_role("button", name="Done", exact=True).click()
    member.wait_for_url(lambda url: item not in url)
    colleague.goto(f"{stack['api_url']}/items/{item}")
    expect(colleague.locator(".state")).to_contain_text(f"Done by {ada}")

    member.get_by_text(ada).click()
    member.get_by_role("link", name="Your settings").click()
    member.get_by_label("Language").select_option("Deutsch")
    member.get_by_label("Time zone").select_option("Asia/Kolkata")
    member.get_by_role("button", name="Save").click()
    expect(member.get_by_role("status")).to_contain_text("gespeichert")
    member.goto(f"{stack['api_url']}/items/{item}")
    expect(member.locator("html")).to_have_attribute("lang", "de")
    expect(member.locator("time[title*='Asia/Kolkata, UTC+05:30']").first).to_be_attached()
    expect(colleague.locator("html")).to_have_attribute("lang", "en")
    for page in (administrator, colleague, member):
        page.context.close()


def test_nobody_of_another_tenant_sees_anything_of_it(stack: Stack, browser: Browser) -> None:
    """Its member, archivist and administrator open each URL of an item and each list, in a browser: what is not theirs does not
    exist."""
    stack.receives(DESK, tenant="storeys")
    item = stack.wait_closed(stack.send(a_letter(DESK, pdf(3)), DESK))["items"][0]["id"]
    held = stack.send(a_letter("gone@storeys.test", pdf(4)), "gone@storeys.test")
    [held_id] = {one["email"]["id"] for one in [stack.wait_closed(held, state="quarantined")]}
    owner = signed_in(stack, browser, "owner@storeys.test", Role.MEMBER, DESK)
    parts = ("", "/html", "/print", "/source", "/raw", "/files.zip", "/attachments/1", "/attachments/1/preview")
    urls = [f"{stack['api_url']}/items/{item}{part}" for part in parts]
    assert {owner.request.get(url).status for url in [*urls[:1], *urls[2:]]} == {200}

    for role in (Role.MEMBER, Role.ARCHIVIST, Role.ADMINISTRATOR):
        stranger = signed_in(stack, browser, f"{role}@neighbours.test", role, "@neighbours.test", "@storeys.test")
        assert {url: stranger.request.get(url).status for url in urls} == dict.fromkeys(urls, 404)
        stranger.goto(urls[0])
        expect(stranger.get_by_role("main")).to_contain_text("Item not found.")
        assert stranger.request.get(f"{stack['api_url']}/inboxes/{DESK}").status in (403, 404)
        lists = (
            "/",
            "/?show=all&q=lease",
            "/inboxes",
            "/quarantine",
            "/quarantine?reason=no_route",
            "/people",
            "/trail",
            "/keys",
        )
        for path in (*lists, f"/quarantine/replay?id={held_id}", "/status", "/settings"):
            stranger.goto(f"{stack['api_url']}{path}")
            shown = stranger.locator("body").inner_text()
            foreign = ("lease", "Lease", "landlord", DESK, item, held, "owner@")
            # A search shows what was searched for.
            assert not [word for word in foreign if word in shown and word not in path], path
        stranger.context.close()
    owner.context.close()


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
