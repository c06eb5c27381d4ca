"""`mailroom check` on batches: a batch that was sent once passes, and each kind of violation is named."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from mailroom.audit.batches import Submissions, check_stories, check_submissions, read_submissions
from mailroom.audit.report import Report
from mailroom.domain.errors import RecipientUnavailable
from mailroom.domain.outbound.message import Lane, ResendPolicy
from mailroom.outbound.dispatching import Sender
from tests.support.sending import Office, office_on

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@pytest.fixture
def outbound_side(engine: Engine) -> Iterator[Office]:
    with office_on(engine) as made:
        yield made


def send(outbound_side: Office, batch_id: str, now: datetime = NOW) -> None:
    Sender(batch_id, Lane.BULK, outbound_side.outbound, clock=lambda: now).send_some(100)


def wrong(url: str, submissions: Submissions) -> dict[str, int]:
    """Return how often each kind of violation was found."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    with psycopg.connect(url) as connection:
        check_stories(connection, report)
        check_submissions(connection, submissions, report)
    return dict(report.wrong)


def both_ends(outbound_side: Office, batch_id: str, messages: int = 3) -> Submissions:
    return Submissions({batch_id: messages}, Counter(outbound_side.provider.accepted))


def note(outbound_side: Office, kind: str, which: str) -> None:
    """Write an activity that no code of ours would write."""
    statement = f"insert into activity (message_id, at, kind, facts) select id, now(), '{kind}', '{{}}' from message"
    with outbound_side.engine.begin() as connection:
        connection.execute(text(f"{statement} where {which}"))


def test_a_batch_that_was_sent_once_is_clean(outbound_side: Office, database_url: str, tmp_path: Path) -> None:
    """Also as a file, the form in which a drill reports it."""
    batch_id = outbound_side.batch(3, now=NOW)
    send(outbound_side, batch_id)
    both_ends(outbound_side, batch_id).write(tmp_path / "both.jsonl")

    assert wrong(database_url, read_submissions(tmp_path / "both.jsonl")) == {}


def test_a_message_that_was_sent_again_is_named(outbound_side: Office, database_url: str) -> None:
    """Its history alone proves it, without the receiving end."""
    batch_id = outbound_side.batch(3, now=NOW)
    send(outbound_side, batch_id)
    note(outbound_side, "sending", "number = 1")

    assert wrong(database_url, both_ends(outbound_side, batch_id)) == {"sent twice": 1}


def test_a_recipient_that_was_tried_before_its_time_is_named(outbound_side: Office, database_url: str) -> None:
    """Its server asked to wait; a try at its time is none of that."""
    batch_id = outbound_side.batch(2, now=NOW)
    outbound_side.provider.answers.extend([RecipientUnavailable("not now")] * 4)
    send(outbound_side, batch_id)
    send(outbound_side, batch_id, NOW + timedelta(minutes=15))
    before = wrong(database_url, both_ends(outbound_side, batch_id, 2))
    early = "insert into activity (message_id, at, kind, facts) select id, :at, 'sending', '{}' from message where number = 1"
    with outbound_side.engine.begin() as connection:
        connection.execute(text(early), {"at": NOW + timedelta(minutes=20)})

    assert before == {}
    assert wrong(database_url, both_ends(outbound_side, batch_id, 2)) == {"tried early": 1}


def test_a_mail_that_was_received_twice_is_named(outbound_side: Office, database_url: str) -> None:
    """The one thing that must never happen."""
    batch_id = outbound_side.batch(3, now=NOW)
    send(outbound_side, batch_id)
    outbound_side.provider.accepted.append(outbound_side.provider.accepted[0])

    assert wrong(database_url, both_ends(outbound_side, batch_id)) == {"received twice": 1}


def test_a_mail_that_may_go_again_may_come_twice(outbound_side: Office, database_url: str) -> None:
    """`prefer_delivery` says which is worse."""
    batch_id = outbound_side.batch(1, now=NOW, policy=ResendPolicy.PREFER_DELIVERY)
    dispatch = outbound_side.outbound.dispatch
    [claim] = dispatch.claim(batch_id, most=1, provider="memory", now=NOW)
    outbound_side.provider.accepted.append(claim.draft.id)
    dispatch.strand(before=NOW + timedelta(hours=2), now=NOW + timedelta(hours=2))
    dispatch.resend([claim.draft.id], now=NOW + timedelta(hours=2))
    send(outbound_side, batch_id, NOW + timedelta(hours=3))

    assert len(outbound_side.provider.accepted) == 2
    assert wrong(database_url, both_ends(outbound_side, batch_id, 1)) == {}


def test_what_was_taken_and_never_came_is_named_and_what_is_unknown_is_not(
    outbound_side: Office, database_url: str
) -> None:
    """`dispatched` is a promise; `unknown` is not."""
    batch_id = outbound_side.batch(3, now=NOW)
    send(outbound_side, batch_id)
    outbound_side.provider.accepted.clear()
    with outbound_side.engine.begin() as connection:
        connection.execute(text("update message set status = 'unknown' where number = 0"))

    assert wrong(database_url, both_ends(outbound_side, batch_id)) == {"not received": 2}


def test_received_mails_without_a_sent_message_are_named(outbound_side: Office, database_url: str) -> None:
    """One of a batch that still waits, and one of no batch at all."""
    batch_id = outbound_side.batch(3, now=NOW)
    waiting = outbound_side.values("select id::text from message")[0]
    outbound_side.provider.accepted += [waiting, "00000000-0000-0000-0000-000000000000"]

    assert wrong(database_url, both_ends(outbound_side, batch_id)) == {"received unawares": 1, "strange mail": 1}


def test_a_mail_that_its_provider_delays_was_received(outbound_side: Office, database_url: str) -> None:
    """`deferred` has two meanings: postponed by us, and sent but delayed at the provider (SES's DeliveryDelay)."""
    batch_id = outbound_side.batch(3, now=NOW)
    send(outbound_side, batch_id)
    with outbound_side.engine.begin() as connection:
        connection.execute(text("update message set status = 'deferred', handed_at = null where number = 1"))
        connection.execute(text("update message set status = 'deferred' where number = 2"))

    assert wrong(database_url, both_ends(outbound_side, batch_id)) == {"received unawares": 1}


def test_an_accepted_batch_that_is_not_there_is_lost(outbound_side: Office, database_url: str) -> None:
    """A caller that was answered 202 relies on it."""
    output = Submissions({"00000000-0000-0000-0000-000000000000": 3})

    assert wrong(database_url, output) == {"lost": 1}
