"""Containers: signed files, Macs' files, uuencoded files, attached mails and split mails. The file stays, its content is listed."""

import base64
import binascii
import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailroom.domain.mail.contained import Contained, contained_of
from mailroom.domain.parsing import Limits, ParsedEmail, parse_email, parse_member
from mailroom.domain.parsing.opening import request_for
from mailroom.domain.parsing.record import from_record, to_record
from tests.support.signed_mail import signed

HEAD = b"From: Ann <a@x.test>\r\nTo: b@y.test\r\nSubject: Order 17\r\nMIME-Version: 1.0\r\n"
PDF = b"%PDF-1.4\n"
XML = b'<?xml version="1.0"?><Invoice/>'


def part(kind: bytes, data: bytes, more: bytes = b"") -> bytes:
    head = b"Content-Type: " + kind + b"\r\n" + more
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(data)


def mixed(*parts: bytes, kind: bytes = b"multipart/mixed", boundary: bytes = b"q") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + one + b"\r\n" for one in parts)
    return (
        HEAD + b"Content-Type: " + kind + b"; boundary=" + boundary + b"\r\n\r\n" + body + b"--" + boundary + b"--\r\n"
    )


def files(parsed: ParsedEmail) -> dict[str, bytes]:
    return {one.display_name: one.content for one in parsed.attachments}


def members(parsed: ParsedEmail, at: int = 0) -> list[tuple[int, str, int]]:
    return [(one.number, one.name, one.inside) for one in parsed.attachments[at].members]


def fetched(parsed: ParsedEmail, name: str, at: int = 0) -> bytes:
    """Return the bytes of a member, derived from its attachment alone, as for a download."""
    outer = parsed.attachments[at]
    (member,) = [one for one in outer.members if one.name == name]
    asked = request_for(
        outer.content, name=outer.display_name, content_type=outer.content_type, sha256=member.sha256 or ""
    )
    (found,) = parse_member(asked).attachments
    return found.content


ARMOURED = b"-----BEGIN PKCS7-----\n" + base64.encodebytes(signed(XML)) + b"-----END PKCS7-----\n"


@pytest.mark.parametrize(
    "kind",
    [
        b'application/pkcs7-mime; name="I.xml.p7m"',
        b'application/x-pkcs7-mime; name="I.xml.p7m"',
        b'application/pkcs7-mime; smime-type=signed-data; name="I.xml.p7m"',
        b'application/octet-stream; name="I.xml.p7m"',
        b'application/octet-stream; name="I.XML.P7M"',
    ],
)
@pytest.mark.parametrize(
    "data",
    [
        signed(XML),
        base64.encodebytes(signed(XML)),
        ARMOURED,
        b"MIME-Version: 1.0\nContent-Type: a/b\n\n" + base64.encodebytes(signed(XML)),
    ],
    ids=["binary", "base64", "pem", "entity"],
)
def test_signed_file_stays_as_it_is_and_its_content_is_listed(kind: bytes, data: bytes) -> None:
    """s8: the signed bytes are the proof; the mail around them is not signed, and its text is not the invoice."""
    parsed = parse_email(mixed(b"\r\nsee invoice", part(kind, data, b"Content-Disposition: attachment\r\n")))

    assert (parsed.text, parsed.protection, parsed.defects) == ("see invoice", (), ())
    assert [one.content for one in parsed.attachments] == [data]
    assert [name.lower() for _, name, _ in members(parsed)] == ["i.xml"]
    assert fetched(parsed, parsed.attachments[0].members[0].name) == XML


def test_file_signed_twice_is_opened_twice() -> None:
    """A second signature is around the first: `.pdf.p7m.p7m`."""
    raw = mixed(part(b'application/pkcs7-mime; name="i.pdf.p7m.p7m"', signed(signed(PDF))))

    parsed = parse_email(raw)

    assert members(parsed) == [(1, "i.pdf.p7m", 0), (2, "i.pdf", 1)]
    assert fetched(parsed, "i.pdf") == PDF


def test_mail_that_is_a_signed_file_keeps_it() -> None:
    """Programs that send invoices make the file the whole mail; `smime.p7m` is the name of S/MIME's own body."""
    file = parse_email(HEAD + part(b'application/pkcs7-mime; name="i.xml.p7m"', signed(XML)))
    named = part(b"application/pkcs7-mime", signed(XML), b'Content-Disposition: attachment; filename="x.xml.p7m"\r\n')

    assert (file.text, list(files(file)), members(file)) == (None, ["i.xml.p7m"], [(1, "i.xml", 0)])
    assert members(parse_email(HEAD + named)) == [(1, "x.xml", 0)]


INNER = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\nsigned text\r\n--i\r\n" + part(
    b"application/pdf; name=in.pdf", PDF
)


@pytest.mark.parametrize("around", ["top", "list"])
def test_own_body_is_opened_and_its_container_listed(around: str) -> None:
    """RFC 8551: the content is the mail. A mailing list wraps it beside its footer."""
    body = part(b"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", signed(INNER))

    parsed = parse_email(HEAD + body if around == "top" else mixed(body, b"\r\nfooter"))

    assert (parsed.text or "").startswith("signed text")
    assert parsed.protection == ("smime_signed",)
    assert files(parsed) == {"in.pdf": PDF, "smime.p7m": signed(INNER)}
    assert [one.members for one in parsed.attachments] == [(), ()]


def test_signed_letter_stays_a_file() -> None:
    """It has the name of a file, whatever is inside; the mail in it is opened as one that is attached."""
    parsed = parse_email(mixed(part(b'application/pkcs7-mime; name="letter.eml.p7m"', signed(INNER))))

    assert parsed.text is None
    assert members(parsed) == [(1, "letter.eml", 0), (2, "message.txt", 1), (3, "in.pdf", 1)]
    assert fetched(parsed, "in.pdf") == PDF


def test_damaged_signed_file_is_a_file_with_a_defect() -> None:
    """Nothing is listed that is not there."""
    parsed = parse_email(mixed(part(b"application/pkcs7-mime; name=x.pdf.p7m", b"hello")))

    assert (files(parsed), members(parsed), parsed.defects) == ({"x.pdf.p7m": b"hello"}, [], ("smime_damaged",))


def apple(magic: bytes, entries: list[tuple[int, bytes]]) -> bytes:
    at = 26 + 12 * len(entries)
    head, body = magic + b"\0\2\0\0" + b"\0" * 16 + struct.pack(">H", len(entries)), b""
    for kind, value in entries:
        head += struct.pack(">III", kind, at + len(body), len(value))
        body += value
    return head + body


FORK, BOTH = b"\0\5\x16\7", b"\0\5\x16\0"
HEADER = part(b'application/applefile; name="Plan.pdf"', apple(FORK, [(2, b"fork")]))
NAMED = part(b"application/applefile", apple(FORK, [(3, b"Plan.pdf"), (2, b"fork")]))
DOCUMENT = part(b'application/pdf; name="Plan.pdf"', PDF)
UNNAMED = part(b"application/pdf", PDF)


@pytest.mark.parametrize(
    "parts", [[HEADER, DOCUMENT], [DOCUMENT, HEADER], [HEADER, UNNAMED], [NAMED, UNNAMED], [NAMED, DOCUMENT]]
)
def test_document_of_appledouble_keeps_its_name(parts: list[bytes]) -> None:
    """c27: the resource fork has the document's name too, and must not take it; RFC 1740 has it on the header part alone."""
    parsed = parse_email(mixed(*parts, kind=b"multipart/appledouble"))

    assert files(parsed)["Plan.pdf"] == PDF
    assert len(parsed.attachments) == 2
    assert {name for name in files(parsed) if name != "Plan.pdf"} <= {"Plan.pdf.rsrc", "attachment-1", "attachment-2"}


def test_text_as_a_mac_document_is_a_file() -> None:
    """Its name is on the header part; without one, an unnamed text is the body as ever."""
    header = part(b'application/applefile; name="notes.txt"', apple(FORK, [(2, b"fork")]))

    parsed = parse_email(mixed(header, b"Content-Type: text/plain\r\n\r\nhello", kind=b"multipart/appledouble"))

    assert (parsed.text, files(parsed)["notes.txt"]) == (None, b"hello")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (b'application/applefile; name="Plan.pdf"', "Plan.pdf"),
        (b"application/applefile", "Real.pdf"),
        (b"application/octet-stream", "Real.pdf"),
    ],
)
def test_document_in_applesingle_is_a_file(kind: bytes, name: str) -> None:
    """AppleSingle has both forks in one file, which no other system opens; the whole is kept beside its document."""
    single = apple(BOTH, [(1, PDF), (2, b"fork"), (3, b"Real.pdf")])

    parsed = parse_email(mixed(part(kind, single)))

    assert files(parsed) == {name: PDF, f"{name}.rsrc": single}


@settings(deadline=None)
@given(st.binary(max_size=80), st.integers(0, 120))
def test_any_applefile_is_a_file(noise: bytes, at: int) -> None:
    """Property: lengths and offsets that lie lose nothing and raise nothing."""
    single = apple(BOTH, [(1, PDF), (3, b"Real.pdf")])

    parsed = parse_email(mixed(part(b"application/applefile; name=x", single[:at] + noise)))

    assert parsed.attachments[-1].content == single[:at] + noise


def test_file_that_is_only_called_applefile_keeps_its_name() -> None:
    """The type is wrong, the bytes are a PDF's."""
    assert files(parse_email(mixed(part(b'application/applefile; name="Plan.pdf"', PDF)))) == {"Plan.pdf": PDF}


def uu(name: bytes, data: bytes, end: bytes = b"`\r\nend\r\n") -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]).rstrip(b"\n") for at in range(0, len(data), 45)]
    return b"begin 644 " + name + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + end


ZIP, NOTE = b"PK\3\4" + b"A" * 100, b"a note"
PLAIN = HEAD + b"Content-Type: text/plain\r\n\r\n"
UU_TEXT = HEAD + b"Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\n"
UU_FILE = HEAD + b"Content-Type: application/octet-stream; name=a.zip\r\nContent-Transfer-Encoding: uuencode\r\n\r\n"


@pytest.mark.parametrize(
    ("raw", "text", "found"),
    [
        (PLAIN + b"Hi\r\n" + uu(b"a.zip", ZIP) + b"Bye\r\n", "Hi\r\nBye\r\n", {"a.zip": ZIP}),
        (
            PLAIN + b"Hi\r\n" + uu(b"a.zip", ZIP) + b"and\r\n" + uu(b"b.txt", NOTE) + b"Bye",
            "Hi\r\nand\r\nBye",
            {"a.zip": ZIP, "b.txt": NOTE},
        ),
        (PLAIN + uu(b"a.zip", ZIP) + uu(b"b.txt", NOTE), None, {"a.zip": ZIP, "b.txt": NOTE}),
        (
            UU_TEXT + b"Hi\r\n" + uu(b"a.zip", ZIP) + uu(b"b.txt", NOTE) + b"Bye",
            "Hi\r\nBye",
            {"a.zip": ZIP, "b.txt": NOTE},
        ),
        (UU_TEXT + uu(b"body.txt", NOTE), "a note", {}),
        (UU_FILE + uu(b"a.zip", ZIP) + uu(b"b.txt", NOTE), None, {"a.zip": ZIP, "b.txt": NOTE}),
        (UU_FILE + b"see file\r\n" + uu(b"a.zip", ZIP), "see file\r\n", {"a.zip": ZIP}),
        (PLAIN + uu(b"a.zip", ZIP, b"END\r\n") + b"Bye", "Bye", {"a.zip": ZIP}),
        (PLAIN + b"begin 644 the story\r\nof my life", "begin 644 the story\r\nof my life", {}),
        (PLAIN + b"Hi\r\nbegin-base64 644 c.txt\r\naGVsbG8=\r\n====\r\nBye", "Hi\r\nBye", {"c.txt": b"hello"}),
        (PLAIN + b"begin-base64 644 c.txt\r\nno end", "begin-base64 644 c.txt\r\nno end", {}),
        (PLAIN + uu(b"", NOTE), None, {"attachment-1": NOTE}),
    ],
)
def test_uuencoded_files_are_found_wherever_they_are(raw: bytes, text: str | None, found: dict[str, bytes]) -> None:
    """Several files, text around them, and parts that are declared uuencoded as a whole."""
    parsed = parse_email(raw)

    assert (parsed.text, files(parsed)) == (text, found)


@settings(deadline=None)
@example(b"\x78\x9f\x3e\x22", 33).via("the first bytes of a winmail.dat, and nothing of it")
@given(st.binary(min_size=1, max_size=120), st.integers(33, 96))
def test_rubbish_behind_the_last_byte_ends_no_file(data: bytes, rubbish: int) -> None:
    """e4, property: encoders leave anything in the letters of the last group that carry no byte."""
    whole = uu(b"a.bin", data, b"")
    spare = {1: 2, 2: 1, 0: 0}[len(data) % 3]
    line = whole.rstrip(b"\r\n")

    parsed = parse_email(UU_FILE + (line[:-spare] if spare else line) + bytes([rubbish]) * spare + b"\r\n`\r\nend\r\n")

    plainly = parse_email(HEAD + part(b"application/octet-stream; name=a.zip", data))
    assert [one.content for one in parsed.attachments] == [data]
    assert parsed.defects == plainly.defects, (
        "the bytes may happen to be a damaged file: then they are one in any encoding"
    )


ATTACHED = mixed(b"\r\ninner secretword", part(b"application/pdf; name=in.pdf", PDF), boundary=b"inner")


@pytest.mark.parametrize(
    "one",
    [
        b"Content-Type: message/rfc822\r\n\r\n" + ATTACHED,
        part(b"message/rfc822", ATTACHED),
        part(b"application/octet-stream; name=x.eml", ATTACHED),
        part(b"application/octet-stream; name=X.EML", b"From ann Tue\n" + ATTACHED),
        part(b"text/plain; name=x.eml", ATTACHED),
        b"Content-Type: message/global\r\n\r\n" + ATTACHED,
    ],
)
def test_attached_mail_is_opened(one: bytes) -> None:
    """Its heading, its text and its files are members; the mail itself is the attachment, unchanged."""
    parsed = parse_email(mixed(b"\r\nouter", one))

    assert parsed.text == "outer"
    assert members(parsed) == [(1, "message.txt", 0), (2, "in.pdf", 0)]
    assert parsed.attachments[0].members[0].text == (
        "From: Ann <a@x.test>\nTo: b@y.test\nSubject: Order 17\n\ninner secretword"
    )
    assert fetched(parsed, "in.pdf") == PDF
    assert fetched(parsed, "message.txt").endswith(b"inner secretword")


def test_what_is_only_called_a_mail_is_not_opened() -> None:
    """A PDF with the name of a mail has no text."""
    assert members(parse_email(mixed(part(b"application/octet-stream; name=x.eml", PDF)))) == []


def nested(levels: int) -> bytes:
    raw = ATTACHED
    for level in range(levels):
        text = b"\r\nlevel %d" % level
        raw = mixed(text, b"Content-Type: message/rfc822\r\n\r\n" + raw, boundary=b"n%d" % level)
    return raw


def test_mails_inside_mails_are_opened_up_to_a_bound_that_is_said() -> None:
    """Three levels; the member that contains more says so, and so does the mail."""
    parsed = parse_email(nested(6))
    listed = parsed.attachments[0].members

    assert parsed.defects == ("too_deep",)
    assert [(one.number, one.inside) for one in listed] == [(1, 0), (2, 0), (3, 2), (4, 2), (5, 4), (6, 4)]
    assert [one.number for one in listed if one.unopened] == [6]
    assert parse_email(nested(3)).defects == ()


def test_opening_has_limits_that_are_said() -> None:
    """Of their number, of containers, of bytes and of kept text; the files themselves stay."""
    many = mixed(*[b"Content-Type: message/rfc822\r\n\r\n" + ATTACHED] * 4)

    few = parse_email(many, limits=Limits(members=3))
    one = parse_email(many, limits=Limits(containers=1))
    small = parse_email(many, limits=Limits(container_bytes=len(ATTACHED)))
    short = parse_email(many, limits=Limits(member_text=10))

    assert [len(part.members) for part in few.attachments] == [2, 1, 0, 0]
    assert [len(part.members) for part in one.attachments] == [2, 0, 0, 0]
    assert [len(part.members) for part in small.attachments] == [2, 0, 0, 0]
    assert [parsed.defects for parsed in (few, one, small)] == [("too_many_files",)] * 2 + [("files_too_large",)]
    assert (short.attachments[0].members[0].text, short.attachments[0].members[0].text_cut) == ("From: Ann ", True)
    assert fetched(short, "message.txt").endswith(b"secretword")


def test_members_survive_the_record_and_a_later_release() -> None:
    """The parser's process answers in JSON; a stored member may have fields that this release does not know."""
    parsed = parse_email(nested(1))
    record = to_record(parsed)

    assert from_record(record, [one.content for one in parsed.attachments]) == parsed
    assert contained_of({"name": "a", "size": 1, "colour": "red"}) == Contained("a", 1)


def test_a_member_that_is_not_there_is_not_found() -> None:
    """The digest decides, whatever the number says."""
    asked = request_for(ATTACHED, name="x.eml", content_type="message/rfc822", sha256="0" * 64)

    assert parse_member(asked) == parse_member(b"") == ParsedEmail()


@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        (b'id="scan-77@printer.test"; number=1; total=2', ("scan-77@printer.test", 1, 2)),
        (b"id=<a@b>; number=2", ("a@b", 2, None)),
        (b"number=2;total=3;id=a", ("a", 2, 3)),
        (b"id=a; number=3; total=2", ("a", 3, None)),
        (b"id=a; number=0; total=2", (None, None, None)),
        (b"id=a; number=one", (None, None, None)),
        (b"number=1; total=2", (None, None, None)),
        (b"id=" + b"a" * 900 + b"; number=1; total=99999999999999", ("a" * 255, 1, None)),
    ],
)
def test_part_of_a_split_mail_says_its_place(
    parameters: bytes, place: tuple[str | None, int | None, int | None]
) -> None:
    """c30: RFC 2046 section 5.2.2; only the last part must say how many there are."""
    parsed = parse_email(HEAD + b"Content-Type: message/partial; " + parameters + b"\r\n\r\nSubject: x\r\n\r\nhalf")

    assert (parsed.partial_id, parsed.partial_number, parsed.partial_total) == place
    assert parsed.attachments[0].content == b"Subject: x\r\n\r\nhalf"
    assert parsed.defects == ("message_partial",)


def test_attached_part_of_a_split_mail_is_not_the_mails_own() -> None:
    """Somebody forwards one: the mail around it is whole."""
    attached = HEAD + b"Content-Type: message/partial; id=a; number=1\r\n\r\nx"

    assert parse_email(mixed(b"Content-Type: message/rfc822\r\n\r\n" + attached)).partial_id is None
