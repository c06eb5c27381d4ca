"""What comes out of a winmail.dat, from streams written here after [MS-OXTNEF]."""

import struct
from datetime import UTC, datetime, timedelta

import pytest

from mailroom.domain.parsing import Limits, parse_email

MESSAGE, ATTACHMENT = 1, 2
BODY, DATA, TITLE, RENDERING = 0x2800C, 0x6800F, 0x18010, 0x69002
MESSAGE_PROPERTIES, ATTACHMENT_PROPERTIES, CODE_PAGE = 0x69003, 0x69005, 0x69007
BINARY, STRING8, UNICODE, OBJECT, LONG = 0x102, 0x1E, 0x1F, 0x0D, 0x03
PR_BODY, PR_HTML, PR_SUBJECT = 0x1000, 0x1013, 0x0037
PR_DATA, PR_METHOD, PR_LONG_NAME, PR_MIME, PR_CONTENT_ID = 0x3701, 0x3705, 0x3707, 0x370E, 0x3712
PR_RTF, PR_CLASS, PR_START, TIME = 0x1009, 0x001A, 0x0060, 0x40
INTERFACE = bytes(range(16))


def attribute(level: int, number: int, value: bytes) -> bytes:
    return struct.pack("<BII", level, number, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def variable(kind: int, number: int, value: bytes, *, named: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, number) + named + struct.pack("<II", 1, len(value)) + value + bytes(-len(value) % 4)


def properties(*found: bytes) -> bytes:
    return struct.pack("<I", len(found)) + b"".join(found)


def stream(*attributes: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22" + b"\x01\x00" + b"".join(attributes)


def file(name: str, content: bytes, *more: bytes) -> bytes:
    found = properties(variable(UNICODE, PR_LONG_NAME, (name + "\0").encode("utf-16-le")), *more)
    return (
        attribute(ATTACHMENT, RENDERING, bytes(14))
        + attribute(ATTACHMENT, TITLE, b"SHORT~1.TXT\0")
        + attribute(ATTACHMENT, DATA, content)
        + attribute(ATTACHMENT, ATTACHMENT_PROPERTIES, found)
    )


def attached_object(name: str, content: bytes) -> bytes:
    found = properties(
        variable(UNICODE, PR_LONG_NAME, (name + "\0").encode("utf-16-le")),
        variable(OBJECT, PR_DATA, INTERFACE + content),
    )
    return attribute(ATTACHMENT, RENDERING, bytes(14)) + attribute(ATTACHMENT, ATTACHMENT_PROPERTIES, found)


def mail(winmail: bytes, *, text: bytes = b"see below") -> bytes:
    return (
        b'Content-Type: multipart/mixed; boundary="x"\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\n' + text + b"\r\n"
        b"--x\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n\r\n" + winmail + b"\r\n--x--\r\n"
    )


def test_members_replace_the_container() -> None:
    """Only Outlook opens a winmail.dat; a reader wants the files in it."""
    winmail = stream(file("Angebot für März.pdf", b"%PDF-1.4 offer"), file("photo.png", b"\x89PNG\r\n\x1a\n"))

    found = parse_email(mail(winmail)).attachments

    assert [(one.filename, one.content) for one in found] == [
        ("Angebot für März.pdf", b"%PDF-1.4 offer"),
        ("photo.png", b"\x89PNG\r\n\x1a\n"),
    ]


def test_short_name_is_used_without_a_long_one() -> None:
    """Old Outlooks write only the 8.3 name, in the mail's code page."""
    winmail = stream(
        attribute(MESSAGE, CODE_PAGE, struct.pack("<II", 1251, 0)),
        attribute(ATTACHMENT, RENDERING, bytes(14)),
        attribute(ATTACHMENT, TITLE, "Счёт.doc\0".encode("cp1251")),
        attribute(ATTACHMENT, DATA, b"bill"),
    )

    found = parse_email(mail(winmail)).attachments

    assert [(one.filename, one.size) for one in found] == [("Счёт.doc", 4)]


def test_type_and_content_id_come_from_the_properties() -> None:
    """HTML inside the container refers to its images by content id."""
    more = (
        variable(STRING8, PR_MIME, b"image/png\0"),
        struct.pack("<HHI", LONG, PR_METHOD, 1),
        variable(STRING8, PR_CONTENT_ID, b"logo@here\0"),
    )

    (found,) = parse_email(mail(stream(file("logo.png", b"png", *more)))).attachments

    assert (found.content_type, found.content_id) == ("image/png", "logo@here")


@pytest.mark.parametrize(
    "name",
    [
        INTERFACE + struct.pack("<II", 0, 0x8501),
        INTERFACE + struct.pack("<II", 1, 6) + "ab\0".encode("utf-16-le") + b"\0\0",
    ],
    ids=["by number", "by name"],
)
def test_named_properties_are_skipped(name: bytes) -> None:
    """They carry a name of their own length between the id and the value."""
    winmail = stream(file("a.txt", b"a", variable(UNICODE, 0x8001, b"x\0\0\0", named=name)), file("b.txt", b"b"))

    parsed = parse_email(mail(winmail))

    assert [one.filename for one in parsed.attachments] == ["a.txt", "b.txt"]
    assert parsed.defects == ()


def test_embedded_object_loses_its_interface_id() -> None:
    """The 16 bytes in front of the object's data name a COM interface and are no part of the file."""
    winmail = stream(attached_object("chart.ole", b"\xd0\xcf\x11\xe0 storage"))

    (found,) = parse_email(mail(winmail)).attachments

    assert found.content == b"\xd0\xcf\x11\xe0 storage"


def test_message_inside_becomes_an_eml_with_its_own_files() -> None:
    """A message that was forwarded from Outlook is one attachment, like one forwarded from anywhere else."""
    inner = stream(
        attribute(
            MESSAGE,
            MESSAGE_PROPERTIES,
            properties(
                variable(UNICODE, PR_SUBJECT, "Prüfung\0".encode("utf-16-le")),
                variable(UNICODE, PR_BODY, "inner text\0".encode("utf-16-le")),
            ),
        ),
        file("plan.pdf", b"%PDF plan"),
    )

    (outer,) = parse_email(mail(stream(attached_object("Prüfung", inner)))).attachments
    forwarded = parse_email(outer.content)

    assert (outer.filename, outer.content_type) == ("Prüfung.eml", "message/rfc822")
    assert (forwarded.subject, forwarded.text) == ("Prüfung", "inner text")
    assert [(one.filename, one.content) for one in forwarded.attachments] == [("plan.pdf", b"%PDF plan")]


def test_text_of_the_container_is_used_where_the_mail_has_none() -> None:
    """Some servers send nothing but the container."""
    body = properties(variable(BINARY, PR_HTML, b"<p>hello</p>"), variable(STRING8, PR_BODY, b"hello\0"))
    winmail = stream(attribute(MESSAGE, MESSAGE_PROPERTIES, body), file("a.txt", b"a"))

    parsed = parse_email(mail(winmail, text=b""))

    assert (parsed.text, parsed.html) == ("hello", "<p>hello</p>")


def test_rtf_body_is_used_where_there_is_no_other() -> None:
    """Outlook often writes nothing but this one, with the HTML inside."""
    rtf = rb"{\rtf1\ansi\fromhtml1 {\*\htmltag64 <p>}hello{\*\htmltag72 </p>}}"
    packed = struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf
    winmail = stream(
        attribute(MESSAGE, MESSAGE_PROPERTIES, properties(variable(BINARY, PR_RTF, packed))), file("a.txt", b"a")
    )

    assert parse_email(mail(winmail, text=b"")).html == "<p>hello</p>"


def test_container_of_a_text_alone_is_that_text() -> None:
    """There is nothing in it to download."""
    winmail = stream(attribute(MESSAGE, MESSAGE_PROPERTIES, properties(variable(STRING8, PR_BODY, b"hello\0"))))

    parsed = parse_email(mail(winmail, text=b""))

    assert (parsed.text, parsed.attachments) == ("hello", ())


def test_invitation_has_time_and_place() -> None:
    """Outlook puts a meeting into properties where others send a calendar."""
    appointments = bytes.fromhex("0220060000000000c000000000000046")
    start = (datetime(2026, 3, 3, 9, tzinfo=UTC) - datetime(1601, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 10
    found = properties(
        variable(UNICODE, PR_SUBJECT, "Lunch\0".encode("utf-16-le")),
        variable(STRING8, PR_CLASS, b"IPM.Schedule.Meeting.Request\0"),
        struct.pack("<HHQ", TIME, PR_START, start),
        variable(UNICODE, 0x8001, "Room 5\0".encode("utf-16-le"), named=appointments + struct.pack("<II", 0, 0x8208)),
    )

    (report,) = parse_email(mail(stream(attribute(MESSAGE, MESSAGE_PROPERTIES, found)))).reports

    assert (report.kind, report.fields) == ("calendar", {"method": "IPM.Schedule.Meeting.Request"})
    assert report.items == ({"summary": "Lunch", "dtstart": "2026-03-03T09:00:00+00:00", "location": "Room 5"},)


def test_cut_container_gives_the_members_before_the_cut() -> None:
    """Members that arrived whole are returned; the defect says that something is missing."""
    winmail = stream(file("a.txt", b"a" * 50), file("b.txt", b"b" * 50))

    parsed = parse_email(mail(winmail[:-160]))

    assert parsed.attachments[0].content == b"a" * 50
    assert "tnef_damaged" in parsed.defects


def test_container_without_members_stays_an_attachment() -> None:
    """Garbage under this type may still be something that a person wants to see."""
    parsed = parse_email(mail(b"no container at all"))

    assert [one.filename for one in parsed.attachments] == ["winmail.dat"]


def test_messages_inside_messages_stop_at_the_limit() -> None:
    """Each level holds all below it, so depth multiplies the work."""
    winmail = stream(file("core.txt", b"core"))
    for _ in range(30):
        winmail = stream(attached_object("again", winmail))

    parsed = parse_email(mail(winmail), limits=Limits(tnef_depth=3))

    assert len(parsed.attachments) == 1
    assert "too_deep" in parsed.defects


def test_properties_are_counted() -> None:
    """A count of four thousand million must not be believed."""
    many = struct.pack("<I", 0xFFFFFFFF) + struct.pack("<HHI", LONG, PR_METHOD, 1) * 1_000

    parsed = parse_email(
        mail(stream(attribute(ATTACHMENT, ATTACHMENT_PROPERTIES, many))), limits=Limits(properties=100)
    )

    assert "too_many_properties" in parsed.defects
