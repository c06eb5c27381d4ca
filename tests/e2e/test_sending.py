"""Batches end to end: each mail is received once, whichever process dies, and none of its content reaches Prefect."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from signal import SIGKILL

import pytest

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from tests.support.canaries import finds
from tests.support.outgoing_mail import Mailing, MailLine
from tests.support.running_stack import Stack, wait_until
from tests.support.smtp_sink import END, counting_server

CANARIES = {
    place: f"canary{place}{os.urandom(6).hex()}"
    for place in ("to", "name", "subject", "text", "html", "data", "metadata", "filename", "content")
}


@pytest.fixture
def mailing(stack: Stack) -> Iterator[Mailing]:
    """The stack's batches, at the provider's full rate again when the test is over."""
    made = Mailing(stack)
    yield made
    made.at_most(200)


def test_each_recipient_gets_a_batch_once_and_no_content_reaches_prefect(mailing: Mailing, stack: Stack) -> None:
    """From one call of the API to SES and back by its events; the run shows ids and counts, and its links work."""
    batch_id = mailing.post(a_newsletter(200))

    statuses = mailing.ended(batch_id)
    run = mailing.run_is(batch_id, "COMPLETED")

    assert mailing.received(batch_id) == Counter(dict.fromkeys(statuses, 1))
    assert {"lane:bulk", "tenant:default", f"batch:{batch_id}"} <= set(run["tags"])
    assert mailing.artifacts(batch_id)["progress"] == 100.0
    some_id, [raw] = next(iter(mailing.mails(batch_id).items()))
    assert stack.json("trace", some_id)["messages"][0]["run"]["id"] == run["id"]
    leaves(mailing, stack, some_id, raw)
    kept = str(
        stack.ask(
            'select content.text, "to", data, message.metadata, enclosures from content join message using (batch_id)'
        )
    )
    assert all(CANARIES[place] in kept for place in ("to", "name", "text", "data", "metadata", "filename"))
    assert finds(stack, CANARIES) == []


def a_newsletter(mails: int) -> dict[str, object]:
    """Return a request with a canary word in every field."""
    words = {
        "subject": f"{CANARIES['subject']} {{{{ who }}}}",
        "text": f"{CANARIES['text']} {{{{ who }}}}",
        "html": f"<p>{CANARIES['html']} {{{{ who }}}}</p>",
        "unsubscribe": True,
        "attachments": [{"filename": f"{CANARIES['filename']}.txt", "content": "aGVsbG8="}],
    }
    people = [
        {
            "to": f"{CANARIES['name']} <{CANARIES['to']}{number}@users.test>",
            "data": {"who": f"{CANARIES['data']} {number}"},
            "metadata": {"case": CANARIES["metadata"]},
        }
        for number in range(mails)
    ]
    return {"template": words, "recipients": people}


def leaves(mailing: Mailing, stack: Stack, message_id: str, raw: str) -> None:
    """Click the mail's own link to unsubscribe (RFC 8058), and be suppressed."""
    unfolded = re.sub(r"\r?\n[ \t]", "", raw)
    [link] = re.findall(r"List-Unsubscribe: <(https://\S+)>", unfolded)
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in unfolded

    answer = mailing.api.post(link.removeprefix(stack["public_url"]), data={"List-Unsubscribe": "One-Click"})

    assert answer.status_code == 200
    [(recipient,)] = stack.ask("select recipient from message where id = %s", message_id)
    assert stack.ask("select reason from suppression where address = %s", recipient) == [("unsubscribe",)]


def test_a_batch_goes_on_where_killed_and_stopped_workers_left_it(mailing: Mailing, stack: Stack) -> None:
    """kill -9, then SIGTERM, then Retry in the UI: one run, each mail at most once, and unknown outcomes are shown as such.

    The two workers send to Debian's smtp-sink, which counts; the stack's worker, which runs the Retry, to SES.
    """
    line = MailLine(stack)
    words = {"subject": "Hello {{ name }}", "text": f"Dear {{{{ name }}}},\n\nhello.\n\n{END}"}
    with counting_server() as (port, received):
        # Slow enough that a worker cannot send all the rest while it stops.
        mailing.at_most_by_smtp(10, port)
        with line.worker(faulty=True, MAILROOM_FAULTS_SMTP=str(port)) as victim:
            batch_id = line.submit(mailing, 200, template=words)
            wait_until(lambda: len(received()) >= 30, "30 mails are received")
            victim.signal(SIGKILL)
        with line.worker(faulty=True, MAILROOM_FAULTS_SMTP=str(port)) as second:
            wait_until(lambda: len(received()) >= 90, "90 mails are received")
            assert second.stops_within(15)
        by_smtp = Counter(received())
    crashed = mailing.run_is(batch_id, "CRASHED")

    retry = {"state": {"type": "SCHEDULED", "name": "AwaitingRetry", "state_details": {}}, "force": True}
    stack.prefect("POST", f"/flow_runs/{crashed['id']}/set_state", retry)
    done = mailing.run_is(batch_id, "COMPLETED")
    # As two minutes later, when another worker takes over.
    engine = make_engine(stack["database_url"])
    SqlDispatch(engine).strand(before=datetime.now(UTC), now=datetime.now(UTC))
    engine.dispose()
    statuses = mailing.ended(batch_id)

    all_received = by_smtp + mailing.received(batch_id)
    unknown = {one for one, status in statuses.items() if status == "unknown"}
    assert (done["id"], done["run_count"]) == (crashed["id"], 3)
    assert by_smtp.total() >= 90
    assert set(all_received.values()) == {1}
    assert all_received.keys() | unknown == statuses.keys()
    assert len(unknown) <= 32


def test_cancelling_a_running_batch_reports_exactly_what_was_sent(mailing: Mailing) -> None:
    """An operator who stops a wrong newsletter must know who got it."""
    mailing.ended(mailing.submit(1))
    mailing.at_most(20)
    # The worker reads the limit every two seconds; until then 400 may still be sent at the old rate.
    batch_id = mailing.submit(600)
    mailing.has_received(batch_id, 20)

    answer = mailing.api.post(f"/v1/batches/{batch_id}/cancel")
    assert answer.status_code == 200, answer.text
    output = answer.json()
    statuses = mailing.ended(batch_id)
    mailing.run_is(batch_id, "COMPLETED")

    gone = {one["id"] for one in output["gone"]}
    assert mailing.received(batch_id) == Counter(dict.fromkeys(gone, 1))
    assert {one for one, status in statuses.items() if status == "cancelled"} == statuses.keys() - gone
    assert output["cancelled"] == 600 - len(gone) > 0
