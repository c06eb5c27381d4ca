"""R13 and R15 to their end: workers die, answers are lost, and SES's events settle every message."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from random import Random
from time import sleep
from typing import Any

import httpx
import pytest

from mailroom.sandbox.drills.drill_batches import DrillBatches, open_drill_batches
from mailroom.sandbox.stand_ins.fault_proxy import Fault
from tests.support.faulty_stack import Range, eventually
from tests.support.patience import PATIENCE_S

_OURS = re.compile(r"X-Correlation-ID: (\S+)")

MAILS, KILLS = 300, 6
#: Of ten recipients, the events that SES emits, and the status that they lead to.
EMITTED = {
    "softbounce": ("bounced", {"sent", "bounced_soft"}),
    "open": ("opened", {"sent", "delivered", "opened"}),
    "success": ("delivered", {"sent", "delivered"}),
}
WORDS = ["softbounce", "open", *["success"] * 8]

#: The calls of each worker whose answers are lost: how many, from the nth on.
NTH, LOST = 5, 6
SEND = "POST outbound-emails"


@pytest.fixture
def drill_batches(field: Range) -> Iterator[DrillBatches]:
    """A service that accepts batches and sends through the emulator's SES, slowly enough to be killed meanwhile."""
    with open_drill_batches(field.drill_stack, field.fork_server, lambda: _taken(field)) as made:
        made.choose("mailroom-provider-ses/default", per_second=40.0)
        made.serve()
        yield made


def _taken(field: Range) -> list[str]:
    """Return our ids of the mails that SES accepted, each as often as it did."""
    output = httpx.get(f"{field.drill_stack.facts['aws_endpoint']}/moto-api/data.json", timeout=60).json()
    return [found for mail in output["ses"].get("RawMessage", []) for found in _OURS.findall(mail["raw_data"])]


@pytest.mark.timeout(900)
def test_r13_r15_events_settle_what_kills_and_lost_answers_left_open(field: Range, drill_batches: DrillBatches) -> None:
    """SIGKILL at random in a batch, and dozens of answers lost, while events flow: SES emits events for each mail that it accepted.

    These settle what it accepted, whatever was recorded when the worker died. A mail without events is sent again after
    the window of its policy; then nothing is open, each mail was accepted once, and each history is complete.
    """
    _slow_down(field, drill_batches)
    people = [{"to": f"{WORDS[at % 10]}+{at}@users.test", "data": {"name": f"number {at}"}} for at in range(MAILS)]
    batch_id = drill_batches.post(0, recipients=people, policy="prefer_delivery")

    lost = _kill_while_events_flow(field, batch_id)
    worker = field.ready()
    eventually(lambda: _moving(field, batch_id) == 0, "nothing waits any more", within_s=PATIENCE_S)
    eventually(lambda: field.drill_stack.depth("tracking") == 0, "all events are handled", within_s=PATIENCE_S)
    taken = set(_taken(field))
    left = _statuses(field, batch_id)
    drill_batches.pass_time()
    eventually(lambda: _open(field, batch_id) == 0, "events have settled all that went again", within_s=PATIENCE_S)
    worker.stop()

    received, ends = Counter(_taken(field)), _statuses(field, batch_id)
    assert lost == KILLS * LOST
    assert {left[one] for one in taken & left.keys()} <= {status for status, _ in EMITTED.values()}
    assert {status for one, status in left.items() if one not in taken} <= {"sending", "unknown"}
    assert {one: count for one, count in received.items() if one in ends} == dict.fromkeys(ends, 1)
    assert _wrong(field, batch_id) == []
    assert drill_batches.check()["clean"], json.dumps(drill_batches.check(), indent=1)


def _slow_down(field: Range, drill_batches: DrillBatches) -> None:
    """Edit the provider's limit, which its first mail makes, as an operator does in the Prefect UI."""
    first = drill_batches.post(1)
    worker = field.ready()
    eventually(lambda: _open(field, first) == 0, "the first mail is delivered")
    facts = field.drill_stack.facts
    name = f"rate:ses:{facts['account_id']}:{facts['region']}"
    changed = {"limit": 40, "slot_decay_per_second": 40}
    httpx.patch(f"{facts['prefect_api_url']}/v2/concurrency_limits/{name}", json=changed).raise_for_status()
    worker.kill()


def _kill_while_events_flow(field: Range, batch_id: str) -> int:
    """Kill worker after worker in the middle of the batch, and return how many answers were lost meanwhile."""
    chance, lost = Random(15), 0
    for _ in range(KILLS):
        with field.failing("sesv2", Fault("answer lost", SEND, nth=NTH, times=LOST)) as fault:
            before = _handed(field, batch_id)
            worker = field.fork(visibility_s=2, beat_s=0.4, stop_patience_s=0.0)
            eventually(lambda before=before: _handed(field, batch_id) > before + 20, "some of it is sent")
            sleep(chance.uniform(0.05, 0.6))
            worker.kill()
            assert worker.wait(within_s=10)
        lost += fault.fired
    return lost


def _handed(field: Range, batch_id: str) -> int:
    return _count(field, batch_id, "handed_at is not null")


def _moving(field: Range, batch_id: str) -> int:
    return _count(field, batch_id, "status in ('accepted', 'queued', 'scheduled') or handed_at is null")


def _open(field: Range, batch_id: str) -> int:
    ends = ", ".join(f"'{status}'" for status, _ in EMITTED.values())
    return _count(field, batch_id, f"status not in ({ends})")


def _count(field: Range, batch_id: str, condition: str) -> int:
    query = f"select count(*) from message where batch_id = %s and ({condition})"
    return int(field.drill_stack.ask(query, batch_id)[0][0])


def _statuses(field: Range, batch_id: str) -> dict[str, str]:
    return dict(field.drill_stack.ask("select id::text, status from message where batch_id = %s", batch_id))


def _wrong(field: Range, batch_id: str) -> list[tuple[Any, ...]]:
    """Return the messages whose status or history differs from the events of SES, each recorded once."""
    query = """
        select recipient, status, array_agg(kind order by activity.id) filter (where event_id is not null),
            bool_or(kind = 'accepted') and bool_or(kind = 'sending')
        from message join activity on activity.message_id = message.id where batch_id = %s group by message.id
    """
    wrong = []
    for recipient, status, output, complete in field.drill_stack.ask(query, batch_id):
        expected, kinds = EMITTED[recipient.partition("+")[0]]
        if status != expected or sorted(output or []) != sorted(kinds) or not complete:
            wrong.append((recipient, status, output, complete))
    return wrong
