"""The mission's acceptance test, by a plain SMTP client and a real browser."""

import os
import re
from email.message import EmailMessage
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support.running_stack import Stack


def a_mail(subject: str, attachment: bytes, filename: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "Büro Lyon <scanner@office.test>", "anna@acme.test", subject
    mail.set_content("Bonjour Anna,\n\nvoici le bordereau.\n")
    mail.add_attachment(attachment, maintype="application", subtype="pdf", filename=filename)
    return mail


def test_a_mail_with_an_attachment_is_seen_in_the_users_inbox(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    """Given an address of a user's account, when I send an e-mail with an attachment to it, then I see it in that
    user's inbox with the attachment, byte for byte."""
    stack.receives("anna@acme.test", tenant="acme")
    document = b"%PDF-1.7\n" + os.urandom(200_000)

    stack.wait_closed(stack.send(a_mail("Bordereau n° 42", document, "bordereau é.pdf"), "anna@acme.test"))
    page = browser.new_page()
    stack.open_page(page)
    page.get_by_role("link", name=re.compile("anna@acme.test")).click()
    page.get_by_role("link", name=re.compile("Bordereau n° 42")).click()

    expect(page.get_by_text("voici le bordereau")).to_be_visible()
    expect(page.get_by_text("bordereau é.pdf").first).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="bordereau é.pdf").first.click()
    saved = tmp_path / "saved.pdf"
    download.value.save_as(saved)
    assert saved.read_bytes() == document
    assert download.value.suggested_filename == "bordereau é.pdf"
    page.close()


def test_the_item_leads_to_its_run_in_the_prefect_ui(stack: Stack, browser: Browser) -> None:
    """An operator goes from what a user sees to the run that made it, in one click."""
    stack.receives("anna@acme.test", tenant="acme")
    trace = stack.wait_closed(stack.send(a_mail("To the run", b"%PDF-1.7", "a.pdf"), "anna@acme.test"))
    page = browser.new_page()

    stack.open_page(page, f"/items/{trace['items'][0]['id']}")
    page.locator(f"a[href='{trace['run']['url']}']").first.click()

    expect(page.get_by_text(trace["email"]["message_id"]).first).to_be_visible()
    expect(page.get_by_text("Completed").first).to_be_visible()
    page.close()
