"""What an operator does in the Prefect UI, by a real browser."""

import os
import re
from email.message import EmailMessage

from playwright.sync_api import Browser, expect

from tests.support.running_stack import Stack, archive_serves_again, spoil_archive, wait_until


def test_retry_in_the_ui_completes_a_failed_run_and_stores_nothing_twice(stack: Stack, browser: Browser) -> None:
    """The archive refuses, the run fails, the operator repairs the archive and clicks Retry.

    Every step runs again, because Prefect keeps no result with a mail's content. What must not be stored twice is
    identified by content and key: the raw e-mail was deposited by the failed attempt already and stays that one deposit, and
    the inbox item is unique by e-mail and recipient.
    """
    stack.receives("anna@acme.test", tenant="acme")
    attachment = b"%PDF-1.7 " + os.urandom(50)
    spoiled = spoil_archive(stack, attachment)
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", "anna@acme.test", "Retry"
    mail.set_content("Attached.")
    mail.add_attachment(attachment, maintype="application", subtype="pdf", filename="a.pdf")
    failed = stack.wait_closed(stack.send(mail, "anna@acme.test"), state="failed")
    # Without its message, only the operator makes it run again.
    stack.aws("sqs").purge_queue(QueueUrl=stack["inbound_queue_url"])
    archive_serves_again(stack, spoiled)
    run_id = failed["email"]["run_id"]

    page = browser.new_page()
    page.goto(failed["run"]["url"])
    page.get_by_role("button", name="Retry").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Retry").click()
    trace = stack.wait_closed(failed["email"]["message_id"])

    expect(page.get_by_text("Completed").first).to_be_visible()
    page.close()
    states = [state["name"] for state in stack.prefect("GET", f"/flow_run_states/?flow_run_id={run_id}")]
    assert "AwaitingRetry" in states
    assert trace["email"]["run_id"] == run_id
    assert len(trace["items"]) == 1
    assert len(trace["deposits"]) == 2
    raw = trace["items"][0]["raw_archive_id"]
    kept = {kept["archive_id"]: kept["version"] for kept in trace["deposits"]}
    for one in trace["deposits"]:
        stored = stack.aws("s3").list_object_versions(Bucket=one["bucket"], Prefix=one["key"])
        assert [version["VersionId"] for version in stored["Versions"]] == [one["version"]]
    assert {raw: kept[raw]} == {kept["archive_id"]: kept["version"] for kept in failed["deposits"]}


def test_a_quick_run_in_the_ui_lands_on_the_warm_worker(stack: Stack, browser: Browser) -> None:
    """An operator who does not want to wait for the next sweep starts it by hand, with other parameters."""
    deployment = stack.prefect("GET", "/deployments/name/sweep-inbound/sweep-inbound")
    asked = {
        "deployments": {"id": {"any_": [deployment["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}},
    }
    before = len(stack.prefect("POST", "/flow_runs/filter", asked))

    page = browser.new_page()
    page.goto(f"{stack['prefect_url']}/deployments/deployment/{deployment['id']}")
    page.get_by_role("button", name=re.compile("^Run$")).first.click()
    page.get_by_text("Quick run").first.click()

    wait_until(
        lambda: len(stack.prefect("POST", "/flow_runs/filter", asked)) > before,
        "the quick run is completed",
    )
    page.close()
