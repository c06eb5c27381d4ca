"""R13, R14, R16 for batches: providers whose answer is lost, that throttle, and whose events come before the answer."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.config import Config
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.providers.postmark import Postmark
from mailroom.adapters.providers.sendgrid import SendGrid
from mailroom.adapters.providers.ses import Ses, once
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.errors import MailroomError, OutcomeUnknown
from mailroom.domain.outbound.message import Lane, Outgoing, Status
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.unknown_outcomes import settle_unknown
from mailroom.ports.provider import MailProvider, ProviderReceipt
from mailroom.sandbox.stand_ins.behaviours import Behaviour
from mailroom.sandbox.stand_ins.postmark import PostmarkStandIn
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.sandbox.stand_ins.sendgrid import SendGridStandIn
from mailroom.sandbox.stand_ins.ses import SesStandIn
from mailroom.sandbox.stand_ins.vendors import Vendor, serving
from mailroom.testing.provider import MemoryProvider
from tests.support.loopback_ports import free_port
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
#: How long an answer may take here; a minute or two in production.
ANSWER_S = 1.0


@dataclass
class Line:
    """An outbound side whose provider talks to an `other` side, which counts what it accepted."""

    office: Office
    other: Vendor | Receiver
    now: datetime = NOW

    def send(self, batch_id: str) -> None:
        """Send until no message of the batch waits, moving the clock by each wait of the run."""
        sender = Sender(batch_id, Lane.BULK, self.office.outbound, clock=lambda: self.now)
        while True:
            planned = self.office.outbound.dispatch.plan(batch_id, now=self.now)
            if planned.due:
                tally = sender.send_some(planned.due)
                self.now += timedelta(seconds=tally.pause_s)
            elif due_at := planned.next_at or planned.deferred_until:
                self.now = due_at
            else:
                return

    def lost(self) -> list[str]:
        """Return the ids of the messages with an unknown outcome."""
        return self.office.values(f"select id::text from message where status = '{Status.UNKNOWN}'")


def ses(port: int) -> MailProvider:
    made: Any = {"region_name": "eu-west-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    config = Config(**once(timeout_s=ANSWER_S))
    client = boto3.client("sesv2", endpoint_url=f"http://127.0.0.1:{port}", config=config, **made)
    return Ses(client, account_id="123456789012")


def sendgrid(port: int) -> MailProvider:
    return SendGrid(key="k", account="acme", url=f"http://127.0.0.1:{port}", timeout_s=ANSWER_S)


def postmark(port: int) -> MailProvider:
    return Postmark(token="t", server="acme", url=f"http://127.0.0.1:{port}", timeout_s=ANSWER_S)


def smtp(port: int) -> MailProvider:
    return Smtp(host="127.0.0.1", port=port, tls=Tls.OFF, timeout_s=ANSWER_S, answer_s=ANSWER_S)


PROVIDERS: dict[str, tuple[Callable[[], Vendor | Receiver], Callable[[int], MailProvider]]] = {
    "ses": (SesStandIn, ses),
    "sendgrid": (SendGridStandIn, sendgrid),
    "postmark": (PostmarkStandIn, postmark),
    "smtp": (lambda: Receiver(pipelining=True), smtp),
}


@pytest.fixture
def line(request: pytest.FixtureRequest, engine: Engine) -> Iterator[Line]:
    """The provider that the test's parameter names, with its other side."""
    make_other, make_provider = PROVIDERS[request.param]
    other, port = make_other(), free_port()
    with ExitStack() as stack:
        here = receiving(other, port=port) if isinstance(other, Receiver) else serving(other, port=port)
        stack.enter_context(here)
        provider = make_provider(port)
        stack.callback(provider.close)
        yield Line(stack.enter_context(office_on(engine, provider=provider)), other)


ALL = pytest.mark.parametrize("line", PROVIDERS, indirect=True)


@ALL
def test_r13_a_mail_whose_answer_is_lost_is_not_sent_again(line: Line) -> None:
    """The other side accepts and drops the connection: 200 recipients, every second answer lost."""
    batch_id = line.office.batch(200, now=NOW)
    line.other.behaviours.extend([Behaviour.RESETS_AFTER, Behaviour.GOOD] * 100)

    line.send(batch_id)
    lost = line.lost()
    settle_by_events(line, lost)
    line.now += timedelta(minutes=5)
    settle_unknown(line.office.outbound, now=line.now)

    assert set(Counter(line.other.accepted).values()) == {1}
    assert len(line.other.accepted) == 200
    assert lost
    assert set(line.office.statuses()) <= {Status.DISPATCHED, Status.DELIVERED}


def settle_by_events(line: Line, message_ids: Sequence[str]) -> None:
    """Deliver the events that the provider would send for these; a provider that can be queried is queried instead."""
    if not line.office.outbound.provider.capabilities.asks:
        SqlEvents(line.office.engine).record([event(line, one, Kind.DELIVERED) for one in message_ids], now=line.now)


def event(line: Line, message_id: str, kind: Kind) -> DeliveryEvent:
    name = line.office.outbound.provider.name
    return DeliveryEvent(provider=name, event_id=f"{kind}-{message_id}", kind=kind, at=line.now, message_id=message_id)


@ALL
@pytest.mark.parametrize("behaviour", [Behaviour.HANGS, Behaviour.GARBAGE, Behaviour.TWICE, Behaviour.FAILS_AFTER])
def test_r13_an_answer_that_says_nothing_is_an_unknown_outcome(line: Line, behaviour: Behaviour) -> None:
    """No answer, noise, two answers for one call, an internal error after it had accepted the mail."""
    batch_id = line.office.batch(12, now=NOW)
    line.other.behaviours.extend([Behaviour.GOOD, behaviour, Behaviour.GOOD, behaviour])

    line.send(batch_id)
    line.send(batch_id)

    received = Counter(line.other.accepted)
    assert set(received.values()) == {1}
    assert received.keys() | set(line.lost()) == set(line.office.values("select id::text from message"))
    assert set(line.office.statuses()) <= {Status.DISPATCHED, Status.UNKNOWN}


@ALL
def test_r16_a_throttled_sender_loses_nothing_and_sends_nothing_twice(line: Line) -> None:
    """429 with Retry-After among good answers, again and again: it only means later."""
    batch_id = line.office.batch(100, now=NOW)
    line.other.behaviours.extend([Behaviour.GOOD, Behaviour.SLOW, Behaviour.GOOD, Behaviour.SLOW, Behaviour.SLOW] * 4)

    line.send(batch_id)

    assert line.now > NOW
    assert set(Counter(line.other.accepted).values()) == {1}
    assert line.office.statuses() == [Status.DISPATCHED] * 100


@pytest.mark.parametrize("line", ["ses", "smtp"], indirect=True)
def test_r16_a_used_up_quota_of_the_day_puts_the_rest_off(line: Line) -> None:
    """No message fails and none is dropped: hours later each was sent, once."""
    batch_id = line.office.batch(60, now=NOW)
    line.other.behaviours.extend([*[Behaviour.GOOD] * 15, Behaviour.DAILY])

    line.send(batch_id)

    assert line.now - NOW >= timedelta(hours=1)
    assert set(Counter(line.other.accepted).values()) == {1}
    assert line.office.statuses() == [Status.DISPATCHED] * 60


class Hasty(MemoryProvider):
    """A provider that emits all events, repeated and in reverse, before it answers; every third answer is lost."""

    def __init__(self, events: SqlEvents) -> None:
        super().__init__("hasty")
        self._events = events
        self._telling = threading.Lock()

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Accept the mails, and emit their events first."""
        results = super().send(mails)
        output = [
            DeliveryEvent(provider=self.name, event_id=f"{kind}-{mail.id}", kind=kind, at=NOW, message_id=mail.id)
            for mail in mails
            for kind in (Kind.BOUNCED_HARD, Kind.DELIVERED, Kind.SENT)
        ]
        with self._telling:
            for _ in range(5):
                self._events.record(output, now=NOW)
        lost = OutcomeUnknown("lost", provider=self.name)
        return [lost if at % 3 == 0 else result for at, result in enumerate(results)]


def test_r14_events_that_come_before_the_answer_decide(engine: Engine) -> None:
    """Each five times and the last one first: the answer, or its loss, then changes nothing."""
    with office_on(engine, provider=Hasty(SqlEvents(engine))) as office:
        batch_id = office.batch(50, now=NOW)

        Line(office, Receiver()).send(batch_id)

        provider = office.outbound.provider
        assert isinstance(provider, Hasty)
        assert set(Counter(provider.accepted).values()) == {1}
        assert office.statuses() == [Status.BOUNCED] * 50
