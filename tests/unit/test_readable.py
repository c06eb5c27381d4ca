"""Times, senders and snippets of lists, as people read them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.inbox.snippets import LENGTH, OF_HTML, snippet
from mailroom.domain.readable import sender_parts, short_time, shown, when

PARIS, AUCKLAND = ZoneInfo("Europe/Paris"), ZoneInfo("Pacific/Auckland")
NOW = datetime(2026, 11, 30, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-11-30T04:47", "today 04:47"),
        ("2026-11-30T00:00", "today 00:00"),
        ("2026-11-29T23:59", "yesterday 23:59"),
        ("2026-11-28T09:12", "Sat 09:12"),
        ("2026-11-24T09:12", "Tue 09:12"),
        ("2026-11-23T23:59", "23 Nov"),
        ("2026-01-01T00:00", "1 Jan"),
        ("2025-11-12T09:00", "12 Nov 2025"),
        # Clocks that differ: what is not past is no weekday.
        ("2026-11-30T23:00", "today 23:00"),
        ("2026-12-01T00:00", "1 Dec"),
        ("2027-01-01T00:00", "1 Jan 2027"),
    ],
)
def test_a_time_of_a_list_is_short(time: str, words: str) -> None:
    """By the calendar, not by hours: yesterday evening is yesterday."""
    assert short_time(datetime.fromisoformat(f"{time}+00:00"), now=NOW) == words


@pytest.mark.parametrize(
    ("time", "now", "zone", "words"),
    [
        ("2026-11-29T23:30", "2026-11-30T06:00", PARIS, "today 00:30"),
        ("2026-11-29T22:30", "2026-11-30T06:00", PARIS, "yesterday 23:30"),
        ("2026-11-29T11:30", "2026-11-30T06:00", AUCKLAND, "today 00:30"),
        ("2025-12-31T23:30", "2026-01-01T10:00", PARIS, "today 00:30"),
        # The hour that Paris has twice, and the day of 23 hours.
        ("2026-10-25T00:30", "2026-10-25T12:00", PARIS, "today 02:30"),
        ("2026-10-25T01:30", "2026-10-25T12:00", PARIS, "today 02:30"),
        ("2026-03-28T23:30", "2026-03-29T22:30", PARIS, "yesterday 00:30"),
    ],
)
def test_a_short_time_is_of_the_persons_calendar(time: str, now: str, zone: ZoneInfo, words: str) -> None:
    """Midnight is where the person is."""
    utc = [datetime.fromisoformat(f"{one}+00:00") for one in (time, now)]

    assert short_time(utc[0], now=utc[1], zone=zone) == words


def test_a_full_time_names_its_zone() -> None:
    """It is behind the short one, and in print."""
    assert when(NOW) == "30 Nov 2026, 06:30 UTC"
    assert when(NOW, zone=PARIS) == "30 Nov 2026, 07:30 CET"
    assert when(NOW - timedelta(days=120), zone=PARIS) == "2 Aug 2026, 08:30 CEST"


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("Carl Dupont <carl@x.test>", ("Carl Dupont", "carl@x.test")),
        ('"Dupont, Carl" <carl@x.test>', ("Dupont, Carl", "carl@x.test")),
        ("carl@x.test", ("carl@x.test", "")),
        ("<carl@x.test>", ("carl@x.test", "")),
        ("bank@bank.test <evil@x.test>", ("bank@bank.test", "evil@x.test")),
        ("A <a@x.test>, B <b@x.test>", ("A <a@x.test>, B <b@x.test", "")),
        ("", ("", "")),
        ("<<<>>>", ("", "")),
    ],
)
def test_a_sender_is_a_name_and_an_address(written: str, parts: tuple[str, str]) -> None:
    """The name first, and never without the address: anyone can write any name."""
    assert sender_parts(written) == parts


@pytest.mark.parametrize(
    ("text", "html", "words"),
    [
        ("Dear Ann,\r\n\r\n  thank you", None, "Dear Ann, thank you"),
        (None, None, ""),
        ("\u200b \u00ad\r\n", "<p>Hello", "Hello"),
        ("in\u202evoice\u2066\x00", None, "invoice"),
        (None, "<title>No</title><style>p{}</style><!-- no <b>no</b> --><p>Yes &amp; yes</p><script>no", "Yes & yes"),
        (None, "<p>Yes<a href='http://very", "Yes"),
        (None, "<p>Yes<!-- cut off", "Yes"),
        (None, "<style>" + "x" * OF_HTML + "</style><p>too late", ""),
        (None, "&lt;script&gt;alert(1)", "<script>alert(1)"),
        (None, "<p>" + "\u034f\u200c\u00a0" * 100 + "after the filler", "after the filler"),
    ],
)
def test_a_snippet_is_the_beginning_of_the_letter(text: str | None, html: str | None, words: str) -> None:
    """Plain text of what a reader sees; a page escapes it as it does every text of a mail."""
    assert snippet(text, html) == words


@given(st.text(max_size=400), st.text(alphabet="<>!-/ abp&;\u202e\u200b\n", max_size=400))
def test_a_snippet_is_one_short_line_that_does_not_deceive(text: str, html: str) -> None:
    """Whatever a mail has."""
    for made in (snippet(text, html), snippet(None, html), snippet(html, None)):
        assert len(made) <= LENGTH
        assert made == shown(" ".join(made.split()))
