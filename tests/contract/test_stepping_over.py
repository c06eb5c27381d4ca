"""Each loop by itself: a bad row is skipped and reported, and all others are handled."""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.retention import FILES_KEPT, forget_outbound
from mailroom.adapters.postgres.skipped_rows import AGAIN_AFTER, note_skipped, skipped_now, why
from mailroom.adapters.postgres.tenants.directory import SqlDirectory, SqlTenants
from mailroom.api.hooks.event_recorder import EventRecorder
from mailroom.delivery.tenant_webhooks import notify
from mailroom.delivery.tracking import Tracking
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.filing_policy import Action
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.inbound.routing import Address
from mailroom.domain.outbound.message import Content, ResendPolicy, StoredAttachment
from mailroom.inbound.sweeping import lost
from mailroom.outbound import unknown_outcomes
from mailroom.outbound.outbox_relay import run_relay
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.endpoints import Endpoint
from mailroom.ports.holds import HoldReason
from mailroom.ports.hooks import Hook
from mailroom.ports.monitoring import Loop
from mailroom.ports.provider import Capabilities, ProviderReceipt
from mailroom.testing.mail_store import MemoryMailStore
from mailroom.testing.notices import an_event
from mailroom.testing.provider import MemoryProvider
from mailroom.testing.queue import MemoryQueue
from mailroom.testing.webhooks import MemoryWebhooks
from tests.support.sending import Office, office_on
from tests.support.tampering import tamper

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DELIVERED = json.dumps({"RecordType": "Delivery", "MessageID": "p-1", "DeliveredAt": "2026-11-22T09:30:00Z"}).encode()


@pytest.fixture
def outbound_side(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def execute(engine: Engine, statement: str, **values: Any) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement), values)


def named(engine: Engine) -> dict[str, list[tuple[str, str]]]:
    return {one.loop: list(one.named) for one in skipped_now(engine)}


def test_a_message_that_cannot_be_rendered_fails_alone(outbound_side: Office, engine: Engine) -> None:
    """Its batch would otherwise never be sent: each claim would meet it again."""
    batch_id = outbound_side.batch(3, now=NOW)
    execute(engine, "update message set \"to\" = '[]' where number = 1")

    claimed = SqlDispatch(engine).claim(batch_id, most=10, provider="ses", now=NOW)

    assert [one.draft.number for one in claimed] == [0, 2]
    assert outbound_side.statuses() == ["sending", "failed", "sending"]
    assert outbound_side.values("select facts ->> 'reason' from activity where kind = 'failed'") == ["unreadable"]
    [(subject, reason)] = named(engine)[Loop.DISPATCH]
    assert subject.startswith("message ")
    assert reason == "not an address with a name"


@pytest.mark.parametrize(
    "spoilt",
    [
        "enclosures = '{}', headers = '5'",
        "headers = '[[\"X-A\", 5]]'",
        'headers = \'{"XA": "5"}\'',
        """enclosures = '[{"filename": 5, "content_type": "text/plain", "size": 1, "sha256": "a"}]'""",
    ],
)
def test_a_batch_whose_content_cannot_be_read_comes_to_an_end(
    outbound_side: Office, engine: Engine, spoilt: str
) -> None:
    """None of its messages can be sent; each is failed instead of tried for ever."""
    batch_id = outbound_side.batch(2, now=NOW)
    execute(engine, f"update content set {spoilt}")

    claimed = SqlDispatch(engine).claim(batch_id, most=10, provider="ses", now=NOW)

    assert claimed == []
    assert outbound_side.statuses() == ["failed", "failed"]


def test_a_provider_that_breaks_off_for_one_message_settles_the_others(engine: Engine) -> None:
    """Otherwise no outcome of any tenant behind it would be settled, and no batch could begin."""

    class Breaking(MemoryProvider):
        def ask(self, message_id: str, *, since: datetime) -> ProviderReceipt | None:
            if message_id == first:
                raise PermanentError("no such answer")
            return ProviderReceipt("memory", "known")

    with office_on(engine, provider=Breaking()) as outbound_side:
        batch_id = outbound_side.batch(2, now=NOW)
        claimed = SqlDispatch(engine).claim(batch_id, most=10, provider="memory", now=NOW)
        first = claimed[0].draft.id

        settle_unknown(outbound_side.outbound, now=NOW + timedelta(minutes=10))
        again = SqlDispatch(engine).unknown(before=NOW + timedelta(hours=1), limit=10)

        assert outbound_side.statuses() == ["unknown", "dispatched"]
        assert again == []
        assert named(engine)[Loop.SETTLE] == [(f"message {first}", "no such answer")]


@pytest.mark.parametrize(
    "bad",
    [
        Hook("nobody", "1", DELIVERED),
        Hook("postmark", "1", DELIVERED.replace(b"p-1", b"p-9"), {"tenant": ["x"]}),
        Hook("ses", "1", b"[" * 9_000),
    ],
    ids=["source", "facts", "deep"],
)
def test_a_call_that_cannot_be_used_is_not_the_first_again(outbound_side: Office, engine: Engine, bad: Hook) -> None:
    """It stays for a person; every call behind it, and the queue, are handled at once."""
    outbound_side.batch(1, now=NOW)
    execute(engine, "update message set provider = 'postmark', provider_message_id = 'p-1', status = 'no such word'")
    hooks, stepped = SqlHooks(engine), list[str]()
    hooks.store([bad], now=NOW)
    hooks.store([Hook("postmark", "2", DELIVERED)], now=NOW + timedelta(seconds=1))
    tracking = Tracking(
        SqlEvents(engine), hooks, MemoryQueue(), clock=lambda: NOW, step_over=lambda what, _: stepped.append(what)
    )

    assert tracking.once() == 2

    assert outbound_side.statuses() == ["delivered"]
    assert hooks.waiting() == 0
    assert all("1" in what for what in stepped)


class BrokenHooks(SqlHooks):
    """Provider calls in a table that cannot be read: a missing table would be a schema that does not fit."""

    def taken(self, *, most: int, now: datetime) -> Any:
        raise PermanentError("the database refused a statement")


def test_parts_of_tracking_do_not_wait_for_each_other(engine: Engine) -> None:
    """A broken table of calls must not stop the queue from being read, nor old data from being deleted."""
    queue, forgot, now = MemoryQueue(), list[datetime](), [NOW]
    queue.send("{}")
    tracking = Tracking(SqlEvents(engine), BrokenHooks(engine), queue, clock=lambda: now[0], forget=forgot.append)
    now[0] += timedelta(hours=2)

    with pytest.raises(PermanentError):
        tracking.once()

    assert len(queue) == 0
    assert forgot == [now[0]]


@pytest.mark.parametrize(
    "spoilt", ['{"recipient": 5}', '{"kind": "nonsense"}', '{"provider": null, "event_id": null}', '{"x": 1}']
)
def test_a_parked_event_that_cannot_be_matched_waits_alone(outbound_side: Office, engine: Engine, spoilt: str) -> None:
    """Also where it fails only while all parked events are matched together."""
    outbound_side.batch(1, now=NOW)
    events = SqlEvents(engine)
    output = [an_event(Kind.DELIVERED, f"event-{at}", provider_message_id=f"p-{at}") for at in (1, 2)]
    events.record(output, now=NOW)
    execute(engine, "update message set provider = 'ses', provider_message_id = 'p-1'")
    execute(engine, "insert into message select gen_random_uuid(), batch_id, 9, tenant, 'x@x.test', \"to\", reference, content, data,"
            " metadata, size, status, reason, due_at, handed_at, attempts, provider, 'p-2', created_at, changed_at from message")  # fmt: skip
    execute(
        engine,
        "update parked_event set event = event || cast(:spoilt as jsonb) where event_id = 'event-1'",
        spoilt=spoilt,
    )
    later = NOW + timedelta(minutes=1)

    matched = [events.rematch(now=later, limit=10).matched for _ in range(2)]

    assert matched == [1, 0]
    assert outbound_side.values("select status from message order by number") == ["accepted", "delivered"]
    [put_off] = outbound_side.values("select next_at from parked_event where matched_at is null")
    assert later < put_off <= later + AGAIN_AFTER
    assert [what.split()[0] for what, _ in named(engine)[Loop.PARKED]] == ["parked"]


def test_an_endpoint_to_which_nothing_can_be_posted_waits_alone(outbound_side: Office, engine: Engine) -> None:
    """A URL that older code accepted: it fails once, is reported, and the next endpoint gets its events."""

    class Receiver(MemoryWebhooks):
        def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
            if "bad" in url:
                raise UnicodeError
            return super().post(url, body, headers)

    endpoints = SqlEndpoints(engine)
    for number, url in enumerate(("https://bad.test/", "https://acme.test/")):
        made = NOW + timedelta(seconds=number)
        endpoints.add(Endpoint(id=f"00000000-0000-0000-0000-00000000000{number}", tenant="acme", url=url, secret="s",
                               kinds=("accepted",), created_at=made))  # fmt: skip
    outbound_side.batch(1, now=NOW)
    later = NOW + timedelta(minutes=1)

    output = [notify(endpoints, Receiver(), clock=lambda: later) for _ in range(3)]

    assert output == [1, 1, 0]
    assert [one.waiting for one in endpoints.all(None)] == [1, 0]
    assert [what for what, _ in named(engine)[Loop.WEBHOOKS]] == ["webhook 00000000-0000-0000-0000-000000000000"]


def test_the_relay_survives_whatever_happens_in_it(engine: Engine) -> None:
    """It is a thread of the HTTP service: dead, no mail of anyone is sent, and no alarm says so for minutes."""
    stop, passes = threading.Event(), list[int]()

    class Broken(SqlOutbox):
        def take(self, **_: object) -> list[Any]:
            passes.append(1)
            stop.set()
            raise ZeroDivisionError

    run_relay(Broken(engine), MemoryQueue(), stop)

    assert passes == [1]


def test_unknown_words_of_a_policy_hold_mail_back(engine: Engine) -> None:
    """A mail for two tenants goes to both: an unreadable policy must not stop it for the other, nor let spam in."""
    directory = SqlDirectory(engine)
    for tenant in ("acme", "other"):
        directory.add(Address(f"ada@{tenant}.test", tenant, "ada", "inbox"))
    execute(engine, 'update tenant set policy = \'{"spam": "nonsense", "unheard_of": 5}\' where id = \'acme\'')

    policy, theirs = SqlTenants(engine).policy("acme"), SqlTenants(engine).policy("other")
    execute(engine, "update tenant set policy = '[5]' where id = 'acme'")
    strictest = SqlTenants(engine).policy("acme")

    assert (policy.spam, policy.unsure, theirs.spam) == (Action.QUARANTINE, Action.FILE, Action.FILE)
    assert {strictest.spam, strictest.unsure, strictest.unscanned} == {Action.QUARANTINE}
    assert sorted(directory.lookup(["ada@acme.test", "ada@other.test"])) == ["ada@acme.test", "ada@other.test"]


def test_deletion_continues_after_an_unreadable_content(outbound_side: Office, engine: Engine) -> None:
    """Nothing of its tenant is deleted, because it is unknown what the content needs."""
    leaflet = StoredAttachment(filename="a.pdf", content_type="application/pdf", size=1, sha256="a" * 64)
    outbound_side.batch(1, now=NOW, content=Content(subject="s", text="t", html=None, enclosures=(leaflet,)))
    for tenant in ("acme", "other"):
        execute(engine, "insert into file values (:tenant, repeat('a', 64), '', :now)", tenant=tenant, now=NOW)
    execute(engine, "update content set enclosures = '{\"sha256\": 5}'")

    forgotten = forget_outbound(engine, NOW + 2 * FILES_KEPT)

    assert forgotten == (0, 1)
    assert outbound_side.values("select tenant from file") == ["acme"]


def test_naming_a_row_never_fails_and_quotes_none(engine: Engine) -> None:
    """The loop continues also without a database; the row's content is not logged."""
    try:
        int("ada@users.test")
    except ValueError as error:
        output = why(error)
    tamper(engine, "drop table skipped_row")

    note_skipped(engine, Loop.LISTS, [("message 1", output)])

    assert "ada" not in output
    assert output.startswith("ValueError in test_naming_a_row")


@pytest.mark.parametrize(("loop", "seen"), [("lists", "now()"), ("relay", "now() - interval '3 hours'")])
def test_a_row_is_reported_however_many_others_are(engine: Engine, loop: str, seen: str) -> None:
    """A loop skips what is reported; rows of another loop, or repaired ones, must not prevent that."""
    many = f"insert into skipped_row select '{loop}', 'batch ' || at, 'x', {seen}, {seen}, 1 from generate_series(1, 1000) as at"
    execute(engine, many)

    note_skipped(engine, Loop.RELAY, [("batch new", "unknown lane")])

    assert named(engine)[Loop.RELAY] == [("batch new", "unknown lane")]


def test_an_object_whose_key_is_no_name_keeps_no_other_from_being_announced(engine: Engine) -> None:
    """S3 takes a NUL, PostgreSQL does not: otherwise each sweep ends at that page, and finds no lost mail behind it."""
    mails = MemoryMailStore()
    for key in ("in/\0", "in/a\nb", "in/lost"):
        mails.put(ObjectRef("mails", key), b"", at=NOW - timedelta(hours=1))

    found = lost(mails=mails, ledger=SqlLedger(engine), bucket="mails", after="", before=NOW)

    assert [ref.key for ref in found.lost] == ["in/lost"]
    assert [what for what, _ in named(engine)[Loop.SWEEP_INBOUND]] == ["object 'in/\\x00'", "object 'in/a\\nb'"]


@pytest.mark.parametrize("left", ["handed_at = handed_at - interval '4 days'", "provider = 'the one before'"])
def test_outcomes_that_are_no_longer_queried_do_not_block_others(
    outbound_side: Office, engine: Engine, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """They stay unknown for a person; otherwise five hundred of them would block every other query."""
    monkeypatch.setattr(unknown_outcomes, "_MOST", 1)
    dispatch, name = SqlDispatch(engine), outbound_side.provider.name
    for at in (NOW - timedelta(minutes=1), NOW):
        dispatch.claim(outbound_side.batch(1, now=at), most=1, provider=name, now=at)
    execute(engine, f"update message set {left} where handed_at < :now", now=NOW)

    settle_unknown(outbound_side.outbound, now=NOW + timedelta(minutes=10))

    assert outbound_side.values("select status from message order by created_at") == ["unknown", "queued"]


@pytest.mark.parametrize("held", [True, False])
def test_outcomes_of_stopped_batches_do_not_block_others(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, held: bool
) -> None:
    """`prefer_delivery` sends again after an hour, however many messages of cancelled or held batches wait."""
    monkeypatch.setattr(unknown_outcomes, "_MOST", 1)
    with office_on(engine, provider=MemoryProvider(capabilities=Capabilities(asks=False))) as outbound_side:
        dispatch, outbox = SqlDispatch(engine), SqlOutbox(engine)
        stopped, going = [outbound_side.batch(2, now=NOW, policy=ResendPolicy.PREFER_DELIVERY) for _ in range(2)]
        for at, batch_id in enumerate((stopped, going)):
            dispatch.claim(batch_id, most=1, provider="memory", now=NOW + timedelta(seconds=at))
        if held:
            outbox.hold([stopped], reason=HoldReason.RUN_GONE, now=NOW)
        else:
            outbox.cancel(None, stopped, now=NOW)

        settle_unknown(outbound_side.outbound, now=NOW + timedelta(hours=2))

        assert outbound_side.values("select batch_id::text from message where reason = 'sent_again'") == [going]


def test_an_event_that_cannot_be_recorded_does_not_affect_the_others(outbound_side: Office, engine: Engine) -> None:
    """Opens and clicks of all tenants are recorded together, up to two hundred of them."""
    begin = threading.Event()

    class Slow(SqlEvents):
        def record(self, events: Any, *, now: datetime) -> Any:
            begin.wait(10)
            return super().record(events, now=now)

    outbound_side.batch(3, now=NOW)
    execute(engine, "update message set status = 'dispatched', provider = 'ses', handed_at = :now", now=NOW)
    first, bad, last = outbound_side.values("select id::text from message order by number")
    notes = EventRecorder(Slow(engine), patience_s=0)

    notes.record(an_event(Kind.OPENED, "first", message_id=first))
    notes.record(an_event(Kind.OPENED, "bad", message_id=bad, facts={"agent": "\0"}))
    notes.record(an_event(Kind.OPENED, "last", message_id=last))
    begin.set()
    until = time.monotonic() + 10
    while outbound_side.statuses()[2] == "dispatched" and time.monotonic() < until:
        time.sleep(0.02)

    assert outbound_side.statuses() == ["opened", "dispatched", "opened"]
