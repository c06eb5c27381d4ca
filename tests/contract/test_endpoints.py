"""Tenants' webhooks on PostgreSQL: every event at least once, in order, signed by us, and no endpoint delays another."""

import hashlib
import hmac
import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.delivery.tenant_webhooks import run_notifier
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.tenant_webhooks import MOST, PATIENCE
from mailroom.domain.errors import Refused, TransientError
from mailroom.ports.endpoints import Attempt, WebhookDelivery
from mailroom.testing.notices import an_event
from tests.support.batch_requests import UMBRELLA
from tests.support.tenant_endpoints import NOW, URL, Desk, Receiver


@pytest.fixture
def webhook_service(engine: Engine) -> Desk:
    return Desk(engine)


def test_events_of_a_message_are_sent_in_order_and_signed(webhook_service: Desk) -> None:
    """The receiver needs only secret, body and clock to verify that we sent it."""
    webhook = webhook_service.subscribe()
    [message] = webhook_service.send()
    webhook_service.report(message, Kind.DELIVERED, Kind.OPENED)
    receiver = Receiver()

    assert webhook_service.notify(receiver) == 2
    assert webhook_service.notify(receiver) == 0

    [(url, body, headers)] = receiver.posts
    at, proof = headers["Mailroom-Signature"].removeprefix("t=").split(",v1=")
    assert hmac.new(webhook["secret"].encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest() == proof
    assert (url, int(at)) == (URL, int(NOW.timestamp()))
    output = json.loads(body)
    first, second = output["events"]
    assert [output["webhook"], output["tenant"]] == [webhook["id"], "acme"]
    assert (first["event"], second["event"]) == ("message.delivered", "message.opened")
    assert first["sequence"] < second["sequence"]
    assert first["id"] != second["id"]
    assert first["message"]["id"] == message
    assert (first["message"]["to"], first["message"]["metadata"]) == ("u0@users.test", {"order": "7"})
    assert b"secret" not in body


def test_each_endpoint_gets_the_chosen_events_of_its_own_tenant(webhook_service: Desk) -> None:
    """A customer must not learn of another's mail."""
    webhook_service.subscribe("bounced_hard")
    webhook_service.subscribe("delivered", **UMBRELLA)
    [ours], [theirs] = webhook_service.send(), webhook_service.send(tenant="umbrella")
    for message in (ours, theirs):
        webhook_service.report(message, Kind.DELIVERED, Kind.BOUNCED_HARD)
    receiver = Receiver()

    while webhook_service.notify(receiver):
        pass

    output = {json.loads(body)["tenant"]: json.loads(body)["events"] for _, body, _ in receiver.posts}
    assert {tenant: [(one["event"], one["message"]["id"]) for one in events] for tenant, events in output.items()} == {
        "acme": [("message.bounced_hard", ours)],
        "umbrella": [("message.delivered", theirs)],
    }


def test_every_change_of_status_is_notified(webhook_service: Desk) -> None:
    """The database writes the event in the same transaction: accepted, cancelled, sent, settled, none can be missed."""
    webhook_service.subscribe("accepted", "sending", "dispatched", "cancelled", "suppressed")
    [message] = webhook_service.send()
    dispatch = SqlDispatch(webhook_service.engine)
    dispatch.claim(_batch_of(webhook_service.engine, message), most=1, provider="ses", now=NOW)
    webhook_service.send()
    other = _batch_of(webhook_service.engine, None)
    SqlOutbox(webhook_service.engine).cancel("acme", other, now=NOW)
    receiver = Receiver()

    while webhook_service.notify(receiver):
        pass

    assert sorted(event for post in receiver.received for event in post) == [
        "message.accepted", "message.accepted", "message.cancelled", "message.sending",
    ]  # fmt: skip


def _batch_of(engine: Engine, message: str | None) -> str:
    newest = "select batch_id from message order by created_at desc, batch_id desc limit 1"
    asked = text("select batch_id from message where id = :id" if message else newest)
    with engine.connect() as connection:
        return str(connection.execute(asked, {"id": message} if message else {}).scalar_one())


def test_rolled_back_change_is_not_notified(webhook_service: Desk) -> None:
    """Change and event are written together or not at all."""
    webhook_service.subscribe()
    [message] = webhook_service.send()
    broken = an_event(Kind.DELIVERED, "broken", message_id=message, facts={"never": "\x00"})

    with pytest.raises(Exception, match="refused a statement"):
        webhook_service.events.record([an_event(Kind.DELIVERED, "fine", message_id=message), broken], now=NOW)

    assert webhook_service.notify(Receiver()) == 0


def test_failing_endpoint_is_retried_with_backoff_and_in_order(webhook_service: Desk) -> None:
    """Nothing overtakes: a receiver that was down for an hour gets the events in order, with the same ids."""
    webhook = webhook_service.subscribe()
    [message] = webhook_service.send()
    webhook_service.report(message, Kind.DELIVERED)
    receiver = Receiver(TransientError("away", kind="ConnectError"), TransientError("asks", status=503))
    pauses = []

    for _ in range(3):
        assert webhook_service.notify(receiver) == 1
        assert webhook_service.notify(receiver) == 0
        if next_at := webhook_service.shown(webhook)["next_at"]:
            pauses.append(datetime.fromisoformat(next_at) - webhook_service.now)
            webhook_service.now += pauses[-1]
    webhook_service.report(message, Kind.OPENED)
    webhook_service.notify(receiver)

    assert pauses == [timedelta(seconds=5), timedelta(seconds=10)]
    assert receiver.received == [["message.delivered"]] * 3 + [["message.opened"]]
    assert len({json.loads(body)["events"][0]["id"] for _, body, _ in receiver.posts[:3]}) == 1
    attempts = webhook_service.api.get(f"/v1/webhooks/{webhook['id']}/attempts").json()["items"]
    assert [(one["status"], one["fault"], one["events"]) for one in attempts] == [
        (204, None, 1), (204, None, 1), (503, "asks", 1), (None, "ConnectError", 1),
    ]  # fmt: skip
    assert [one["fault_code"] for one in attempts] == [None, None, "asks", "connect_error"]


def test_after_a_failure_fewer_events_are_sent_at_once(webhook_service: Desk) -> None:
    """One event that a receiver rejects ends alone; the events before it are delivered."""
    webhook_service.subscribe("accepted")
    webhook_service.send(MOST + 50)
    receiver = Receiver(TransientError("x", status=500), TransientError("x", status=500))

    for _ in range(6):
        webhook_service.notify(receiver)
        webhook_service.now += timedelta(minutes=1)

    assert [len(post) for post in receiver.received] == [100, 50, 25, 100, 25]


def test_endpoint_that_fails_for_days_is_disabled_and_says_why(webhook_service: Desk) -> None:
    """Retries end after days; events meanwhile wait, and are sent first when the endpoint is enabled."""
    webhook = webhook_service.subscribe()
    [message] = webhook_service.send()
    webhook_service.report(message, Kind.DELIVERED)
    deaf = Receiver(*[TransientError("x", status=500)] * 3)
    webhook_service.notify(deaf)
    webhook_service.now += PATIENCE
    webhook_service.notify(deaf)
    shown = webhook_service.shown(webhook)
    assert (shown["reason"], shown["disabled_at"], shown["waiting"]) == (
        "failing_for_days",
        webhook_service.now.isoformat().replace("+00:00", "Z"),
        1,
    )
    page = webhook_service.api.get(f"/webhooks/{webhook['id']}").text
    assert "failing for days" in page
    assert "500" in page

    webhook_service.report(message, Kind.OPENED)
    assert webhook_service.notify(deaf) == 0
    assert webhook_service.api.post(f"/v1/webhooks/{webhook['id']}/enable").json()["waiting"] == 2
    receiver = Receiver()
    assert webhook_service.notify(receiver) == 2

    assert receiver.received == [["message.delivered", "message.opened"]]


def test_buttons_of_the_page_replay_and_enable(webhook_service: Desk) -> None:
    """A form of another site would bring the browser's key along: only our own page's buttons work."""
    webhook = webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED)
    webhook_service.notify(Receiver(Refused("no", status=410)))
    own = f"/webhooks/{webhook['id']}"
    pressed = {"Sec-Fetch-Site": "same-origin"}

    foreign = [
        webhook_service.api.post(f"{own}/{what}", headers=headers).status_code
        for what in ("enable", "replay?hours=24")
        for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"})
    ]
    before = webhook_service.shown(webhook)
    enabled = webhook_service.api.post(f"{own}/enable", headers=pressed, follow_redirects=False)
    webhook_service.notify(Receiver())
    webhook_service.now += timedelta(minutes=1)
    again = webhook_service.api.post(f"{own}/replay?hours=24", headers=pressed, follow_redirects=False)

    assert set(foreign) == {403}
    assert before["disabled_at"] is not None
    assert 'action="' + own in webhook_service.api.get(own).text
    assert (enabled.status_code, enabled.headers["location"]) == (303, own)
    assert (again.status_code, again.headers["location"]) == (303, f"{own}?replayed=1")
    assert "1 event will be sent again" in webhook_service.api.get(f"{own}?replayed=1").text
    assert webhook_service.shown(webhook)["waiting"] == 1


def test_endpoint_that_is_gone_is_disabled_at_once(webhook_service: Desk) -> None:
    """410 is its owner's statement that the endpoint is gone for good."""
    webhook = webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED)

    webhook_service.notify(Receiver(Refused("no", status=410)))

    assert webhook_service.shown(webhook)["reason"] == "gone"
    assert webhook_service.endpoints.waiting() == (0, 1)


def test_replay_sends_again_with_the_same_ids(webhook_service: Desk) -> None:
    """A receiver that lost its data requests a period, sent or not, and recognises what it has."""
    webhook = webhook_service.subscribe()
    [message] = webhook_service.send()
    webhook_service.report(message, Kind.DELIVERED)
    webhook_service.now += timedelta(hours=1)
    webhook_service.report(message, Kind.OPENED)
    first, again = Receiver(), Receiver()
    webhook_service.notify(first)

    def replay(since: datetime, **more: str) -> Any:
        asked = {"since": since.isoformat()} | more
        return webhook_service.api.post(f"/v1/webhooks/{webhook['id']}/replay", json=asked)

    webhook_service.now += timedelta(hours=1)
    assert replay(NOW + timedelta(minutes=1)).json() == {"events": 1}
    assert replay(NOW).json() == {"events": 2}
    webhook_service.notify(again)

    [(_, once, _)], [(_, twice, _)] = first.posts, again.posts
    assert [one["id"] for one in json.loads(once)["events"]] == [one["id"] for one in json.loads(twice)["events"]]
    assert replay(NOW - timedelta(days=40)).status_code == 422
    assert replay(NOW + timedelta(days=1)).status_code == 422


def test_killed_between_post_and_record_sends_again(webhook_service: Desk) -> None:
    """At least once: the lease of a dead process passes to another a minute later, not before."""
    webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED)
    parcel = webhook_service.endpoints.take(now=webhook_service.now, until=webhook_service.now + timedelta(seconds=60))
    assert parcel is not None
    receiver = Receiver()

    assert webhook_service.notify(receiver) == 0
    webhook_service.now += timedelta(seconds=60)

    assert webhook_service.notify(receiver) == 1


def test_a_process_with_an_expired_lease_changes_nothing(webhook_service: Desk) -> None:
    """Its failure must not postpone what the other is sending now."""
    webhook = webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED)
    slow = webhook_service.endpoints.take(now=webhook_service.now, until=webhook_service.now + timedelta(seconds=60))
    assert slow is not None
    webhook_service.now += timedelta(seconds=60)
    quick = webhook_service.endpoints.take(now=webhook_service.now, until=webhook_service.now + timedelta(seconds=60))
    assert quick is not None
    attempt = replace(_attempt(quick), status=500, fault="x")

    webhook_service.endpoints.failed(slow, attempt, retry_at=webhook_service.now + timedelta(hours=1))
    assert webhook_service.shown(webhook)["failing_since"] is None
    webhook_service.endpoints.delivered(quick, _attempt(quick))

    assert webhook_service.shown(webhook)["waiting"] == 0


def _attempt(parcel: WebhookDelivery) -> Attempt:
    numbers = [news.sequence for news in parcel.events]
    return Attempt(at=NOW, news=len(numbers), first=numbers[0], last=numbers[-1], status=204)


def test_failing_endpoint_delays_no_other(webhook_service: Desk) -> None:
    """Each has its own backoff."""
    webhook_service.subscribe()
    webhook_service.subscribe(**UMBRELLA)
    for tenant in ("acme", "umbrella"):
        webhook_service.report(webhook_service.send(tenant=tenant)[0], Kind.DELIVERED)
    receiver = Receiver(TransientError("away"))

    while webhook_service.notify(receiver):
        pass

    assert len(receiver.posts) == 2
    assert webhook_service.endpoints.waiting() == (1, 0)


def test_removed_endpoint_causes_no_error(webhook_service: Desk) -> None:
    """Neither in the process that posts to it, nor for events that come meanwhile."""
    webhook = webhook_service.subscribe()
    [message] = webhook_service.send()
    webhook_service.report(message, Kind.DELIVERED)
    parcel = webhook_service.endpoints.take(now=webhook_service.now, until=webhook_service.now + timedelta(seconds=60))
    assert parcel is not None

    assert webhook_service.api.delete(f"/v1/webhooks/{webhook['id']}").status_code == 204
    webhook_service.endpoints.delivered(parcel, _attempt(parcel))
    webhook_service.report(message, Kind.OPENED)

    assert webhook_service.api.get("/v1/webhooks").json()["items"] == []
    assert webhook_service.notify(Receiver()) == 0


def test_old_sent_events_are_deleted(webhook_service: Desk) -> None:
    """The log holds no mail and has an end; waiting events stay, except for endpoints disabled as long ago."""
    webhook = webhook_service.subscribe()
    [message] = webhook_service.send()
    webhook_service.report(message, Kind.DELIVERED)
    webhook_service.notify(Receiver())
    webhook_service.report(message, Kind.OPENED)

    assert webhook_service.endpoints.forget(before=NOW + timedelta(days=1)) == 1

    assert webhook_service.api.get(f"/v1/webhooks/{webhook['id']}/attempts").json()["items"] == []
    assert webhook_service.shown(webhook)["waiting"] == 1
    webhook_service.notify(Receiver(Refused("no", status=410)))
    assert webhook_service.endpoints.forget(before=NOW + timedelta(days=1)) == 1


class NotifiedReceiver(Receiver):
    """Signals its first post."""

    def __init__(self) -> None:
        super().__init__()
        self.took = threading.Event()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        status = super().post(url, body, headers)
        self.took.set()
        return status


def test_notifier_runs_until_it_is_stopped(webhook_service: Desk) -> None:
    """The thread beside the relay."""
    webhook_service.now = datetime.now(UTC)
    webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED)
    stop, receiver = threading.Event(), NotifiedReceiver()
    thread = threading.Thread(target=run_notifier, args=(webhook_service.endpoints, receiver, stop), daemon=True)

    thread.start()
    assert receiver.took.wait(60)
    stop.set()
    thread.join(60)

    assert not thread.is_alive()
    assert receiver.received == [["message.delivered"]]


def test_metrics_count_waiting_events_and_disabled_endpoints(webhook_service: Desk) -> None:
    """A waiting one is late, a disabled one waits for a person: two alarms, and no tenant's name in either."""
    webhook_service.subscribe()
    webhook_service.report(webhook_service.send()[0], Kind.DELIVERED, Kind.OPENED)
    waiting = webhook_service.api.get("/metrics").text

    webhook_service.notify(Receiver(Refused("no", status=410)))
    disabled = webhook_service.api.get("/metrics").text

    assert "\nmailroom_webhooks_waiting 2\n" in waiting
    assert "\nmailroom_endpoints_disabled 0\n" in waiting
    assert "\nmailroom_webhooks_waiting 0\n" in disabled
    assert "\nmailroom_endpoints_disabled 1\n" in disabled
