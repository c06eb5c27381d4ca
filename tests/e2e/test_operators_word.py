"""An operator's decisions in the Prefect UI, in a real browser: cancel is final, a deleted run holds its batch, pause and limits."""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.outgoing_mail import Mailing
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, wait_until

RECEIVE = "/deployments/name/receive-email/receive-email"


@pytest.fixture
def mailing(stack: Stack) -> Mailing:
    """The stack's batches."""
    return Mailing(stack)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of the browser."""
    made = browser.new_page(viewport={"width": 1280, "height": 900})
    yield made
    made.close()


def picture(page: Page, name: str) -> None:
    """Save what the page shows, where a person asked for pictures."""
    if folder := os.environ.get("MAILROOM_PICTURES"):
        page.screenshot(path=Path(folder) / f"line6-{name}.png")


def open_run(page: Page, stack: Stack, run: dict[str, Any], deployment: str) -> None:
    """Open a run's page, which names its deployment."""
    page.goto(f"{stack['prefect_url']}/runs/flow-run/{run['id']}")
    expect(page.locator(f"a[href*='/deployments/deployment/{run['deployment_id']}']").first).to_contain_text(deployment)


def cancel_in_the_ui(page: Page) -> None:
    """Press Cancel, and confirm it."""
    page.get_by_role("button", name="Cancel").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Confirm").click()


def delete_in_the_ui(page: Page) -> None:
    """Choose Delete in the menu of the run's page, and confirm it."""
    page.get_by_role("button", name="Cancel").first.wait_for()
    page.locator("button.p-button.h-10.w-10").first.click()
    page.get_by_text("Delete", exact=True).last.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()


def swept(stack: Stack) -> str:
    """Run the sweep over everything that is due, and return its message."""
    deployment = stack.prefect("GET", "/deployments/name/sweep-outbound/sweep-outbound")
    asked = {"parameters": {"older_than_minutes": 0}}
    run = stack.prefect("POST", f"/deployments/{deployment['id']}/create_flow_run", asked)

    def ended() -> Any:
        found = stack.prefect("GET", f"/flow_runs/{run['id']}")
        return found["state"]["message"] if found["state_type"] == "COMPLETED" else None

    return str(wait_until(ended, "the sweep has ended"))


def only_run(mailing: Mailing, batch_id: str) -> dict[str, Any]:
    """Return the run of a batch, once it is there."""
    return dict(wait_until(lambda: mailing.runs(batch_id), "the batch has its run")[0])


def in_an_hour() -> str:
    """Return a time to send at."""
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def an_hour_passes(stack: Stack, batch_id: str) -> None:
    """Make a batch that is due in an hour overdue."""
    for table in ("message", "outbox"):
        stack.ask(f"update {table} set due_at = now() - interval '1 minute' where batch_id = %s returning 1", batch_id)


def mail(subject: str) -> EmailMessage:
    """Return a small mail."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "scanner@office.test", "operator@acme.test", subject
    made.set_content("Attached.")
    return made


def test_scheduled_sends_that_are_cancelled_or_deleted_in_the_ui_are_not_sent(
    mailing: Mailing, stack: Stack, page: Page
) -> None:
    """A cancel is a person's decision and final, though a sweep runs afterwards; a deleted run holds its batch until a
    person resumes it, and each mail is sent once then.
    """
    cancelled, deleted = (mailing.submit(3, send_at=in_an_hour()) for _ in range(2))
    open_run(page, stack, only_run(mailing, cancelled), "send-batch")
    cancel_in_the_ui(page)
    expect(page.get_by_text("Cancelled", exact=True).first).to_be_visible()
    picture(page, "cancelled-run")
    open_run(page, stack, only_run(mailing, deleted), "send-batch")
    delete_in_the_ui(page)

    def decided() -> bool:
        return set(mailing.statuses(cancelled).values()) == {"cancelled"} and set(
            mailing.statuses(deleted).values()
        ) == {"held"}

    wait_until(decided, "the ledger says what was decided")
    stack.open_page(page, f"/batches/{deleted}")
    picture(page, "held-batch")
    for batch_id in (cancelled, deleted):
        an_hour_passes(stack, batch_id)
    assert swept(stack) == "queued 0 batches again"
    assert mailing.received(cancelled) == mailing.received(deleted) == Counter()

    stack.mailroom("batch", "resume", deleted)
    mailing.has_received(deleted, 3)

    reasons = stack.ask("select distinct status, reason from message where batch_id = %s", cancelled)
    assert reasons == [("cancelled", "cancelled_in_prefect")]
    assert set(mailing.received(deleted).values()) == {1}
    assert swept(stack) == "queued 0 batches again"
    assert mailing.received(cancelled) == Counter()


def test_a_running_send_that_is_cancelled_in_the_ui_ends_within_seconds(
    mailing: Mailing, stack: Stack, page: Page
) -> None:
    """What SES accepted stays, the rest is cancelled, and the run is Cancelled; it once stayed Cancelling for ever."""
    mailing.ended(mailing.submit(1))  # The first mail makes the limit of its provider.
    mailing.at_most(5)
    mailing.knows_limit(5)
    batch_id = mailing.submit(400)
    mailing.has_received(batch_id, 5)
    open_run(page, stack, only_run(mailing, batch_id), "send-batch")

    cancel_in_the_ui(page)

    mailing.run_is(batch_id, "CANCELLED")
    statuses = mailing.ended(batch_id)
    counted = Counter(statuses.values())
    page.reload()
    expect(page.get_by_text("Cancelled", exact=True).first).to_be_visible()
    picture(page, "cancelled-running")
    assert counted["cancelled"] > 200
    assert sum(mailing.received(batch_id).values()) == 400 - counted["cancelled"]
    mailing.at_most(200)
    assert swept(stack) == "queued 0 batches again"


def is_held(stack: Stack, by: str | None) -> None:
    """Wait until the stack's worker reports what holds it; None: nothing. Rows of killed workers stay for a while."""
    mine = "select held_by from worker where name like %s"
    name = f"%-{stack.part('worker')}"
    wait_until(lambda: stack.ask(mine, name) == [(by,)], f"it is held by {by}")


def test_mail_waits_while_pool_or_deployment_is_paused_and_a_limit_bounds_it(stack: Stack, page: Page) -> None:
    """Nothing is received and no receive is counted; `status`, the metrics and the page say so. Resumed, all of it is filed,
    one at a time under a limit of 1, which Prefect itself does not apply to runs that a listener makes.

    The UI has a switch for a deployment only while it is paused or has more than three schedules; for a pool it always has.
    """
    stack.receives("operator@acme.test", tenant="acme")
    deployment = stack.prefect("GET", RECEIVE)
    page.goto(f"{stack['prefect_url']}/work-pools/work-pool/mailroom")
    page.locator(".p-toggle").first.click()
    is_held(stack, "work pool mailroom is paused in Prefect")
    picture(page, "paused-pool")
    stack.prefect("PATCH", f"/deployments/{deployment['id']}", {"paused": True, "concurrency_limit": 1})
    page.locator(".p-toggle").first.click()
    is_held(stack, "deployment receive-email is paused in Prefect")
    assert "held: deployment receive-email is paused in Prefect" in stack.mailroom("status").stdout
    by = 'by="deployment receive-email is paused in Prefect"} 1'
    assert by in httpx.get(f"{stack['api_url']}/metrics", timeout=PATIENCE_S).text
    sent = [stack.send(mail(f"Held {number}"), "operator@acme.test") for number in range(4)]
    wait_until(lambda: stack.queue_depth(stack["inbound_queue_url"]) >= 4, "the mails wait")
    page.goto(f"{stack['prefect_url']}/v2/deployments/deployment/{deployment['id']}?tab=Runs")
    switch = page.get_by_role("switch", name="Pause or resume all schedules")
    expect(switch).not_to_be_checked()
    picture(page, "paused-deployment")
    assert stack.ask("select 1 from inbound_email where message_id = any(%s)", sent) == []

    switch.click()

    filed = "select run_id::text from inbound_email where message_id = any(%s) and state = 'filed'"
    wait_until(lambda: len(stack.ask(filed, sent)) == 4, "all of it is filed")
    wait_until(lambda: stack.queue_depth(stack["inbound_queue_url"]) == 0, "all of it is acknowledged")
    found = [stack.prefect("GET", f"/flow_runs/{run_id}") for (run_id,) in stack.ask(filed, sent)]
    times = sorted((run["start_time"], run["end_time"]) for run in found)
    stack.prefect("PATCH", f"/deployments/{deployment['id']}", {"concurrency_limit": None})
    open_run(page, stack, found[0], "receive-email")
    picture(page, "run-with-deployment")
    assert all(before[1] <= after[0] for before, after in pairwise(times))
    is_held(stack, None)
