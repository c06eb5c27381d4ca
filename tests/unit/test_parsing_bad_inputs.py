"""The security notes' bad inputs, parts A (structure and resources) and B (names and types), as far as the parser goes.

Each test names its case. What belongs to storage, to pages or to scanning is tested there.
"""

import sys
from types import FrameType
from typing import Any

import pytest

from benchmarks.traps import TRAPS
from mailroom.domain.parsing import Limits, ParsedAttachment, ParsedEmail, parse_email
from tests.fuzz.content_rules import assert_sound

LIMIT = Limits().raw_bytes


def mixed(*parts: bytes, boundary: bytes = b"edge") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n' + body + b"--" + boundary + b"--\r\n"


def named(name: bytes) -> ParsedAttachment:
    raw = mixed(b"Content-Type: application/pdf\r\nContent-Disposition: attachment; " + name + b"\r\n\r\n%PDF")
    (found,) = parse_email(raw).attachments
    return found


def steps(raw: bytes) -> int:
    """Return how many calls the parser makes on `raw`: work that no busy machine changes."""
    count = 0

    def counted(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal count
        count += 1

    sys.setprofile(counted)
    try:
        parse_email(raw)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", TRAPS)
def test_work_grows_no_faster_than_the_mail(name: str) -> None:
    """A3, A4, A5, A7, A8 and their kin: four times the bytes may cost four times the steps, and a few more."""
    small, large = steps(TRAPS[name](130_000)), steps(TRAPS[name](520_000))

    assert large <= 5 * small + 200


@pytest.mark.parametrize("name", TRAPS)
def test_trap_is_answered(name: str) -> None:
    """A3 to A8: the result can always be stored, and names its defects."""
    assert_sound(parse_email(TRAPS[name](100_000)))


def test_nothing_and_one_byte_too_many() -> None:
    """A1 and A2: both are answered; the pipeline quarantines them before anybody parses."""
    assert parse_email(b"").defects == ("empty",)
    assert "too_large" in parse_email(b"Subject: x\r\n\r\n" + bytes(LIMIT)).defects


@pytest.mark.parametrize("depth", [21, 1_500, 100_000])
def test_depth_is_a_defect(depth: int) -> None:
    """A3: no recursion anywhere."""
    level = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"

    assert "too_deep" in parse_email(b"".join(level % (one, one) for one in range(depth)) + b"\r\nx").defects


def test_hundred_thousand_parts_are_a_defect() -> None:
    """A4: five hundred are read."""
    parsed = parse_email(b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\n" * 100_000)

    assert "too_many_parts" in parsed.defects


@pytest.mark.parametrize(
    ("raw", "defect"),
    [
        (b"X: y\r\n" * 100_000 + b"\r\nhi", "header_block_too_long"),
        (b"Subject: " + b"a" * 20_000_000 + b"\r\n\r\nhi", "header_too_long"),
        (b"Subject: " + b"a " * 200_000, "header_block_too_long"),
    ],
    ids=["many", "one of 20 MB", "never ends"],
)
def test_headers_without_end_are_a_defect(raw: bytes, defect: str) -> None:
    """A5: the block is read up to its limit."""
    assert defect in parse_email(raw).defects


def test_nested_comments_are_shown_raw() -> None:
    """A7: eight hundred levels raise a RecursionError elsewhere."""
    assert_sound(parse_email(b"To: " + b"(" * 800 + b"a@example.org\r\n\r\nx"))


def test_recipients_are_capped() -> None:
    """A8: a thousand are returned, and the defect says that there were more."""
    parsed = parse_email(b"To: " + b", ".join(b"u%d@example.org" % one for one in range(16_000)) + b"\r\n\r\nx")

    assert len(parsed.to) == 1_000
    assert "too_many_addresses" in parsed.defects


def test_forwards_in_forwards_stay_one_file() -> None:
    """A10: fifty deep, and still one attachment of exactly these bytes."""
    inner = b"Content-Type: message/rfc822\r\n\r\n" * 49 + b"Subject: core\r\n\r\nx"

    (found,) = parse_email(b"Content-Type: message/rfc822\r\n\r\n" + inner).attachments

    assert found.content == inner


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: multipart/mixed",
        b'Content-Type: multipart/mixed; boundary=""',
        b"Content-Type: multipart/mixed; boundary=" + b"a" * 10_000,
        b"Content-Type: multipart/mixed; boundary=elsewhere",
    ],
    ids=["missing", "empty", "long", "not there"],
)
def test_text_survives_a_useless_boundary(head: bytes) -> None:
    """A11: all bytes are kept, and the defect named."""
    parsed = parse_email(head + b"\r\n\r\nwhat someone wrote\r\n")

    assert "what someone wrote" in (parsed.text or "")
    assert parsed.defects


@pytest.mark.parametrize("declared", [b"'edge'", b"edge (a comment)", b'"ed\r\n ge"'])
def test_boundary_is_found_behind_its_decoration(declared: bytes) -> None:
    """A11: quotes that are none, comments, folding."""
    raw = b"Content-Type: multipart/mixed; boundary=" + declared + b"\r\n\r\n--edge\r\n\r\none\r\n--edge--\r\n"

    assert parse_email(raw).text == "one"


def test_boundary_that_begins_like_another_cuts_nothing() -> None:
    """A11: `edge` and `edge2` are two boundaries."""
    inner = mixed(b"\r\none", b"Content-Type: image/png\r\n\r\n1", boundary=b"edge2")

    parsed = parse_email(mixed(inner, b"Content-Type: image/png\r\n\r\n2"))

    assert parsed.text == "one"
    assert [one.content for one in parsed.attachments] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("body", "content", "defect"),
    [
        (b"aGVsbG8gd29ybGQ", b"hello world", None),
        (b"aGVs\x00bG8g!d29y\xffbGQ=", b"hello world", "base64_damaged"),
        (b"aGVsbG8gd29yb", b"hello wor", "base64_damaged"),
    ],
    ids=["no padding", "rubbish inside", "cut"],
)
def test_damaged_base64_gives_what_there_is(body: bytes, content: bytes, defect: str | None) -> None:
    """A12: best effort, never an exception."""
    parsed = parse_email(b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body)

    assert parsed.attachments[0].content.startswith(content)
    assert parsed.defects == ((defect,) if defect else ())


def test_unclosed_multipart_keeps_its_last_part() -> None:
    """A12: a connection that broke."""
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\n\x89PN"

    parsed = parse_email(raw)

    assert (parsed.text, parsed.attachments[0].content) == ("one", b"\x89PN")
    assert parsed.defects == ("boundary_not_closed",)


@pytest.mark.parametrize("ending", [b"\r", b"\n", b"\r\n"])
def test_every_line_end_is_read(ending: bytes) -> None:
    """A15: bare CR too, and NUL bytes never come out."""
    parsed = parse_email(ending.join([b"Subject: x\0y", b"To: a@example.org", b"", b"h\0i", b""]))

    assert (parsed.subject, parsed.to, (parsed.text or "").strip()) == ("xy", ("a@example.org",), "hi")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"\r\njust text", ParsedEmail(text="just text")),
        (b"Subject: only\r\n", ParsedEmail(subject="only")),
        (b"From anna Tue Mar 3\r\nSubject: mbox\r\n\r\nx", ParsedEmail(subject="mbox", text="x")),
        ("\ufeffSubject: wide\r\n\r\nx".encode("utf-16-le"), ParsedEmail(subject="wide", text="x")),
    ],
    ids=["no headers", "only headers", "mbox line", "UTF-16"],
)
def test_odd_beginnings_are_read(raw: bytes, expected: ParsedEmail) -> None:
    """A16: as a person would."""
    parsed = parse_email(raw)

    assert (parsed.subject, parsed.text) == (expected.subject, expected.text)


@pytest.mark.parametrize(
    "date", [b"", b"Date: 1 Jan 9999 00:00", b"Date: 1 Jan -9999 00:00", b"Date: 1 Jan 2026 24:61:00", b"Date: soon"]
)
def test_date_that_is_none_is_none(date: bytes) -> None:
    """A17: the time of receipt is used then."""
    assert parse_email(date + b"\r\nSubject: x\r\n\r\nx").date is None


@pytest.mark.parametrize(
    ("head", "defect"),
    [
        (b"Content-Type: message/partial; id=x; number=1; total=3", "message_partial"),
        (b"Content-Type: message/external-body; access-type=URL; URL=http://example.org/x", "external_body"),
    ],
)
def test_what_lies_elsewhere_stays_there(head: bytes, defect: str) -> None:
    """A18: an attachment with the bytes that came; nothing is fetched or put together."""
    parsed = parse_email(head + b"\r\n\r\nSubject: inner\r\n\r\nx")

    assert [one.content for one in parsed.attachments] == [b"Subject: inner\r\n\r\nx"]
    assert parsed.defects == (defect,)


def test_same_attachment_often_has_one_digest() -> None:
    """A19: three hundred references to one content."""
    parsed = parse_email(mixed(*[b"Content-Type: image/png; name=a.png\r\n\r\n\x89PNG"] * 300))

    assert len({one.sha256 for one in parsed.attachments}) == 1
    assert len({one.display_name for one in parsed.attachments}) == 300


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04" + bytes(60), b"\x1f\x8b\x08" + bytes(60), b"<!DOCTYPE x [<!ENTITY a 'b'>]>"]
)
def test_archives_and_documents_are_not_opened(content: bytes) -> None:
    """A20 and A21: the parser does not open archives and documents."""
    (found,) = parse_email(mixed(b"Content-Type: application/zip\r\n\r\n" + content)).attachments

    assert (found.content, found.members) == (content, ())


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (rb'filename="../../etc/passwd"', "passwd"),
        (rb'filename="..\\..\\x"', "x"),
        (rb'filename="/abs"', "abs"),
        (rb'filename="C:\\dir\\x.txt"', "x.txt"),
        (rb'filename="\\\\host\\share"', "share"),
    ],
)
def test_paths_are_no_names(written: bytes, shown: str) -> None:
    """B22: the last part is shown; the sender's spelling is kept beside it."""
    found = named(written)

    assert (found.filename, found.display_name) == (shown, shown)
    assert found.original_name != shown


@pytest.mark.parametrize(
    "written",
    [
        b'filename="a\x00b.pdf"',
        b'filename="a\r\n\tb.pdf"',
        b'filename="' + b"a" * 5_000 + b'.pdf"',
        'filename="é"'.encode(),
    ],
    ids=["NUL", "folded", "5 kB", "8 bit"],
)
def test_names_are_one_short_line(written: bytes) -> None:
    """B23: cleaned, at most 200 bytes."""
    name = named(written).display_name

    assert name.isprintable()
    assert 0 < len(name.encode()) <= 200


def test_long_name_is_not_cut_inside_a_letter() -> None:
    """B23: three hundred bytes of UTF-8."""
    name = named(b'filename="' + "é".encode() * 150 + b'.pdf"').filename

    assert name.endswith("é.pdf")


@pytest.mark.parametrize("name", [b"CON", b"aux.txt", b"a.", b"a ", b".", b"..", b"", b"\xe2\x80\x8b.htaccess"])
def test_names_with_a_meaning_elsewhere_lose_it(name: bytes) -> None:
    """B26, and the invisible letter before `.htaccess`: no device, no hidden file, no folder, nothing empty."""
    shown = named(b'filename="' + name + b'"').display_name

    assert shown.strip(". ") == shown
    assert shown
    assert shown.split(".")[0].upper() not in {"CON", "AUX"}


def test_two_names_follow_one_rule() -> None:
    """B27: RFC 2231 before the plain one, both spellings of one file; pieces in any order; equal names made different."""
    both = named(b"filename=plain.pdf; filename*=utf-8''real.pdf").filename
    pieces = named(b'filename*1="hp"; filename*0="a.p"').filename
    again = parse_email(mixed(*[b"Content-Type: application/pdf; name=a.pdf\r\n\r\n1"] * 2)).attachments

    assert (both, pieces) == ("real.pdf", "a.php")
    assert [(one.filename, one.display_name) for one in again] == [("a.pdf", "a.pdf"), ("a.pdf", "a (2).pdf")]


@pytest.mark.parametrize(
    "written",
    [
        b"attachment filename=real.pdf",
        b"filename=real.pdf",
        b"; filename=real.pdf",
        b"attachment; filename*=utf-8're%61l.pdf",
    ],
    ids=["no semicolon", "no disposition", "only a semicolon", "one apostrophe"],
)
def test_name_in_a_broken_disposition_is_found(written: bytes) -> None:
    """B27: mailers forget what is between."""
    raw = mixed(b"Content-Type: application/pdf\r\nContent-Disposition: " + written + b"\r\n\r\n%PDF")

    assert parse_email(raw).attachments[0].filename == "real.pdf"


def test_markup_in_a_name_is_a_name() -> None:
    """B28: pages escape it; the parser returns what the sender wrote, so that it is not taken for safe."""
    assert named(b'filename="\\"><img src=x onerror=alert(1)>.pdf"').filename == '"><img src=x onerror=alert(1)>.pdf'


@pytest.mark.parametrize(
    ("content", "detected"),
    [(b"MZ" + bytes(62), "application/x-msdownload"), (b"%PDF-1.4", "application/pdf"), (b"<html>", None)],
)
def test_declared_and_detected_type_are_both_kept(content: bytes, detected: str | None) -> None:
    """B29: the first is declared by the sender, the second detected from the bytes."""
    (found,) = parse_email(mixed(b"Content-Type: image/png; name=a.png\r\n\r\n" + content)).attachments

    assert (found.content_type, found.detected_type) == ("image/png", detected)


@pytest.mark.parametrize(
    "head",
    [
        b"From: a@example.org\r\nFrom: b@example.org",
        b"From: a@example.org, b@example.org",
        b"From: Team: a@example.org, b@example.org;",
    ],
)
def test_more_than_one_sender_is_a_defect(head: bytes) -> None:
    """D44: the first of two senders is not trusted."""
    assert "sender_ambiguous" in parse_email(head + b"\r\n\r\nx").defects


def test_address_in_a_name_is_not_the_sender() -> None:
    """D44: the address between the angle brackets is."""
    assert parse_email(b'From: "ceo@example.org" <evil@example.net>\r\n\r\nx').from_ == (
        '"ceo@example.org" <evil@example.net>'
    )
