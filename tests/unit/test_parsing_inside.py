"""What is inside attached mails is neither hidden nor lost in silence: encryption, meetings, and what limits leave out."""

import base64
from dataclasses import fields
from pathlib import Path

import pytest

from mailroom.domain.inbox.notices import notices_of
from mailroom.domain.mail.contained import Contained
from mailroom.domain.parsing import Limits, ParsedEmail, parse_email
from mailroom.domain.parsing.message import parse_member
from mailroom.domain.parsing.opening import request_for
from tests.support.calendars import event
from tests.support.mail_parts import PDF, PNG, TOP, part
from tests.support.signed_mail import signed
from tests.unit.test_parsing_tnef import (
    MESSAGE,
    MESSAGE_PROPERTIES,
    PR_BODY,
    PR_CLASS,
    PR_SUBJECT,
    STRING8,
    UNICODE,
    attribute,
    properties,
    stream,
    variable,
)

TEXT = b"Content-Type: text/plain\r\n\r\nsee there"
ENVELOPED = bytes.fromhex("308006092a864886f70d010703a0800000")
ARMOUR = b"-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMAx\r\n-----END PGP MESSAGE-----\r\n"
EVENT = event("UID:1", "SUMMARY:Lunch", "LOCATION:Saal 7", "DTSTART;TZID=Europe/Berlin:20261201T120000")
LUNCH = f"BEGIN:VCALENDAR\nMETHOD:REQUEST\n{EVENT}\nEND:VCALENDAR\n".encode()


def mixed(boundary: str, *parts: bytes) -> bytes:
    """Return a mail of these parts; each mail around another needs a boundary of its own."""
    line = b"--" + boundary.encode()
    head = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
    return TOP + head + b"".join(line + b"\r\n" + one + b"\r\n" for one in parts) + line + b"--\r\n"


def attached(raw: bytes) -> bytes:
    return b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + raw


def codes(parsed: ParsedEmail) -> list[str]:
    return [one.code for one in notices_of(parsed.defects, parsed.left_out)]


PGP = mixed("p", part(b"Version: 1", "application/pgp-encrypted"), part(ARMOUR, "application/octet-stream"))
SMIME = TOP + part(ENVELOPED, "application/pkcs7-mime; smime-type=enveloped-data", name="smime.p7m")


@pytest.mark.parametrize(
    ("inside", "word"),
    [
        (attached(PGP), "pgp_encrypted"),
        (attached(TOP + b"\r\n" + ARMOUR), "pgp_encrypted"),
        (attached(SMIME), "smime_encrypted"),
        (attached(mixed("n", TEXT, attached(SMIME))), "smime_encrypted"),
        (part(SMIME, "application/octet-stream", name="old.eml"), "smime_encrypted"),
        (part(base64.b64encode(ENVELOPED), "application/octet-stream", name="plan.pdf.p7m"), "smime_encrypted"),
        (part(signed(b"<x/>"), "application/octet-stream", name="x.xml.p7m"), None),
        (attached(mixed("n", TEXT, part(signed(b"<x/>"), "application/pkcs7-mime", name="x.xml.p7m"))), None),
    ],
)
def test_an_attached_mail_that_is_encrypted_is_said(inside: bytes, word: str | None) -> None:
    """Its text is empty like that of a mail without words; the protection of the mail itself is another matter."""
    parsed = parse_email(mixed("o", TEXT, inside))

    assert codes(parsed) == ([word] if word else [])
    assert parsed.protection == ()


def winmail() -> bytes:
    """Return a winmail.dat of a meeting, with a text of its own."""
    found = properties(
        variable(UNICODE, PR_SUBJECT, "Lunch\0".encode("utf-16-le")),
        variable(STRING8, PR_CLASS, b"IPM.Schedule.Meeting.Request\0"),
        variable(STRING8, PR_BODY, b"please come\0"),
    )
    return stream(attribute(MESSAGE, MESSAGE_PROPERTIES, found))


@pytest.mark.parametrize(
    "inside",
    [
        attached(mixed("n", TEXT, part(LUNCH, "text/calendar; method=REQUEST"))),
        attached(TOP + part(LUNCH, "text/calendar; method=REQUEST")),
        part(mixed("n", TEXT, part(LUNCH, "application/ics", name="i.ics")), "application/octet-stream", name="M.eml"),
        attached(mixed("n", TEXT, attached(TOP + part(LUNCH, "text/calendar")))),
        attached(TOP + part(winmail(), "application/ms-tnef", name="winmail.dat")),
    ],
)
def test_a_meeting_in_an_attached_mail_is_in_its_text(inside: bytes) -> None:
    """Certified mail carries all mail so; of a winmail.dat with a text nothing else would be listed."""
    [outer] = parse_email(mixed("o", TEXT, inside)).attachments
    texts = [one for one in outer.members if "Lunch" in (one.text or "")]

    assert len(texts) == 1
    assert "Meeting (request): Lunch" in (texts[0].text or "")
    assert "winmail" in inside.decode("latin-1") or (
        "When: 2026-12-01T12:00:00 Europe/Berlin\nWhere: Saal 7" in (texts[0].text or "")
    )
    asked = request_for(
        outer.content, name=outer.display_name, content_type=outer.content_type, sha256=texts[0].sha256 or ""
    )
    assert parse_member(asked).attachments[0].content.decode() == texts[0].text


def test_the_end_of_whole_days_is_written_as_the_day_after() -> None:
    """A calendar's end is the first day that is free again."""
    days = LUNCH.replace(
        b"DTSTART;TZID=Europe/Berlin:20261201T120000", b"DTSTART;VALUE=DATE:20261201\r\nDTEND:20261203"
    )
    [outer] = parse_email(mixed("o", TEXT, attached(TOP + part(days, "text/calendar")))).attachments

    assert "When: 2026-12-01 to before 2026-12-03" in (outer.members[0].text or "")


def test_members_over_a_limit_are_counted() -> None:
    """Those of the container where it is reached, and of the later ones."""
    one = attached(mixed("n", TEXT, *[part(PDF, "application/pdf", name=f"{number}.pdf") for number in range(4)]))
    parsed = parse_email(mixed("o", TEXT, one, one, one), limits=Limits(members=6))
    listed = [len(one.members) for one in parsed.attachments]

    assert listed == [5, 1, 0]
    assert parsed.left_out["too_many_files"]["count"] == 15 - sum(listed)


def test_mails_too_deep_are_measured() -> None:
    """The innermost stays a file, unopened."""
    inner = TOP + b"\r\ninnermost"
    raw = mixed(
        "a", TEXT, attached(mixed("b", TEXT, attached(mixed("c", TEXT, attached(mixed("d", TEXT, attached(inner)))))))
    )

    assert parse_email(raw, limits=Limits(container_depth=3)).left_out == {"too_deep": {"bytes": len(inner)}}


LETTERS = mixed("n", TEXT, *[attached(TOP + b"\r\nletter %d" % number) for number in range(5)])


@pytest.mark.parametrize("limits", [Limits(containers=3), Limits(container_bytes=len(LETTERS) + 200)])
def test_a_member_that_a_limit_left_unopened_says_so(limits: Limits) -> None:
    """Of any limit, not of depth alone: the reader would take it for a mail without text and files."""
    [outer] = parse_email(mixed("o", TEXT, attached(LETTERS)), limits=limits).attachments
    mails = [one for one in outer.members if one.content_type == "message/rfc822"]
    opened = {one.inside for one in outer.members}

    assert {one.number for one in mails if not one.unopened} == opened - {0}
    assert any(one.unopened for one in mails)


def test_a_calendar_that_comes_twice_is_counted_once() -> None:
    """As a part and as a file, as many programs send it."""
    entries = [event(f"UID:{number}", f"SUMMARY:M{number}") for number in range(60)]
    calendar = "\n".join(["BEGIN:VCALENDAR", *entries, "END:VCALENDAR"]).encode()
    once, twice = part(calendar, "text/calendar"), part(calendar, "application/ics", name="i.ics")

    assert parse_email(mixed("o", once, twice)).not_carried == parse_email(mixed("o", once)).not_carried
    assert parse_email(mixed("o", once)).not_carried == {"invitations": 10}


def test_every_field_of_the_parsers_object_is_documented() -> None:
    """The table of docs/parsing.md; a field that somebody adds without a line there fails here."""
    parsed = parse_email(mixed("o", TEXT, attached(PGP), *[attached(mixed("n", TEXT, attached(TOP + b"\r\n")))] * 2))
    partial = parse_email(TOP + b"Content-Type: message/partial; id=a; number=1; total=2\r\n\r\nx")
    docs = (Path(__file__).parents[2] / "docs" / "parsing.md").read_text()
    table = docs.partition("## The object of a mail")[2].partition("\n## ")[0]
    known = {field.name for field in fields(Contained)} | parsed.attachments[0].as_dict().keys()

    assert sorted(name for name in known | partial.as_dict().keys() if f"`{name}`" not in table) == []
    assert parsed.as_dict()["left_out"] == {"pgp_encrypted": {}}


@pytest.mark.parametrize(
    ("name", "content", "inside"),
    [
        ("documento.p7m", PDF, "documento.pdf"),
        ("smime.p7m", PNG, "smime.png"),
        ("a.xml.p7m", PDF, "a.xml"),
        ("brief.p7m", b"words", "brief"),
    ],
)
def test_signed_content_has_the_ending_of_its_type_where_its_name_has_none(
    name: str, content: bytes, inside: str
) -> None:
    """Programs open a file by its ending."""
    file = part(signed(content), "application/pkcs7-mime", name=name, disposition="attachment")
    [outer] = parse_email(mixed("o", TEXT, file)).attachments

    assert [one.name for one in outer.members] == [inside]


def test_the_content_of_the_second_file_of_a_name_keeps_its_ending() -> None:
    """The number makes the container's name unique in its mail, in an attached mail too."""
    files = [part(signed(b"<x%d/>" % number), "application/pkcs7-mime", name="a.xml.p7m") for number in range(2)]
    parsed = parse_email(mixed("o", TEXT, *files, attached(mixed("n", TEXT, *files))))

    assert [one.filename for one in parsed.attachments[:2]] == ["a.xml.p7m"] * 2
    assert [one.members[0].name for one in parsed.attachments[:2]] == ["a.xml"] * 2
    assert [one.name for one in parsed.attachments[2].members if one.inside] == ["a.xml"] * 2
