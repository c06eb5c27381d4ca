"""The guard against mail storms, on PostgreSQL: each mail counts once, at any number of workers and attempts."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.sender_limit import KEPT_FOR, SqlSenderLimit
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.domain.errors import Reason
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address
from mailroom.inbound.routing import RoutingDecision, decide_routing
from mailroom.inbound.sender_limit import sender_of

NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
RAW = b"From: Carl <carl@sender.test>\r\nSubject: lease\r\n\r\nhello\r\n"
MINUTE = timedelta(minutes=1)


class Desk:
    """Ledger, directory and guard; mails of one sender to two tenants."""

    def __init__(self, engine: Engine, most: int = 2) -> None:
        self.engine, self.ledger, self.limit = engine, SqlLedger(engine), SqlSenderLimit(engine, most)
        self.directory = SqlDirectory(engine)
        for pattern, tenant in (("anna@acme.test", "acme"), ("bob@acme.test", "acme"), ("@other.test", "other")):
            self.directory.add(Address(pattern, tenant, "u"))

    def arrives(
        self,
        name: str,
        *recipients: str,
        at: datetime = NOW,
        sender: str = "loop@sender.test",
        announced: bool = True,
    ) -> Entry:
        ref = ObjectRef("mails", f"in/{name}")
        envelope = Envelope(recipients or ("anna@acme.test",), sender, at) if announced else None
        self.ledger.register(Arrival(ref, envelope), now=at)
        return self.ledger.begin(ref, now=at)

    def decides(self, entry: Entry, raw: bytes = RAW) -> RoutingDecision:
        return decide_routing(
            entry, raw, directory=self.directory, ledger=self.ledger, now=NOW, sender_limit=self.limit
        )

    def processes(self, entry: Entry) -> State:
        """Decide and close, as the flow does."""
        routing = self.decides(entry)
        state = State.QUARANTINED if routing.stop else State.FILED
        return self.ledger.close(entry.id, state, now=NOW, reason=routing.stop)

    def sends(self, name: str, *recipients: str, at: datetime = NOW) -> State:
        return self.processes(self.arrives(name, *recipients, at=at))

    def again(self, name: str) -> State:
        return self.processes(self.ledger.begin(ObjectRef("mails", f"in/{name}"), now=NOW))

    def rows(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text("select count(*) from sender_mail")).scalar_one())


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


def test_more_than_the_limit_within_an_hour_are_quarantined_with_their_reason(desk: Desk) -> None:
    """Of one sender to one address: other addresses, other senders and other hours count by themselves."""
    states = [desk.sends(f"m{number}", at=NOW + number * MINUTE) for number in range(4)]
    entry = desk.ledger.find("m3")

    assert states == [State.FILED, State.FILED, State.QUARANTINED, State.QUARANTINED]
    assert entry is not None
    assert entry.reason == Reason.TOO_MANY == "too_many"
    assert desk.sends("to-bob", "bob@acme.test", at=NOW + 4 * MINUTE) is State.FILED
    assert desk.processes(desk.arrives("of-dave", sender="dave@sender.test")) is State.FILED
    assert desk.sends("later", at=NOW + timedelta(minutes=64)) is State.FILED


def test_an_attempt_that_is_repeated_counts_once_and_keeps_its_decision(desk: Desk) -> None:
    """A run that fails, is killed or is taken over runs again; so does one behind a mail that was held."""
    first = desk.arrives("first")
    for _ in range(5):
        assert desk.decides(first).stop is None
    assert desk.sends("second") is State.FILED
    third = desk.arrives("third")

    assert [desk.decides(third).stop for _ in range(3)] == [Reason.TOO_MANY] * 3
    assert desk.rows() == 3


def test_a_mail_that_a_person_processes_again_is_filed_and_trips_nothing(desk: Desk) -> None:
    """Whatever the rate is then; and an attempt of it that fails is not held at the next one."""
    for name in ("a", "b", "c", "d"):
        desk.sends(name)
    again = desk.ledger.begin(ObjectRef("mails", "in/c"), now=NOW)
    assert desk.decides(again).stop is None
    desk.ledger.close(again.id, State.FAILED, now=NOW, reason="interrupted")

    assert desk.again("c") is State.FILED
    assert desk.again("d") is State.FILED
    assert desk.rows() == 4
    assert desk.sends("e") is State.QUARANTINED


def test_a_notification_that_comes_late_releases_nothing(desk: Desk) -> None:
    """It opens the line of a mail that was held by its From field; the mail is then counted for its true sender."""
    desk.directory.add(Address("in/", "acme", "rest"))
    for name in ("a", "b", "c"):
        desk.processes(desk.arrives(name, announced=False))
    for name in ("x", "y"):
        desk.sends(name)
    held = desk.ledger.find("c")

    opened = desk.arrives("c", at=NOW)

    assert held is not None
    assert (held.state, held.reason) == (State.QUARANTINED, "too_many")
    assert desk.decides(opened).stop is Reason.TOO_MANY
    assert desk.rows() == 5


def test_workers_at_the_same_time_let_exactly_the_limit_through(engine: Engine) -> None:
    """Whichever mails come first, and however often each is tried."""
    desk = Desk(engine, most=7)
    entries = [desk.arrives(f"m{number}", at=NOW + number * timedelta(seconds=1)) for number in range(20)]
    with ThreadPoolExecutor(8) as workers:
        decisions = list(workers.map(desk.decides, [*reversed(entries), *entries]))

    assert [one.stop for one in decisions].count(None) == 14
    assert [one.stop for one in decisions[:20]] == [one.stop for one in reversed(decisions[20:])]


def test_one_tenants_storm_does_not_delay_anothers_mail_and_is_released_by_its_own(desk: Desk) -> None:
    """The mail is filed for the other; for the first it is held, until a person releases it."""
    for name in ("a", "b"):
        desk.sends(name)
    entry = desk.arrives("both", "anna@acme.test", "carla@other.test")
    routing = desk.decides(entry)
    desk.ledger.close(entry.id, State.FILED, now=NOW)

    assert (routing.stop, dict(routing.held)) == (None, {"acme": Reason.TOO_MANY})
    assert desk.limit.withheld(since=None, limit=10) == [entry.id]
    assert desk.limit.withheld(since=NOW + MINUTE, limit=10) == []
    assert desk.limit.release(entry.id, now=NOW)
    assert not desk.limit.release(entry.id, now=NOW)
    opened = desk.ledger.begin(entry.ref, now=NOW)
    assert desk.decides(opened).held == {}
    assert desk.limit.withheld(since=None, limit=10) == []
    assert [one["kind"] for one in desk.ledger.trace(entry.id)["activities"]].count("reopened") == 1


def test_mail_that_is_held_for_another_reason_is_released_with_it(desk: Desk) -> None:
    """A mail ends with one reason; a person who processes it again decides on all."""
    for name in ("a", "b"):
        desk.sends(name)
    entry = desk.arrives("c")
    assert desk.decides(entry).stop is Reason.TOO_MANY
    desk.ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=Reason.UNPARSABLE)

    assert desk.again("c") is State.FILED


def test_mail_that_waited_for_an_address_is_filed_when_it_is_processed_again(desk: Desk) -> None:
    """All at once, and never counted before: who adds the address and replays its mail wants all of it."""
    for name in "abcd":
        assert desk.sends(name, "new@acme.test") is State.QUARANTINED
    desk.directory.add(Address("new@acme.test", "acme", "new"))

    assert [desk.again(name) for name in "abcd"] == [State.FILED] * 4
    assert desk.sends("e", "new@acme.test") is State.QUARANTINED


def test_what_is_held_of_a_filed_mail_can_be_released_after_any_time(desk: Desk) -> None:
    """Its row is all that says so."""
    for name in ("a", "b"):
        desk.sends(name)
    entry = desk.arrives("both", "anna@acme.test", "carla@other.test")
    desk.processes(entry)
    for number in range(3):
        desk.sends(f"late{number}", at=NOW + 2 * KEPT_FOR + timedelta(hours=2 * number))

    assert desk.limit.withheld(since=None, limit=10) == [entry.id]


def test_rows_are_forgotten_by_those_that_come_later(desk: Desk) -> None:
    """The table never grows beyond what could still be tried again."""
    for number in range(5):
        desk.sends(f"m{number}", at=NOW + number * timedelta(hours=2))
    desk.sends("late", at=NOW + KEPT_FOR + timedelta(hours=5))

    assert desk.rows() == 3


@pytest.mark.parametrize(
    ("envelope_sender", "written", "sender"),
    [
        ("Loop@Sender.test", b"other@x.test", "loop@sender.test"),
        ("", b"Mail Delivery <MAILER-DAEMON@x.test>", "mailer-daemon@x.test"),
        (None, b"=?utf-8?q?Anna?= <anna@x.test>", "anna@x.test"),
        (None, b'"ceo@bank.test" <x@evil.test>', "x@evil.test"),
        (None, b"anna@x.test (Anna)", "anna@x.test"),
        (None, b"anna@x.test, bob@x.test", "anna@x.test"),
        (None, b"(((((" * 500 + b"a", "((((("),
        (None, b"", ""),
        ("not an address", b"", "not an address"),
        ("", b"\xff\xfe", "\ufffd\ufffd"),
    ],
)
def test_the_sender_is_the_envelopes_else_of_the_from_field(
    envelope_sender: str | None, written: bytes, sender: str
) -> None:
    """Bounces have none in the envelope; a mail whose notification never came has no envelope."""
    envelope = None if envelope_sender is None else Envelope(("a@b.test",), envelope_sender, NOW)
    entry = Entry("id", ObjectRef("mails", "in/a"), State.PROCESSING, envelope, 1)

    found = sender_of(entry, b"Subject: x\r\nFrom: " + written + b"\r\n\r\nFrom: body@x.test\r\n")

    assert found[:5] == sender[:5] if sender.startswith("(") else found == sender


def within_an_hour(times: list[int], at: int, most: int) -> bool:
    """Return whether some hour around `at` has more than `most` of these minutes."""
    return any(sum(start <= one < start + 60 for one in times) > most for start in range(at - 59, at + 1))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 150), min_size=1, max_size=10), st.integers(1, 3))
def test_a_mail_is_held_exactly_if_some_hour_around_it_has_more(engine: Engine, minutes: list[int], most: int) -> None:
    """Compared with counting by hand, for mails that come in any order of their times."""
    # Of its own for each example, which share a database.
    limit, tenant = SqlSenderLimit(engine, most), str(uuid4())
    before: list[int] = []
    for at in minutes:
        before.append(at)
        held = limit.held(str(uuid4()), "s", [(tenant, "a@b.test")], received_at=NOW + at * MINUTE)

        assert bool(held) is within_an_hour(before, at, most)
