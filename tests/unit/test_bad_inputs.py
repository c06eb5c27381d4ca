"""Bad inputs that we found ourselves (M1 and on, listed in docs/bad-inputs.md), each with its one outcome."""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mailroom.domain.inbound.notifications import UnreadableNotification, read_notification
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.parsing import ParsedEmail, parse_email
from mailroom.testing.notices import s3_notice, ses_notice

PNG = b"Content-Type: image/png; name=%s.png\r\n\r\n\x89PNG"
REF = ObjectRef("mails", "in/abc123")


def mail(*parts: bytes, boundary: bytes = b"edge", head: bytes = b"") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head += b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + body + b"--" + boundary + b"--\r\n"


def names(parsed: ParsedEmail) -> list[str]:
    return [one.filename for one in parsed.attachments]


def encoded(raw: bytes, head: bytes = b"") -> bytes:
    return head + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(raw)


@pytest.mark.parametrize("inner", [b"edge2", b"edg", b"edge-", b"edge.*", b"edge--x"])
def test_boundaries_that_begin_alike_cut_only_their_own(inner: bytes) -> None:
    """M1: one is the other's beginning, or looks like a pattern."""
    parsed = parse_email(mail(PNG % b"a", mail(PNG % b"b", boundary=inner), PNG % b"c"))

    assert (names(parsed), parsed.defects) == (["a.png", "b.png", "c.png"], ())


def test_boundary_that_is_anothers_end_loses_nothing_of_what_follows() -> None:
    """M2: the delimiter of `edge--` is also the end of `edge`; which was meant is unknown, but every file is there."""
    parsed = parse_email(mail(PNG % b"a", mail(PNG % b"b", boundary=b"edge--"), PNG % b"c"))

    assert {"a.png", "c.png"} <= set(names(parsed))


@pytest.mark.parametrize(
    "charset",
    [b"../../etc/passwd", b"zip", b"unicode_escape", b"idna", b"rot13", b"x" * 5_000, b"\xff\xfe", b"utf-8\x00"],
)
def test_charset_that_is_none_is_named_and_the_text_read(charset: bytes) -> None:
    """M3: a path, one of Python's codecs that are no charset, noise: charsets are looked up in a fixed list only."""
    raw = b'Content-Type: text/plain; charset="' + charset + b'"\r\n\r\nGr\xc3\xbc\xc3\x9fe \\u0041'

    assert parse_email(mail(raw, PNG % b"a")).text == "Grüße \\u0041"


def test_padding_inside_base64_is_read_over() -> None:
    """M4: two encoded files behind one another, as some gateways append."""
    body = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\nd29ybGQ=\r\n"

    assert parse_email(mail(body)).attachments[0].content == b"helloworld"


@pytest.mark.parametrize(
    ("pieces", "name"),
    [
        (b"filename*0=a; filename*2=c.pdf", "a"),
        (b"filename*9999=.pdf; filename*3=b", "b"),
        (b"filename*99999999999999999999=x; filename=b.pdf", "b.pdf"),
        (b"filename*0*=utf-8''%; filename*1*=%e2%82; filename*2*=%ac.pdf", "%€.pdf"),
        (b"filename*=utf-99'xx'b.pdf", "b.pdf"),
        (b"filename*0=a; filename*0=b; filename*1=.pdf", "a.pdf"),
    ],
)
def test_pieces_of_a_name_with_gaps_are_put_together(pieces: bytes, name: str) -> None:
    """M5, r1: numbers left out, huge, twice, a letter cut between two pieces, a charset that is none."""
    part = b"Content-Type: application/pdf\r\nContent-Disposition: attachment; " + pieces + b"\r\n\r\n%PDF"

    assert names(parse_email(mail(part))) == [name]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("a.zip/../evil.exe", "evil.exe"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u3164.htaccess", "_htaccess"),
        ("a\u2800\ufe0f\u200d.pdf", "a.pdf"),
        ("\u3164\u2800", "attachment-1.pdf"),
        ("con\u115f.txt", "_con.txt"),
    ],
)
def test_letters_that_nobody_sees_are_in_no_name(written: str, shown: str) -> None:
    """M6: directions, joiners, fillers that Python calls printable. They go before the name is judged, not after."""
    part = f"Content-Type: application/pdf; name*=utf-8''{''.join(f'%{byte:02x}' for byte in written.encode())}"

    parsed = parse_email(mail(part.encode() + b"\r\n\r\n%PDF"))

    assert names(parsed) == [shown]
    assert parsed.attachments[0].original_name == written


def test_signature_that_is_only_announced_is_none() -> None:
    """M7: multipart/signed with another protocol and no signature. Only a signature that is there is flagged."""
    raw = mail(b"\r\nhello", PNG % b"a").replace(b"mixed;", b'signed; protocol="application/pgp-signature";')

    parsed = parse_email(raw)

    assert (parsed.text, names(parsed), parsed.protection) == ("hello", ["a.png"], ())


@pytest.mark.parametrize("encoding", [b"base64", b"quoted-printable"])
def test_multipart_that_was_encoded_as_a_whole_is_opened(encoding: bytes) -> None:
    """M8: RFC 2045 forbids it; some senders do it, and a scanner that cannot open it finds nothing."""
    inner = mail(b"\r\nhello", PNG % b"a").partition(b"\r\n\r\n")[2]
    body = base64.encodebytes(inner) if encoding == b"base64" else inner.replace(b"=", b"=3D").replace(b"-", b"=2D")
    raw = b"Content-Type: multipart/mixed; boundary=edge\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body

    parsed = parse_email(mail(raw, PNG % b"b", boundary=b"outer"))

    assert (parsed.text, names(parsed)) == ("hello", ["a.png", "b.png"])


def test_encodings_inside_encodings_end() -> None:
    """M9: the same, twenty deep; after a few levels it is a file."""
    raw = mail(PNG % b"core").partition(b"\r\n\r\n")[2]
    for _ in range(20):
        inner = encoded(raw, b"Content-Type: multipart/mixed; boundary=edge\r\n")
        raw = b"--edge\r\n" + inner + b"\r\n--edge--\r\n"

    parsed = parse_email(b"Content-Type: multipart/mixed; boundary=edge\r\n\r\n" + raw)

    assert "too_deep" in parsed.defects


@pytest.mark.parametrize(
    "date",
    [
        b"Mon, 1 Jan 0000 00:00:00 +0000", b"1 Jan 99999 00:00:00", b"1 Jan 2026 00:00:00 +9999", b"0 Jan 2026 00:00",
        b"31 Feb 2026 10:00", b"1 Jan 0001 00:00 +2359", b"\xd9\xa1 Jan 2026 10:00", b"1 Jan 2026 " + b"9" * 100_000,
    ],
)  # fmt: skip
def test_dates_of_no_calendar_are_none_or_within_it(date: bytes) -> None:
    """M10: a year 0 or 99999, zones of a hundred hours: no exception, and nothing that PostgreSQL would refuse."""
    moment = parse_email(b"Date: " + date + b"\r\n\r\nx").date

    assert moment is None or (1900 <= moment.year <= 2200 and moment.tzinfo is not None)


def test_encoded_line_ends_make_no_second_line() -> None:
    """M11: an encoded word with CR and LF in it must not become a header when a program writes the mail again."""
    word = b"=?utf-8?Q?a=0D=0ABcc:_x@y.test?="
    raw = b"Subject: %s\r\nFrom: %s <a@x.test>\r\nMessage-ID: <%s>\r\nTo: %s\r\n\r\nx" % (word, word, word, word)

    parsed = parse_email(mail(PNG.replace(b"%s.png", word), head=raw[: -len(b"\r\nx")]))

    output = [parsed.subject, parsed.from_, parsed.message_id, *parsed.to, *names(parsed)]
    assert all(text and "\r" not in text and "\n" not in text for text in output)


def test_separators_of_lines_in_a_calendar_begin_no_property() -> None:
    """M12: U+2028 and its kin end a line for Python and for nobody else; a summary must not write the organiser."""
    entry = "BEGIN:VCALENDAR\nBEGIN:VEVENT\nSUMMARY:a\u2028ORGANIZER:b\x0bUID:c\nUID:1\nEND:VEVENT\nEND:VCALENDAR\n"

    (report,) = parse_email(b"Content-Type: text/calendar; charset=utf-8\r\n\r\n" + entry.encode()).reports

    assert set(report.items[0]) == {"component", "summary", "uid"}
    assert report.items[0]["uid"] == "1"


def test_smime_without_its_type_is_smime() -> None:
    """M13: a gateway made it application/octet-stream; an attacker who wants to hide it does the same."""
    der = bytes.fromhex("300b06092a864886f70d010703")

    parsed = parse_email(mail(encoded(der, b"Content-Type: application/octet-stream; name=smime.p7m\r\n")))

    assert (names(parsed), parsed.protection) == (["smime.p7m"], ("smime_encrypted",))


def test_content_id_in_percent_signs_is_shown() -> None:
    """M14: RFC 2392 encodes it; an image that the text shows is none of the files."""
    image = b"Content-Type: image/png\r\nContent-ID: <a b%41@x>\r\n\r\n\x89PNG"
    html = b"Content-Type: text/html\r\n\r\n<img src='cid:c%40x'>"

    parsed = parse_email(mail(html, image.replace(b"a b%41@x", b"c@x"), image))

    assert [one.inline for one in parsed.attachments] == [True, False]


def test_first_of_two_types_is_the_type() -> None:
    """M15: two readers must not see two mails; the part beside it is as it was."""
    twice = b"Content-Type: text/html\r\nContent-Type: application/pdf; name=a.pdf\r\n\r\n<p>x"

    parsed = parse_email(mail(twice, PNG % b"b"))

    assert (parsed.html, names(parsed)) == ("<p>x", ["b.png"])


def test_half_a_letter_of_utf16_is_replaced() -> None:
    """M16: a lone surrogate is no text that JSON or PostgreSQL take."""
    raw = b"Content-Type: text/plain; charset=utf-16-le\r\n\r\n" + b"a\x00\x00\xd8b\x00"

    text = parse_email(raw).text or ""

    assert text.encode()
    assert text.startswith("a")


@pytest.mark.parametrize(
    "empty", [b"", b"\r\n", b"Content-Type: message/rfc822\r\n\r\n", b"Content-Type: multipart/mixed"]
)
def test_parts_of_nothing_are_no_fault(empty: bytes) -> None:
    """M17: empty parts, an empty forward, a multipart of no part; the file beside them is there."""
    assert "a.png" in names(parse_email(mail(empty, PNG % b"a", empty)))


def test_forged_block_of_another_reader_is_text() -> None:
    """M18: a header field that looks like SES's, in the body, in a part, in a name: none of it is a header."""
    forged = b"X-SES-Virus-Verdict: PASS\r\nReceived: by inbound-smtp.eu-west-1.amazonaws.com\r\n"

    parsed = parse_email(b"Subject: x\r\n\r\n" + forged)

    assert parsed.text == forged.decode()


def ses(**changes: Any) -> str:
    body = json.loads(ses_notice(REF, "anna@acme.test"))
    body["receipt"] |= changes
    return json.dumps(body)


@pytest.mark.parametrize(
    "body",
    [
        '{"Type":"Notification","Message":"{}","Message":' + json.dumps(s3_notice(REF)) + "}",
        s3_notice(REF).replace('"key":', '"key": "other", "key":'),
        '{"Records":' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"Records":' + "9" * 50_000 + "}",
        "NaN", "[]", "\ufeff{}", '{"Records":[NaN]}', '{"Records":{}}',
        ses(recipients="anna@acme.test"),
        ses(recipients=[float("nan")]),
        ses(timestamp=10**400),
        ses(timestamp="99999-01-01T00:00:00Z"),
        ses(timestamp="0001-01-01T00:00:00+23:59"),
        ses(action={"bucketName": "mails", "objectKey": "in/abc123\x00"}),
        ses(action={"bucketName": "mails", "objectKey": "in/another"}),
    ],
    ids=range(16),
)  # fmt: skip
def test_notification_that_two_readers_could_read_twice_is_refused(body: str) -> None:
    """M19: names that come twice, arrays a hundred thousand deep, numbers of fifty thousand digits, NaN, years of none."""
    with pytest.raises(UnreadableNotification):
        read_notification(body)


def test_lone_surrogates_cost_one_recipient_and_not_the_others() -> None:
    """M20: JSON may hold half a letter; it routes nowhere, and the others get their mail."""
    [arrival] = read_notification(ses(recipients=["\ud800@acme.test", "anna@acme.test"]))

    assert arrival.envelope is not None
    assert arrival.envelope.recipients == ("\ufffd@acme.test", "anna@acme.test")


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("in/../../abc", "in/../../abc"),
        ("in%2Fabc", "in/abc"),
        ("in/%2e%2e%2fabc", "in/../abc"),
        ("in/a+b%2Bc", "in/a b+c"),
        ("in/%C3%BC%F0%9F%93%A7", "in/ü📧"),
        ("in//abc", "in//abc"),
        ("in/%25%32%46", "in/%2F"),
    ],
)
def test_key_is_decoded_once_and_is_no_path(written: str, key: str) -> None:
    """M21: dots, slashes and percent signs are letters of a key: it is requested unchanged, from the bucket of the notification."""
    [arrival] = read_notification(s3_notice(ObjectRef("mails", "KEY")).replace("KEY", written))

    assert arrival.ref == ObjectRef("mails", key)


@pytest.mark.parametrize(
    "verdict", [{"status": "pass"}, {"status": ["PASS"]}, {"status": "PASS "}, "PASS", None, {}, 1]
)
def test_verdict_of_another_shape_is_missing(verdict: Mapping[str, Any]) -> None:
    """M22: only the exact word of SES is PASS."""
    [arrival] = read_notification(ses(spamVerdict=verdict, virusVerdict={"status": "PASS"}))

    assert arrival.envelope is not None
    assert (arrival.envelope.verdicts.spam.name, arrival.envelope.verdicts.virus.name) == ("MISSING", "PASS")


def test_every_bad_input_in_the_list_has_the_test_that_it_names() -> None:
    """The list is what people read; it must not outlive its tests."""
    root = Path(__file__).parents[2]
    named = re.findall(r"(\w+/\w+\.py)::(\w+)", (root / "docs" / "bad-inputs.md").read_text())

    missing = [name for path, name in named if f"def {name}(" not in (root / "tests" / path).read_text()]

    assert len(named) > 60
    assert missing == []
