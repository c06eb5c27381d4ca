"""Tracking on PostgreSQL: each reported event is handled once and not lost, and one-click unsubscribe works."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.api.app import create_app
from mailroom.delivery.tracking import Tracking
from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.ports.events import Folded
from mailroom.ports.hooks import Hook
from mailroom.ports.queue import Received
from mailroom.testing.api import Memory, TestClient
from mailroom.testing.queue import MemoryQueue

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
HOOKS = Path(__file__).resolve().parents[1] / "data" / "hooks"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mailroom-tracking"
KEY = "an unsubscribe key of some length"
MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"
BATCH = "0190a1b2-0000-7000-8000-00000000000b"


@dataclass
class Case:
    """The service on a database."""

    client: TestClient
    engine: Engine

    def rows(self, statement: str) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement)))

    def track(self, queue: MemoryQueue | None = None) -> int:
        tracking = Tracking(SqlEvents(self.engine), SqlHooks(self.engine), queue or MemoryQueue(), clock=lambda: NOW)
        return tracking.once()


@pytest.fixture
def case(engine: Engine) -> Case:
    services = replace(Memory().services(), events=SqlEvents(engine))
    services = replace(services, settings=services.settings.model_copy(update={"unsubscribe_key": SecretStr(KEY)}))
    return Case(TestClient(create_app(services), base_url="http://mail.example"), engine)


@pytest.fixture
def message(engine: Engine) -> str:
    """A message of acme's that the recorded calls report on."""
    batch = Batch(id=BATCH, tenant="acme", from_=Party("desk@acme.test"))
    draft = Draft(id=MESSAGE, number=0, to=Party("ada@users.test"), content=0)
    SqlOutbox(engine).accept(batch, [Content(subject="s", text="t", html=None)], [draft], now=NOW)
    return MESSAGE


def payload(name: str) -> bytes:
    return (HOOKS / f"{name}.json").read_bytes()


def test_an_unreadable_hook_delays_no_other(case: Case, message: str, engine: Engine) -> None:
    """It was verified when it came, so it is the provider's; its body stays for a person."""
    hooks = SqlHooks(engine)
    hooks.store([Hook("postmark", "1", b"garbage"), Hook("postmark", "2", payload("postmark/delivery"))], now=NOW)

    assert case.track() == 2

    assert [row.status for row in case.rows("select status from message")] == ["delivered"]
    assert hooks.waiting() == 0
    assert len(case.rows("select id from hook")) == 2


def test_what_was_not_recorded_is_not_handled(engine: Engine) -> None:
    """If a worker dies or the database goes away, another worker handles the call."""
    hooks = SqlHooks(engine)
    hooks.store([Hook("ses", "1", b"{}")], now=NOW)

    def fails() -> None:
        with hooks.taken(most=10, now=NOW) as taken:
            assert [hook.id for hook in taken] == ["1"]
            with hooks.taken(most=10, now=NOW) as others:
                assert others == []
            raise TransientError("gone")

    with pytest.raises(TransientError):
        fails()

    assert hooks.waiting() == 1


def test_handled_hooks_are_deleted_after_a_while(engine: Engine) -> None:
    """Bodies hold addresses; unhandled calls stay."""
    hooks = SqlHooks(engine)
    hooks.store([Hook("ses", "1", b"{}")], now=NOW)
    with hooks.taken(most=10, now=NOW):
        pass
    hooks.store([Hook("ses", "2", b"{}")], now=NOW)

    assert hooks.forget(before=NOW) == 0
    assert hooks.forget(before=NOW + timedelta(seconds=1)) == 1
    assert hooks.waiting() == 1


def test_tracking_queue_is_acknowledged_last(engine: Engine, message: str) -> None:
    """In an SNS envelope or raw; an unreadable message is left for the dead letters and delays no other."""
    queue, events = MemoryQueue(), SqlEvents(engine)
    inner = payload("ses/delivery").decode()
    queue.send(inner)
    queue.send(json.dumps({"Type": "Notification", "MessageId": "1", "TopicArn": TOPIC, "Message": inner}))
    queue.send("garbage")
    queue.send(payload("ses/subscription-succeeded").decode())

    handled = Tracking(events, SqlHooks(engine), queue, clock=lambda: NOW).once()

    assert handled == 4
    assert queue.bodies == ["garbage"]
    with engine.connect() as connection:
        assert connection.execute(text("select status from message")).scalar_one() == "delivered"
        assert connection.execute(text("select count(*) from activity where event_id is not null")).scalar_one() == 1


class Picky(SqlEvents):
    """Refuses, as a database may, each call that contains one event."""

    def record(self, events: Sequence[DeliveryEvent], *, now: datetime) -> Folded:
        if any(event.provider_message_id == "refused" for event in events):
            raise PermanentError("the database refused a statement")
        return super().record(events, now=now)


def test_message_that_cannot_be_recorded_delays_no_other(case: Case, message: str, engine: Engine) -> None:
    """It goes to the dead letters in the end; those that came with it are recorded and acknowledged."""
    queue, delivery = MemoryQueue(), json.loads(payload("ses/delivery"))
    refused = json.dumps(delivery | {"mail": delivery["mail"] | {"messageId": "refused"}})
    queue.send(refused)
    queue.send(json.dumps(delivery))

    Tracking(Picky(engine), SqlHooks(engine), queue, clock=lambda: NOW).once()

    assert queue.bodies == [refused]
    assert [row.status for row in case.rows("select status from message")] == ["delivered"]


class Shaky(MemoryQueue):
    """Fails twice, once with an unexpected error, and then stops tracking."""

    def __init__(self, stop: threading.Event) -> None:
        super().__init__()
        self.faults: list[Exception] = [TransientError("away"), KeyError("unforeseen")]
        self._stop = stop

    def receive(self, *, most: int, wait_s: int) -> list[Received]:
        if self.faults:
            raise self.faults.pop()
        self._stop.set()
        return super().receive(most=most, wait_s=0)


def test_tracking_outlives_an_outage(engine: Engine, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs for months beside other loops; no failure may end it silently."""
    monkeypatch.setattr("mailroom.operations.loops.OUTAGE_S", 0)
    stop = threading.Event()
    queue = Shaky(stop)
    queue.send(payload("ses/delivery").decode())

    Tracking(SqlEvents(engine), SqlHooks(engine), queue, clock=lambda: NOW).run(stop)

    assert queue.faults == []
    assert len(queue) == 0


def test_one_click_unsubscribes_once(case: Case, message: str) -> None:
    """RFC 8058: a mail program posts without a cookie, and perhaps twice."""
    url = f"/u/{sign(message, key=KEY.encode())}"

    answers = [case.client.post(url, data={"List-Unsubscribe": "One-Click"}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    [row] = case.rows("select tenant, address, reason, expires_at from suppression")
    assert tuple(row) == ("acme", "ada@users.test", "unsubscribe", None)
    assert len(case.rows("select id from activity where kind = 'unsubscribed'")) == 1


def test_looking_at_an_unsubscribe_link_changes_nothing(case: Case, message: str) -> None:
    """G71: scanners fetch every link; a person sees a button."""
    answer = case.client.get(f"/u/{sign(message, key=KEY.encode())}")

    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert case.rows("select address from suppression") == []


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 5000, "%00", "..%2f..", sign(MESSAGE, key=b"o" * 32)])
def test_forged_unsubscribe_link_changes_nothing(case: Case, message: str, token: str) -> None:
    """G71: nobody can unsubscribe another."""
    assert case.client.post(f"/u/{token}").status_code == 404
    assert case.rows("select address from suppression") == []
