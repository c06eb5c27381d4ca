"""What a mail's calendar invites to: when, where, by which organiser, how often, and that no calendar breaks the parser."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.api.pages.carried_words import calendar_time, invitation_time, invitation_words
from mailroom.domain.mail.carried import Attendee, CalendarTime, Invitation
from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.recurrence import recurrence_in_words
from tests.support.calendars import OUTLOOK_ZONE, calendar_mail, event

C14 = event(
    "ORGANIZER;CN=Petra:mailto:petra@supplier.test",
    "UID:04000000",
    "SUMMARY;LANGUAGE=de-DE:Abstimmung Grün",
    "DTSTART;TZID=W. Europe Standard Time:20251201T140000",
    "DTEND;TZID=W. Europe Standard Time:20251201T150000",
    "LOCATION:Raum 5\\, Haus B",
    "BEGIN:VALARM\nDESCRIPTION:REMINDER\nTRIGGER:-PT15M\nEND:VALARM",
)


def invitation(*lines: str, method: str | None = "REQUEST", zones: str = "") -> Invitation:
    raw = calendar_mail(*([zones] if zones else []), event(*lines), method=method)
    (found,) = parse_email(raw).invitations
    return found


def test_outlook_invites_with_its_own_names_of_zones() -> None:
    """The zone is Windows' name for Berlin; its moment is known, and its description is not the alarm's."""
    (found,) = parse_email(calendar_mail(C14)).invitations

    assert (found.component, found.action, found.summary) == ("event", "request", "Abstimmung Grün")
    assert (found.location, found.organiser, found.description) == (
        "Raum 5, Haus B",
        "Petra <petra@supplier.test>",
        None,
    )
    zone = "W. Europe Standard Time"
    assert found.starts == CalendarTime("2025-12-01T14:00:00", zone, datetime(2025, 12, 1, 13, tzinfo=UTC))
    assert invitation_words(found) == "Meeting, invitation"
    assert invitation_time(found) == f"Mon 1 Dec 2025, 14:00 to 15:00, {zone} (13:00 to 14:00 UTC)"


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ("DTSTART:20260701T120000Z", "Wed 1 Jul 2026, 12:00, UTC"),
        ("DTSTART;TZID=Europe/Berlin:20260701T140000", "Wed 1 Jul 2026, 14:00, Europe/Berlin (12:00 UTC)"),
        ("DTSTART;TZID=/example.org/20260101/Europe/Berlin:20260701T140000",
         "Wed 1 Jul 2026, 14:00, /example.org/20260101/Europe/Berlin (12:00 UTC)"),
        ("DTSTART;TZID=Customized Time Zone:20260701T140000", "Wed 1 Jul 2026, 14:00, Customized Time Zone (12:00 UTC)"),
        ("DTSTART;TZID=Customized Time Zone:20260101T140000", "Thu 1 Jan 2026, 14:00, Customized Time Zone (13:00 UTC)"),
        ("DTSTART;TZID=Customized Time Zone:20260329T030000", "Sun 29 Mar 2026, 03:00, Customized Time Zone (01:00 UTC)"),
        ("DTSTART;TZID=Customized Time Zone:20251026T015900", "Sun 26 Oct 2025, 01:59, Customized Time Zone (Sat 25 Oct 2025, 23:59 UTC)"),
        ("DTSTART;TZID=\"(UTC+01:00) Amsterdam, Berlin\":20260701T140000",
         "Wed 1 Jul 2026, 14:00, (UTC+01:00) Amsterdam, Berlin (not known here)"),
        ("DTSTART:20260701T140000", "Wed 1 Jul 2026, 14:00, no time zone named"),
        ("DTSTART;VALUE=DATE:20260701", "Wed 1 Jul 2026, all day"),
        ("DTSTART:2026-07-01T14:00:00+02:00", "Wed 1 Jul 2026, 14:00, +02:00 (12:00 UTC)"),
        ("DTSTART:tomorrow", "tomorrow"),
        ("DTSTART:20260231T140000", "20260231T140000"),
        ("DTSTART;TZID=Europe/Berlin:00010101T000000", "Mon 1 Jan 1, 00:00, Europe/Berlin (not known here)"),
        ("DTSTART;TZID=../../etc/passwd:20260701T140000", "Wed 1 Jul 2026, 14:00, ../../etc/passwd (not known here)"),
        ("DTSTART;TZID=Europe:20260701T140000", "Wed 1 Jul 2026, 14:00, Europe (not known here)"),
    ],
)  # fmt: skip
def test_a_time_is_shown_in_its_zone_and_in_utc_where_that_is_known(start: str, said: str) -> None:
    """A wrong hour is worse than none: an unknown zone is named, a time without a zone says so."""
    assert invitation_time(invitation(start, zones=OUTLOOK_ZONE)) == said


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("RRULE:FREQ=YEARLY;BYMONTH=11;BYDAY=1SU;UNTIL=20061029T060000Z", "10:00 UTC"),
        ("RRULE:FREQ=YEARLY;BYMONTH=11;BYMONTHDAY=1,2,3,4,5,6,7;BYDAY=SU", "10:00 UTC"),
        ("RRULE:FREQ=SECONDLY", "not known here"),
        ("RRULE:FREQ=YEARLY;BYWEEKNO=20", "not known here"),
        ("RRULE:FREQ=YEARLY;BYMONTH=99", "10:00 UTC"),
        ("RDATE:20070101T000000", "10:00 UTC"),
    ],
)
def test_a_zone_by_rules_that_are_not_understood_is_not_known(rules: str, said: str) -> None:
    """Rules beyond the yearly ones would have to be run; none occurs in mail."""
    zone = f"BEGIN:VTIMEZONE\nTZID:Mine\nBEGIN:STANDARD\nDTSTART:19700101T000000\nTZOFFSETTO:-0500\n{rules}\nEND:STANDARD\nEND:VTIMEZONE"

    assert said in invitation_time(invitation("DTSTART;TZID=Mine:20260101T050000", zones=zone))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["DTSTART;VALUE=DATE:20251224", "DTEND;VALUE=DATE:20251227"], "Wed 24 Dec 2025 to Fri 26 Dec 2025, all day"),
        (["DTSTART;VALUE=DATE:20251224", "DTEND;VALUE=DATE:20251225"], "Wed 24 Dec 2025, all day"),
        (["DTSTART;VALUE=DATE:20251224", "DTEND;VALUE=DATE:20251224"], "Wed 24 Dec 2025, all day"),
        (["DTSTART;VALUE=DATE:20251224", "DURATION:P2D"], "Wed 24 Dec 2025 to Thu 25 Dec 2025, all day"),
        (["DTSTART:20251224T000000", "DTEND:20251225T000000", "X-MICROSOFT-CDO-ALLDAYEVENT:TRUE"], "Wed 24 Dec 2025, all day"),
        (["DTSTART:20251224T090000Z", "DURATION:PT1H30M"], "Wed 24 Dec 2025, 09:00 to 10:30, UTC"),
        (["DTSTART:20251224T230000Z", "DTEND:20251225T010000Z"], "Wed 24 Dec 2025, 23:00 to Thu 25 Dec 2025, 01:00, UTC"),
        (["DTSTART:20251224T090000Z", "DURATION:P99999D"], "Wed 24 Dec 2025, 09:00 to Sun 8 Oct 2299, 09:00, UTC"),
        (["DTSTART:99991231T000000Z", "DURATION:P2D"], "Fri 31 Dec 9999, 00:00, UTC"),
        (["DTSTART:20251224T090000Z", "DURATION:soon"], "Wed 24 Dec 2025, 09:00, UTC"),
    ],
)  # fmt: skip
def test_days_and_ends_are_those_that_people_count(lines: list[str], said: str) -> None:
    """A calendar's end of a day is the next day; a reader wants the last one."""
    assert invitation_time(invitation(*lines)) == said


@pytest.mark.parametrize(
    ("method", "lines", "action", "words"),
    [
        ("REQUEST", [], "request", "Meeting, invitation"),
        ("REQUEST", ["SEQUENCE:0"], "request", "Meeting, invitation"),
        ("request", ["SEQUENCE:2"], "update", "Meeting, changed invitation"),
        ("CANCEL", ["SEQUENCE:2"], "cancel", "Meeting, cancelled"),
        ("REQUEST", ["STATUS:CANCELLED"], "cancel", "Meeting, cancelled"),
        ("REPLY", [], "reply", "Meeting, answer to an invitation"),
        ("COUNTER", [], "counter", "Meeting, another time is proposed"),
        ("PUBLISH", [], "publish", "Meeting"),
        ("NONSENSE", ["SEQUENCE:9" * 500], None, "Meeting"),
        (None, [], None, "Meeting"),
    ],
)
def test_the_action_is_the_methods(method: str | None, lines: list[str], action: str | None, words: str) -> None:
    """RFC 5546: a request with a number is a change of an earlier one; a cancelled entry is cancelled by any method."""
    found = invitation("DTSTART:20251224T090000Z", *lines, method=method)

    assert (found.action, invitation_words(found)) == (action, words)


def test_the_method_of_the_type_counts_where_the_calendar_has_none() -> None:
    """Some gateways drop the property and keep the parameter."""
    type_ = "text/calendar; method=CANCEL; charset=utf-8"

    (found,) = parse_email(calendar_mail(event("UID:1"), method=None, type_=type_)).invitations

    assert found.action == "cancel"


def test_an_answer_says_who_answered_what() -> None:
    """A reply names one attendee and the answer; a name that looks like an address is quoted."""
    found = invitation(
        'ORGANIZER;CN="Maier, Petra":MAILTO:petra%2Bx@supplier.test',
        "ATTENDEE;PARTSTAT=ACCEPTED;CN=Ann ^'A^' B:mailto:ann@acme.test",
        "ATTENDEE;PARTSTAT=NEEDS-ACTION;CN=ceo@bank.example:mailto:x@evil.example",
        "ATTENDEE;CN=Room 5;EMAIL=room5@acme.test:urn:uuid:7",
        "ATTENDEE;CN=Nobody:invalid:nomail",
        method="REPLY",
    )

    assert found.organiser == '"Maier, Petra" <petra+x@supplier.test>'
    assert found.attendees == (
        Attendee('Ann "A" B <ann@acme.test>'.replace('Ann "A" B', '"Ann \\"A\\" B"'), "accepted"),
        Attendee('"ceo@bank.example" <x@evil.example>'),
        Attendee("Room 5 <room5@acme.test>"),
        Attendee("Nobody"),
    )


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("FREQ=DAILY;INTERVAL=3", "every 3 days"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE,FR;UNTIL=20261224T230000Z;WKST=MO",
         "every 2 weeks on Monday, Wednesday and Friday, until 24 Dec 2026"),
        ("FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "every week from Monday to Friday"),
        ("FREQ=MONTHLY;BYDAY=2TU", "every month on the second Tuesday"),
        ("FREQ=MONTHLY;BYDAY=TU;BYSETPOS=2", "every month on the second Tuesday"),
        ("FREQ=MONTHLY;BYDAY=-1FR;COUNT=1", "every month on the last Friday, 1 time"),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "every month on the last weekday (Monday to Friday)"),
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", "every month on day 1 and day 15"),
        ("FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU", "every year on the last Sunday in March"),
        ("FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=24", "every year on 24 December"),
        ("FREQ=HOURLY;BYMINUTE=1", "by the rule FREQ=HOURLY;BYMINUTE=1"),
        ("FREQ=WEEKLY;INTERVAL=0", "by the rule FREQ=WEEKLY;INTERVAL=0"),
        ("FREQ=DAILY;UNTIL=00000000", "by the rule FREQ=DAILY;UNTIL=00000000"),
    ],
)  # fmt: skip
def test_a_recurrence_is_in_words(rule: str, words: str) -> None:
    """What has no words here is given as it is written, rather than in words that are wrong."""
    assert recurrence_in_words(rule) == words
    assert invitation("DTSTART:20251224T090000Z", f"RRULE:{rule}").recurrence_rule == rule


def test_one_date_of_a_series_and_its_exceptions() -> None:
    """A change of one date must not look like a change of all."""
    found = invitation(
        "DTSTART:20251224T090000Z",
        "RRULE:FREQ=DAILY",
        "EXDATE:20251225T090000Z,20251226T090000Z",
        "RDATE:20260101T090000Z",
        "RECURRENCE-ID:20251224T080000Z",
    )

    assert found.recurrence == "every day, and on 1 more date, except on 2 dates"
    assert found.occurrence is not None
    assert calendar_time(found.occurrence) == "Wed 24 Dec 2025, 08:00, UTC"


def test_a_cut_calendar_and_one_of_another_type_are_read() -> None:
    """Lists cut mails, and programs attach invitations as mere bytes; the same entry twice is one."""
    cut = calendar_mail(C14)[:-60]
    part = b"--b\r\n%s\r\n\r\n" + calendar_mail(C14).partition(b"\r\n\r\n")[2]
    twice = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"".join(
        part.replace(b"%s", head)
        for head in (b"Content-Type: text/calendar", b"Content-Type: application/octet-stream; name=a.ics")
    )

    assert [one.location for one in parse_email(cut).invitations] == ["Raum 5, Haus B"]
    assert len(parse_email(twice + b"--b--\r\n").invitations) == 1


@pytest.mark.parametrize(
    ("raw", "left_out"),
    [
        (calendar_mail(*[event("DTSTART;TZID=Mine:20260101T050000", f"UID:{n}") for n in range(3_000)]), 2_950),
        (calendar_mail(event(*["ATTENDEE;CN=A:mailto:a@b.example"] * 20_000)), None),
        (calendar_mail(*["BEGIN:VEVENT"] * 30_000), None),
        (calendar_mail(event(*[f"X-{n}:a" for n in range(20_000)])), None),
        (calendar_mail(event(*['ATTENDEE;CN="' * 200] * 500)), None),
        (calendar_mail(*[OUTLOOK_ZONE] * 500, event("DTSTART;TZID=Customized Time Zone:20260101T050000")), None),
    ],
    ids=["entries", "attendees", "unclosed", "names", "quotes", "zones"],
)
def test_hostile_calendars_cost_little_and_what_is_left_out_is_counted(raw: bytes, left_out: int | None) -> None:
    """One calendar must not take the parser's ten seconds: here 3 s of CPU are plenty."""
    begun = time.process_time()

    parsed = parse_email(raw)

    assert time.process_time() - begun < 3
    assert len(parsed.invitations) <= 50
    assert parsed.not_carried.get("invitations") == left_out
    assert len(json.dumps(parsed.as_dict()["invitations"])) < 200_000


_LINES = st.builds(
    "{}{}:{}".format,
    st.sampled_from([
        "DTSTART", "DTEND", "DUE", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID", "SEQUENCE", "STATUS", "ORGANIZER",
        "ATTENDEE", "BEGIN", "END", "TZID", "TZOFFSETTO", "METHOD", "UID", "X-MICROSOFT-CDO-ALLDAYEVENT",
    ]),
    st.sampled_from(["", ";TZID=Mine", ";TZID=Europe/Berlin", ";VALUE=DATE", ';CN="a', ";PARTSTAT=DECLINED"]),
    st.one_of(
        st.sampled_from([
            "VEVENT", "VTIMEZONE", "STANDARD", "DAYLIGHT", "20260101T000000", "00010101T000000Z", "99991231T235959Z", "20260101",
            "PT1H", "P99999D", "FREQ=YEARLY;BYMONTH=2;BYDAY=5SU", "FREQ=YEARLY;BYMONTH=0", "FREQ=WEEKLY;BYDAY=MO", "-2359", "+9999", "TRUE",
        ]),
        st.text(max_size=20),
    ),
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(_LINES, max_size=25))
def test_no_calendar_raises_and_its_entries_survive_json_and_the_page(lines: list[str]) -> None:
    """Whatever is in it: the item is filed, stored as JSON, read again, and drawn."""
    raw = calendar_mail("BEGIN:VTIMEZONE", "TZID:Mine", "BEGIN:STANDARD", "BEGIN:VEVENT", *lines)

    for found in parse_email(raw).invitations:
        stored: dict[str, Any] = json.loads(json.dumps(found.as_dict()))
        assert Invitation.from_dict(stored) == found
        assert isinstance(invitation_time(found) + invitation_words(found), str)
        assert found.occurrence is None or calendar_time(found.occurrence)
