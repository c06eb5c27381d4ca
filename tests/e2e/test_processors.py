"""Processors of a route, on the whole stack."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

import httpx

from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, wait_until


def _sent(stack: Stack) -> list[EmailMessage]:
    """Return the mails that the emulator's SES accepted, unchanged."""
    output = httpx.get(f"{stack['aws_endpoint']}/moto-api/data.json", timeout=PATIENCE_S).json()
    raws = [one["raw_data"] for one in output["ses"].get("RawMessage", [])]
    return [BytesParser(policy=default).parsebytes(raw.encode()) for raw in raws]  # type: ignore[arg-type]


def test_sender_of_a_scan_gets_one_receipt_with_its_archive_ids(stack: Stack) -> None:
    """The digest lists what was archived, sent by a separate step of the run, and not again after a replay."""
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


def test_a_failed_processor_is_named_and_repeated_by_replay(stack: Stack) -> None:
    """The tenant's URL is refused (it is our own machine); the mail stays filed, and is not filed again."""
    stack.mailroom(
        "address", "add", "webhook@mailroom.test", "--user", "anna", "--tenant", "umbrella", "--processor", "webhook"
    )
    stack.mailroom("tenant", "webhook", "umbrella", "https://127.0.0.1/hook")
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "clerk@office.test", "webhook@mailroom.test", "A scan"
    mail.set_content("Attached.")
    before = stack.wait_closed(stack.send(mail, "webhook@mailroom.test", sender="clerk@office.test"))
    message_id, run_id = before["email"]["message_id"], before["email"]["run_id"]
    run = stack.prefect("GET", f"/flow_runs/{run_id}")
    listed = stack.mailroom("replay", "--processor", "webhook", "--dry-run").stdout
    metrics = httpx.get(f"{stack['api_url']}/metrics", timeout=PATIENCE_S).text
    stack.mailroom("tenant", "webhook", "umbrella", "--remove")

    said = stack.mailroom("replay", message_id).stdout
    url = f"{stack['api_url']}/metrics"
    wait_until(lambda: "processing_failed{" not in httpx.get(url, timeout=PATIENCE_S).text, "it is done")

    after = stack.wait_closed(message_id)
    assert run["state"]["message"] == "filed; failed: webhook/umbrella"
    assert "failed:webhook/umbrella" in run["tags"]
    assert f"{message_id}  filed (webhook/umbrella failed) would be replayed" in listed
    assert 'mailroom_processing_failed{processor="webhook"} 1' in metrics
    assert "replayed: " in said
    assert after["email"]["run_id"] == run_id
    assert "failed:webhook/umbrella" not in stack.prefect("GET", f"/flow_runs/{run_id}")["tags"]
    assert after["items"] == before["items"]
    assert [one["facts"]["outcome"] for one in after["activities"] if one["kind"] == "processed"] == ["failed", "done"]
    assert "nothing to do" in stack.mailroom("replay", message_id).stdout
