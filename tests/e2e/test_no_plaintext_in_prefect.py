"""A mail's content is in the archive and the inbox, and nowhere in Prefect: database, logs, results, report, names."""

import os
from email.message import EmailMessage

from tests.support.canaries import finds
from tests.support.running_stack import Stack, spoil_archive

#: One word for each place of a mail, so that a find says what leaked.
CANARIES = {
    place: f"canary{place}{os.urandom(6).hex()}"
    for place in (
        "sender",
        "name",
        "to",
        "bcc",
        "cc",
        "subject",
        "text",
        "html",
        "filename",
        "content",
        "header",
        "msgid",
    )
}


def test_no_part_of_any_mail_reaches_prefect(stack: Stack) -> None:
    """Three mails that end differently: filed, quarantined, and failed with an exception in the archive."""
    to = f"{CANARIES['to']}@acme.test"
    stack.receives(to, tenant="acme", user="anna")
    stack.receives(f"{CANARIES['bcc']}@acme.test", tenant="acme", user="anna")
    refused = a_mail("the archive refuses this one")
    spoil_archive(stack, attachment_of(refused))

    filed = stack.send(a_mail("filed"), to, f"{CANARIES['bcc']}@acme.test", sender=f"{CANARIES['sender']}@office.test")
    unrouted = stack.send(a_mail("nobody's"), f"{CANARIES['to']}@nowhere.test")
    failed = stack.send(refused, to)
    traces = [
        stack.wait_closed(filed),
        stack.wait_closed(unrouted, state="quarantined"),
        stack.wait_closed(failed, state="failed"),
    ]

    assert traces[2]["run"]["state"] == "Failed"
    inbox = str(stack.ask("select * from inbox_item join attachment on item_id = id"))
    assert all(CANARIES[place] in inbox for place in ("subject", "text", "html", "filename")), "the search itself works"
    assert finds(stack, CANARIES) == []


def a_mail(what: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"{CANARIES['name']} <{CANARIES['sender']}@office.test>"
    mail["To"] = f"{CANARIES['to']}@acme.test"
    mail["Cc"] = f"{CANARIES['cc']}@office.test"
    mail["Subject"] = f"{CANARIES['subject']} {what}"
    mail["Message-ID"] = f"<{CANARIES['msgid']}{os.urandom(3).hex()}@office.test>"
    mail["X-Reference"] = CANARIES["header"]
    mail.set_content(f"{CANARIES['text']} {what}")
    mail.add_alternative(f"<p>{CANARIES['html']} {what}</p>", subtype="html")
    content = f"{CANARIES['content']} {what}".encode()
    mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=f"{CANARIES['filename']}.bin")
    return mail


def attachment_of(mail: EmailMessage) -> bytes:
    content = next(iter(mail.iter_attachments())).get_content()
    assert isinstance(content, bytes)
    return content
