"""Every outcome of an inbound e-mail, on the whole stack."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest

from mailroom.sandbox.stand_ins.verdicts import EICAR
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, store_as_ses, unannounced, wait_until
from tests.support.stack_workers import FAULTS


def a_mail(subject: str = "Scan", *, text: str = "Attached.", attachment: bytes = b"") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", "someone@acme.test", subject
    mail.set_content(text)
    mail.add_attachment(attachment or os.urandom(3000), maintype="application", subtype="pdf", filename="scan.pdf")
    return mail


def test_everything_is_archived_under_lock_and_the_queue_is_empty(stack: Stack) -> None:
    """After filing, raw e-mail and part are locked deposits, and no message waits any more."""
    stack.receives("anna@acme.test", tenant="acme")
    attachment = os.urandom(5000)

    trace = stack.wait_closed(stack.send(a_mail(attachment=attachment), "anna@acme.test"))

    assert {kept["archive_id"] for kept in trace["deposits"]} == {
        trace["items"][0]["raw_archive_id"],
        f"acme/{hashlib.sha256(attachment).hexdigest()}",
    }
    for kept in trace["deposits"]:
        where = {"Bucket": kept["bucket"], "Key": kept["key"], "VersionId": kept["version"]}
        stored = stack.aws("s3").get_object(**where)
        assert hashlib.sha256(stored["Body"].read()).hexdigest() == kept["sha256"]
        assert stored["ObjectLockRetainUntilDate"] > datetime.now(UTC)
    wait_until(lambda: stack.queue_depth(stack["inbound_queue_url"]) == 0, "the inbound queue is empty")


def test_the_run_shows_what_happened_in_tags_tasks_and_a_report(stack: Stack) -> None:
    """Operators work in the Prefect UI: the five steps by name, and where the mail went."""
    stack.receives("anna@acme.test", tenant="acme")

    trace = stack.wait_closed(stack.send(a_mail(), "anna@acme.test"))

    run_id = trace["email"]["run_id"]
    run = stack.prefect("GET", f"/flow_runs/{run_id}")
    reports = stack.prefect("POST", "/artifacts/filter", {"flow_runs": {"id": {"any_": [run_id]}}})
    assert run["name"] == trace["email"]["message_id"]
    assert set(run["tags"]) >= {"tenant:acme", "route:exact", "prefix:in/", "outcome:filed"}
    assert "1 " in reports[0]["data"] or trace["items"][0]["id"] in reports[0]["data"]
    steps = ["fetch", "decrypt", "route", "archive", "parse", "archive", "create inbox item", "acknowledge"]

    def recorded() -> bool:
        tasks = stack.json("trace", run_id)["run"]["tasks"]
        return [task["name"].rpartition("-")[0] for task in tasks] == steps

    wait_until(recorded, "the task runs are recorded")


def test_a_mail_for_users_of_two_tenants_makes_an_item_for_each(stack: Stack) -> None:
    """Bcc works, because the envelope decides; each tenant has its own deposit and sees only its own item."""
    stack.receives("anna@acme.test", tenant="acme")
    stack.receives("bob@globex.test", tenant="globex", user="bob")

    message_id = stack.send(a_mail(), "anna@acme.test", "bob@globex.test", "anna+invoices@acme.test")
    trace = stack.wait_closed(message_id)

    assert [(item["tenant"], item["recipient"]) for item in trace["items"]] == [
        ("acme", "anna@acme.test"),
        ("globex", "bob@globex.test"),
    ]
    assert len(trace["deposits"]) == 4


def test_a_virus_is_quarantined_with_its_reason_and_kept(stack: Stack) -> None:
    """It becomes no item; it is archived, acknowledged and visible as a failed run that says why."""
    stack.receives("anna@acme.test", tenant="acme")

    message_id = stack.send(a_mail(attachment=EICAR), "anna@acme.test")
    trace = stack.wait_closed(message_id, state="quarantined")

    run = stack.prefect("GET", f"/flow_runs/{trace['email']['run_id']}")
    assert run["state"]["message"] == "quarantined: virus"
    assert {"outcome:quarantined", "reason:virus"} <= set(run["tags"])
    assert trace["items"] == []
    assert len(trace["deposits"]) == 1
    wait_until(lambda: stack.queue_depth(stack["inbound_queue_url"]) == 0, "it is acknowledged")


def test_a_mail_without_a_route_waits_and_is_replayed_under_the_same_run(stack: Stack) -> None:
    """The address was forgotten: the operator adds it and replays, and nothing is archived twice."""
    message_id = stack.send(a_mail(), "newcomer@acme.test")
    before = stack.wait_closed(message_id, state="quarantined")
    stack.receives("newcomer@acme.test", tenant="acme", user="newcomer")

    dry = stack.mailroom("replay", message_id, "--dry-run").stdout
    stack.mailroom("replay", "--state", "quarantined", "--reason", "no_route")
    after = stack.wait_closed(message_id)

    assert before["email"]["reason"] == "no_route"
    assert "would be replayed" in dry
    assert after["email"]["run_id"] == before["email"]["run_id"]
    assert stack.prefect("GET", f"/flow_runs/{after['email']['run_id']}")["run_count"] == 2
    assert [item["recipient"] for item in after["items"]] == ["newcomer@acme.test"]


def test_a_retry_scheduled_as_the_ui_does_is_picked_up(stack: Stack) -> None:
    """Retry in the UI sets AwaitingRetry; the warm worker polls its pool and runs it in its own process."""
    trace = stack.wait_closed(stack.send(a_mail(), "stranger@acme.test"), state="quarantined")
    stack.receives("stranger@acme.test", tenant="acme", user="stranger")
    now = datetime.now(UTC).isoformat()
    state = {"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {"scheduled_time": now}}

    stack.prefect("POST", f"/flow_runs/{trace['email']['run_id']}/set_state", {"state": state})

    assert stack.wait_closed(trace["email"]["message_id"])["items"]


def test_a_quick_run_for_an_object_whose_notices_were_lost_files_it(stack: Stack) -> None:
    """An operator starts the deployment with just the object's bucket and key."""
    stack.receives("anna@acme.test", tenant="acme")
    message_id = "quickrun" + os.urandom(8).hex()
    bucket = stack["inbound_bucket"]
    with unannounced(stack):
        store_as_ses(stack, bucket, message_id, b"Subject: lost notice\r\n\r\nHello\r\n", recipient="anna@acme.test")
    deployment = stack.prefect("GET", "/deployments/name/receive-email/receive-email")

    made = stack.prefect(
        "POST",
        f"/deployments/{deployment['id']}/create_flow_run",
        {"parameters": {"bucket": bucket, "key": f"in/{message_id}"}},
    )

    trace = stack.wait_closed(message_id)
    assert trace["email"]["run_id"] == made["id"]
    assert trace["items"][0]["subject"] == "lost notice"


def test_an_s3_event_alone_is_enough(stack: Stack) -> None:
    """SES's notification was lost: after a grace period the mail is filed by the header that SES itself wrote."""
    stack.receives("anna@acme.test", tenant="acme")
    message_id = "s3only" + os.urandom(8).hex()

    store_as_ses(
        stack, stack["inbound_bucket"], message_id, b"Subject: s3 only\r\n\r\nHello\r\n", recipient="anna@acme.test"
    )

    assert stack.wait_closed(message_id)["items"][0]["recipient"] == "anna@acme.test"


def test_an_object_copied_under_another_key_is_not_opened(stack: Stack) -> None:
    """Write access to the bucket must not be enough to replace one mail by another."""
    stack.receives("anna@acme.test", tenant="acme")
    original = stack.wait_closed(stack.send(a_mail(), "anna@acme.test"))["email"]
    forged = "forged" + os.urandom(8).hex()
    source = {"Bucket": original["bucket"], "Key": original["key"]}

    stack.aws("s3").copy_object(Bucket=original["bucket"], Key=f"in/{forged}", CopySource=source)

    assert stack.wait_closed(forged, state="quarantined")["email"]["reason"] == "not_bound"


def test_the_same_notice_again_and_again_changes_nothing(stack: Stack) -> None:
    """SQS delivers at least once. A message received again while its run is Completed is just acknowledged."""
    stack.receives("anna@acme.test", tenant="acme")
    message_id = stack.send(a_mail(), "anna@acme.test")
    before = stack.wait_closed(message_id)
    event = {"s3": {"bucket": {"name": before["email"]["bucket"]}, "object": {"key": before["email"]["key"]}}}
    body = json.dumps({"Records": [event | {"eventSource": "aws:s3", "eventName": "ObjectCreated:Put"}]})

    for _ in range(3):
        stack.aws("sqs").send_message(QueueUrl=stack["inbound_queue_url"], MessageBody=body)
    wait_until(lambda: stack.queue_depth(stack["inbound_queue_url"]) == 0, "the repeated notices are acknowledged")

    after = stack.json("trace", message_id)
    assert after["items"] == before["items"]
    assert after["email"]["attempts"] == 1


def test_sigterm_releases_unfinished_mail_and_another_worker_files_it(stack: Stack) -> None:
    """A worker ends within ten seconds of SIGTERM, and its unfinished mails are filed once all the same."""
    stack.receives("anna@acme.test", tenant="acme")
    os.kill(stack.part("worker"), signal.SIGSTOP)
    # Each of its mails takes ten minutes there, so that all are unfinished however late it is asked to stop.
    slow = stack.environment_of("worker") | {"PYTHONPATH": str(FAULTS)}
    began = time.monotonic()
    second = subprocess.Popen([sys.executable, "-m", "deployments.worker"], env=slow)
    try:
        message_ids = [stack.send(a_mail("slow 600"), "anna@acme.test") for _ in range(12)]
        running = "select 1 from inbound_email where message_id = any(%s) and state = 'processing'"
        wait_until(lambda: stack.ask(running, message_ids), "the second worker is at work")
        took_s, asked = time.monotonic() - began, time.monotonic()
        second.terminate()
        assert second.wait(timeout=PATIENCE_S) == 0
        # Where its start took longer than ten seconds the machine is slow, and it may take as long to stop.
        assert time.monotonic() - asked < max(10, took_s)
    finally:
        second.kill()
        second.wait()
        os.kill(stack.part("worker"), signal.SIGCONT)

    for message_id in message_ids:
        assert len(stack.wait_closed(message_id)["items"]) == 1


@pytest.mark.parametrize("size", [40 * 1024 * 1024 + 1])
def test_a_mail_over_40_mb_is_refused_with_the_right_code(stack: Stack, size: int) -> None:
    """SES bounces larger mail; the sender gets 552 at once."""
    with pytest.raises(AssertionError, match=r"552|5\.3\.4"):
        stack.send(
            b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 78 + b"\r\n") * (size // 80), "anna@acme.test"
        )
