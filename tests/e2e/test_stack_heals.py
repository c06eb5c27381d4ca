"""The whole stack with a part killed: it comes back by itself, and no mail is lost or filed twice."""

import os
import signal
import time
from collections.abc import Iterator
from email.message import EmailMessage
from itertools import count
from typing import Any

import httpx
import pytest

from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.stack import status
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, wait_until

TO = "healed@acme.test"
PARTS = ("worker", "api", "door", "prefect", "postgres")

_numbers = count(1)


@pytest.fixture
def healing(stack: Stack) -> Iterator[Stack]:
    """The stack, with an address that receives; afterwards the other tests know its new processes."""
    stack.receives(TO, tenant="acme")
    yield stack
    stack.facts = stack.json("status")


def part(stack: Stack, name: str) -> dict[str, Any]:
    """Return the supervisor's state of a part; `mailroom status` shows the same, and takes seconds here."""
    run = DataFolder(stack.folder).run()
    assert run is not None
    found: dict[str, Any] = next(one for one in run["parts"] if one["name"] == name)
    return found


def kill(stack: Stack, name: str, number: signal.Signals) -> int:
    """Kill a part, and return its restart count before."""
    shown = part(stack, name)
    os.kill(shown["pid"], number)
    return int(shown["restarts"])


def comes_back(stack: Stack, name: str, restarts: int) -> None:
    def is_back() -> bool:
        shown = part(stack, name)
        return bool(shown["state"] == "ready" and shown["restarts"] == restarts + 1)

    wait_until(is_back, f"{name} is back")


def mail() -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "scanner@office.test", TO, f"healing {next(_numbers)}"
    made.set_content("One page.")
    made.add_attachment(os.urandom(2000), maintype="application", subtype="pdf", filename="a.pdf")
    return made


def items(stack: Stack, message_id: str) -> int:
    query = "select count(*) from inbox_item i join inbound_email e on e.id = i.email_id where e.message_id = %s"
    return int(stack.ask(query, message_id)[0][0])


def test_worker_and_api_come_back_and_a_mail_that_came_meanwhile_is_filed(
    healing: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor restarts them; until then the mail waits in its queue."""
    monkeypatch.setenv("MAILROOM_DATA", str(healing.folder))
    restarts = {name: kill(healing, name, signal.SIGKILL) for name in ("worker", "api")}
    under_way = status()["state"]
    waiting = healing.send(mail(), TO)

    for name, before in restarts.items():
        comes_back(healing, name, before)

    assert under_way == "restarting"
    healing.wait_closed(waiting)
    assert items(healing, waiting) == 1
    assert httpx.get(f"{healing['api_url']}/healthz", timeout=PATIENCE_S).is_success
    healing.wait_closed(healing.send(mail(), TO))
    assert healing.mailroom("status").stdout.count("was killed by SIGKILL") == 2
    assert part(healing, "postgres")["restarts"] == 0


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("name", PARTS)
def test_each_part_comes_back_alone_and_a_mail_in_flight_is_filed_once(
    healing: Stack, name: str, number: signal.Signals
) -> None:
    """Its unfinished work continues or is taken over; later mails are filed as usual."""
    others = {other: part(healing, other) for other in PARTS if other != name}
    in_flight = healing.send(mail(), TO)
    began = time.monotonic()
    restarts = kill(healing, name, number)
    comes_back(healing, name, restarts)
    healed_s = time.monotonic() - began

    healing.wait_closed(in_flight)
    in_flight_s = time.monotonic() - began
    after = healing.send(mail(), TO)
    sent_at = time.monotonic()
    healing.wait_closed(after)

    print(
        f"| {name} | {number.name} | {healed_s:.1f} | in flight: filed {in_flight_s:.1f} s after the kill, "
        f"{healing.ask('select attempts from inbound_email where message_id = %s', in_flight)[0][0]} attempts "
        f"| afterwards: filed in {time.monotonic() - sent_at:.1f} s |"
    )
    assert (items(healing, in_flight), items(healing, after)) == (1, 1)
    for other, before in others.items():
        assert part(healing, other)["pid"] == before["pid"], f"{other} was started again for {name}"
