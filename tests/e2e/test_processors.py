"""What a route does with its mail besides filing it, on the whole stack."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

import httpx

from tests.e2e.driving import Stack, wait_until


def _sent(stack: Stack) -> list[EmailMessage]:
    """Return what the emulator's SES was handed, as it came."""
    told = httpx.get(f"{stack['aws_endpoint']}/moto-api/data.json", timeout=15).json()
    raws = [one["raw_data"] for one in told["ses"].get("RawMessage", [])]
    return [BytesParser(policy=default).parsebytes(raw.encode()) for raw in raws]  # type: ignore[arg-type]


def test_sender_of_a_scan_gets_one_receipt_with_its_archive_ids(stack: Stack) -> None:
    """The digest: what was kept of the mail, by a step of its own in the run, and not a second time after a replay."""
    stack.mailroom(
        "address", "add", "post@mailroom.test", "--user", "anna", "--tenant", "acme", "--processor", "digest"
    )
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "clerk@office.test", "post@mailroom.test", "Two scans"
    mail.set_content("Attached.")
    mail.add_attachment(b"%PDF-1.7 one", maintype="application", subtype="pdf", filename="one.pdf")

    trace = stack.wait_closed(stack.send(mail, "post@mailroom.test", sender="clerk@office.test"))

    receipts = wait_until(lambda: [one for one in _sent(stack) if one["To"] == "clerk@office.test"], "it is answered")
    kept = {deposit["archive_id"] for deposit in trace["deposits"]}
    text = receipts[0].get_body(("plain",))
    assert len(receipts) == 1
    assert receipts[0]["Auto-Submitted"] == "auto-replied"
    assert text is not None
    assert any(archive_id in text.get_content() for archive_id in kept)
    assert "one.pdf" in text.get_content()
    assert any("digest" in step["name"] or "receipt" in step["name"] for step in trace["run"]["tasks"])
