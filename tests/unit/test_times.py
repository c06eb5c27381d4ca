"""Times from outside: which are accepted, and which are refused after conversion to UTC."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mailroom.cli._times import at, duration, since
from mailroom.delivery.provider_events import postmark, sendgrid, ses
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import ConfigurationError, Unacceptable
from mailroom.domain.inbound.notifications import read_notification
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.outbound.quotas import Allowance, ProviderRate, earliest_end
from mailroom.domain.times import EARLIEST, LATEST, bounded, happened, read_time
from mailroom.outbound.mailbox import BatchOrder, read
from mailroom.testing.notices import ses_notice

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DAY = timedelta(hours=23, minutes=59)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
WORDS = [
    "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-23:59", "0001-01-01", "9999-12-31", "99999999999d", "9" * 5_000 + "m",
    "infinity", "\u00b2d", "", "1e3d", "-1d",
]  # fmt: skip


@pytest.mark.parametrize("offset", [DAY, -DAY, timedelta(0)])
def test_bounds_hold_after_the_conversion(offset: timedelta) -> None:
    """The UTC value counts: year 1 at +01:00 is year 0, which no database returns."""
    zone = timezone(offset)

    assert bounded(EARLIEST.astimezone(zone)) == EARLIEST
    assert bounded(EARLIEST.astimezone(zone)).tzinfo is UTC
    for wrong in (FIRST, LAST):
        with pytest.raises(ValueError, match="between 1970-01-01 and 3000-01-01, in UTC"):
            bounded(wrong.replace(tzinfo=zone))
    for wrong in (EARLIEST - timedelta(microseconds=1), LATEST):
        with pytest.raises(ValueError, match="between"):
            bounded(wrong.astimezone(zone))


def test_a_time_without_an_offset_is_utc() -> None:
    """One rule for bodies, queries, files and options."""
    assert read_time("2026-11-22T09:30:00") == read_time("2026-11-22T10:30:00+01:00") == NOW


def test_another_clock_is_believed_within_reason() -> None:
    """An event with an impossible time keeps its kind; past times are kept, an hour ahead is clock skew."""
    past, soon = NOW - timedelta(days=900), NOW + timedelta(hours=1)

    assert [happened(time, received_at=NOW) for time in (None, past, soon)] == [NOW, past, soon]
    for never in (FIRST, LAST, NOW + timedelta(days=2)):
        assert happened(never, received_at=NOW) == NOW


@pytest.mark.parametrize(
    "stated",
    [
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-14:00",
        "2999-01-01T00:00:00Z",
        1e400,
        1e18,
        -1e12,
    ],
)
def test_a_providers_event_loses_its_time_and_not_its_fact(stated: object) -> None:
    """A bounce still counts; once its suppression ended after year 9999, and blocked every other event."""
    calls = {
        ses: {
            "eventType": "Bounce",
            "mail": {"messageId": "1"},
            "bounce": {"bounceType": "Permanent", "timestamp": stated},
        },
        sendgrid: [{"event": "bounce", "timestamp": stated}],
        postmark: {"RecordType": "Bounce", "Type": "HardBounce", "BouncedAt": stated},
    }

    for provider, call in calls.items():
        [event] = provider.read(json.dumps(call).encode(), received_at=NOW)  # type: ignore[attr-defined]
        assert (event.kind, event.at) == (Kind.BOUNCED_HARD, NOW)


def test_received_mail_of_another_age_came_now() -> None:
    """With a time of receipt in year 9999 no sweep would ever find it silent."""
    notice = ses_notice(ObjectRef("mails", "in/1"), "ada@acme.test").replace(
        "2026-11-21T09:30:00.000Z", "9999-11-21T09:30:00.000Z"
    )

    [arrival] = read_notification(notice)

    assert arrival.envelope is not None
    assert abs(arrival.envelope.received_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_order_of_another_age_is_due_or_unreadable() -> None:
    """An order that older code put on the queue: a past one is due, year 9999 is unreadable."""
    past, never = (
        json.dumps({"batch_id": "1", "due_at": time})
        for time in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00")
    )

    word = read(past, {})

    assert isinstance(word, BatchOrder)
    assert word.due_at == EARLIEST
    with pytest.raises(Unacceptable):
        read(never, {})


def test_mails_that_end_after_all_years_have_no_end() -> None:
    """A hundred thousand at one a month: pages and previews say that the end is unknown."""
    assert earliest_end(Allowance(month=1), {}, 100_000, NOW, pace=ProviderRate()) is None
    assert earliest_end(Allowance(), {}, 10**9, NOW, pace=ProviderRate(1e-9)) is None
    assert earliest_end(Allowance(hour=-1), {}, 1, NOW, pace=ProviderRate()) is None


@pytest.mark.parametrize("word", WORDS, ids=range(len(WORDS)))
def test_a_time_of_another_age_is_refused_in_one_line(word: str) -> None:
    """As an option of `send`, `replay`, `check` and `webhooks replay`, which read their times alike."""
    for option in (at, since):
        with pytest.raises(ConfigurationError, match="use 90m, 2h, 3d or 2026-11-21T08:00") as output:
            option(word)
        assert len(str(output.value)) < 250


def test_a_span_that_is_no_span_is_none() -> None:
    """So that the caller can say in its own words what to write."""
    assert [duration(word) for word in ("99999999999d", "\u0663m", "m", "1w")] == [None] * 4
