"""Events of an attempt that come after its message was sent again: they are kept, and the newest attempt decides."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import OutcomeUnknown, Refused
from mailroom.domain.outbound.message import Status
from mailroom.ports.dispatch import Claimed, Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.notices import an_event
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
LATE = LATER + timedelta(minutes=5)


@pytest.fixture
def office(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


class Story:
    """One message, step by step."""

    def __init__(self, office: Office) -> None:
        self.office, self.dispatch, self.events = office, SqlDispatch(office.engine), SqlEvents(office.engine)
        self.batch_id = office.batch(1, now=NOW)
        [self.id] = [str(one) for one in office.values("select id from message")]

    def claim(self, now: datetime, provider: str = "ses") -> Claimed:
        [claim] = self.dispatch.claim(self.batch_id, most=9, provider=provider, now=now)
        return claim

    def sent(self, result: Any, now: datetime) -> Claimed:
        claim = self.claim(now)
        self.settle(claim, result, now)
        return claim

    def settle(self, claim: Claimed, result: Any, now: datetime) -> None:
        self.dispatch.settle([Outcome(self.id, claim.attempt, result)], now=now)

    def event(self, kind: Kind, known: str | None, *, at: datetime = NOW, **changes: Any) -> None:
        """Have SES report of the message by its id there, or by our id alone."""
        ours: dict[str, Any] = {"message_id": None if known else self.id, "provider_message_id": known, "at": at}
        event = an_event(kind, **ours | changes)
        self.events.record([replace(event, event_id=f"{kind}-{event.provider_message_id}-{at}")], now=LATE)

    def execute(self, statement: str) -> None:
        with self.office.engine.begin() as connection:
            connection.execute(text(statement))

    def resend(self) -> None:
        resent = SqlOutbox(self.office.engine).resend_message(None, self.id, may_duplicate=True, by="ada", now=LATER)
        assert resent is not None
        assert resent.messages == 1

    @property
    def state(self) -> tuple[str, str | None]:
        with self.office.engine.connect() as connection:
            row = connection.execute(text("select status, provider_message_id from message")).one()
        return row.status, row.provider_message_id

    def kinds(self) -> list[str]:
        return self.office.values("select kind from activity where event_id is not null order by id")


@pytest.fixture
def rejected(office: Office) -> Story:
    """A message that SES accepted as `first`, and then would not send."""
    story = Story(office)
    story.sent(ProviderReceipt("ses", "first"), NOW)
    story.event(Kind.REJECTED, "first")
    assert story.state == ("rejected", "first")
    return story


LOST = (Kind.SENT, Kind.DELAYED, Kind.REJECTED, Kind.SUPPRESSED, Kind.BOUNCED_SOFT, Kind.BOUNCED_HARD, Kind.OTHER)
REACHED = {Kind.DELIVERED: "delivered", Kind.OPENED: "opened", Kind.CLICKED: "clicked", Kind.COMPLAINED: "complained"}


@pytest.mark.parametrize("kind", LOST)
def test_what_the_first_attempt_came_to_leaves_the_second_alone(rejected: Story, kind: Kind) -> None:
    """Queued, sending and dispatched: by the first one's id at the provider, which the row no longer has."""
    rejected.resend()
    rejected.event(kind, "first", at=NOW + timedelta(minutes=1))
    assert rejected.state == ("queued", None)

    # A hard bounce suppresses the address all the same; here the person wants mail again.
    rejected.execute("delete from suppression")
    claim = rejected.claim(LATER)
    rejected.event(kind, "first", at=NOW + timedelta(minutes=2))
    assert rejected.state == ("sending", None)

    rejected.settle(claim, ProviderReceipt("ses", "second"), LATER)
    rejected.event(kind, "first", at=NOW + timedelta(minutes=3))
    assert rejected.state == ("dispatched", "second")
    rejected.event(Kind.DELIVERED, "second")
    rejected.event(kind, "first", at=NOW + timedelta(minutes=4))
    assert rejected.state == ("delivered", "second")
    assert rejected.kinds().count(kind) == 4 + (kind is Kind.REJECTED)


@pytest.mark.parametrize("kind", REACHED)
def test_that_the_mail_has_arrived_is_true_by_whichever_attempt(rejected: Story, kind: Kind) -> None:
    """And a second one is not sent while it has not gone."""
    rejected.resend()

    rejected.event(kind, "first")

    assert rejected.state == (REACHED[kind], "first")
    assert rejected.dispatch.claim(rejected.batch_id, most=9, provider="ses", now=LATER) == []


def test_the_second_attempt_has_its_own_events(rejected: Story) -> None:
    """Before its answer is settled, and after."""
    rejected.resend()
    claim = rejected.claim(LATER)
    rejected.event(Kind.BOUNCED_SOFT, None, at=LATE, provider_message_id="second")
    assert rejected.state == ("bounced", "second")

    rejected.settle(claim, ProviderReceipt("ses", "second"), LATER)

    assert rejected.state == ("bounced", "second")


def test_an_attempt_by_another_provider_still_has_its_events(office: Office) -> None:
    """The installation went on with another one meanwhile; the first one's word goes to the history."""
    story = Story(office)
    story.sent(ProviderReceipt("sendgrid", "sg-1"), NOW)
    story.event(Kind.REJECTED, "sg-1", provider="sendgrid")
    story.resend()
    story.sent(ProviderReceipt("ses", "second"), LATER)

    story.event(Kind.BOUNCED_HARD, "sg-1", provider="sendgrid")
    story.event(Kind.REJECTED, None, provider="sendgrid")

    assert story.state == ("dispatched", "second")
    assert office.values("select count(*) from parked_event") == [0]
    assert office.values("select address from suppression") == ["u0@users.test"]


def test_an_unknown_outcome_that_is_known_before_the_second_goes_settles_it(office: Office) -> None:
    """The provider had it after all: nobody gets it twice."""
    story = Story(office)
    story.sent(OutcomeUnknown("the answer was lost"), NOW)
    story.resend()

    story.event(Kind.SENT, None, provider_message_id="first")

    assert story.state == ("dispatched", "first")
    assert story.dispatch.claim(story.batch_id, most=9, provider="ses", now=LATER) == []


def test_a_receipt_that_comes_late_stops_the_second_before_it_goes(office: Office) -> None:
    """A worker that was thought dead: its provider has the mail."""
    story = Story(office)
    late = story.claim(NOW)
    story.dispatch.strand(before=LATER, now=LATER)
    story.resend()

    story.settle(late, ProviderReceipt("ses", "first"), LATER)

    assert story.state == ("dispatched", "first")
    assert story.dispatch.claim(story.batch_id, most=9, provider="ses", now=LATER) == []


def test_a_bounce_of_an_unknown_attempt_is_not_the_second_ones(office: Office) -> None:
    """Its id was never heard, but it is another one than the second's."""
    story = Story(office)
    story.sent(OutcomeUnknown("the answer was lost"), NOW)
    story.resend()
    story.sent(ProviderReceipt("ses", "second"), LATER)

    story.event(Kind.BOUNCED_SOFT, None, provider_message_id="first", at=LATE)
    assert story.state == ("dispatched", "second")
    story.event(Kind.BOUNCED_SOFT, None, at=NOW)
    assert story.state == ("dispatched", "second")
    story.event(Kind.BOUNCED_SOFT, None, at=LATE)
    assert story.state == ("bounced", "second")


def test_three_attempts_are_three(office: Office) -> None:
    """Each of the first two is known by its id."""
    story = Story(office)
    for known in ("first", "second"):
        story.sent(ProviderReceipt("ses", known), NOW if known == "first" else LATER)
        story.event(Kind.REJECTED, known)
        story.resend()
    story.sent(ProviderReceipt("ses", "third"), LATER)

    for known in ("first", "second"):
        story.event(Kind.DELAYED, known)

    assert story.state == ("dispatched", "third")
    assert office.values("select attempt || provider_message_id from earlier_attempt order by 1") == [
        "1first",
        "2second",
    ]
    found = SqlMessageReader(office.engine).by_provider_id(None, "first", limit=5)
    assert [line.id for line in found] == [story.id]


def test_an_attempt_that_was_withheld_in_between_is_none(office: Office) -> None:
    """Refused, sent again, suppressed before it went, and sent again: the first attempt is remembered as it was."""
    story = Story(office)
    story.sent(ProviderReceipt("ses", "first"), NOW)
    story.event(Kind.REJECTED, "first")
    story.resend()
    story.execute("update message set status = 'suppressed', reason = 'suppressed'")
    story.resend()

    assert office.values("select provider_message_id from earlier_attempt") == ["first"]
    story.sent(Refused("no", code=550), LATER)
    assert story.state == (Status.REJECTED, None)
