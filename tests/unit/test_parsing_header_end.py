"""Where header blocks end: of the mail and of its parts, damaged or not."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.headers import read_headers
from mailroom.domain.parsing.limits import Reading

TOP = [
    b"Return-Path: <a@x.test>",
    b"Received: from a by b;\r\n\tTue, 3 Mar 2026 10:00:00 +0000",
    b"DKIM-Signature: v=1; a=rsa-sha256;\r\n b=abc==",
    b"From: A <a@x.test>",
    b"To: B <b@y.test>,\r\n C <c@y.test>",
    b"Subject: Order\r\n 17",
    b"Message-ID: <1@x.test>",
    b"Date: Tue, 3 Mar 2026 10:00:00 +0000",
    b"MIME-Version: 1.0",
    b"X-Mailer: Pine",
    b"X-Long-" + b"a" * 300 + b": 1",
    b'Content-Type: multipart/mixed;\r\n\tboundary="edge"',
]
PART = [
    b'Content-Type: application/pdf;\r\n\tname="a.pdf"',
    b"Content-Transfer-Encoding: base64",
    b'Content-Disposition: attachment;\r\n filename="a.pdf"',
    b"Content-ID: <1@x.test>",
    b"X-Attachment-Id: 1",
]
BLANKS = [b" ", b"\t", b"  \t  ", b"\x00", b" \r\n\t\r\n "]
RUBBISH = [
    b"rubbish", b"X Odd name: value", b"X Odd: value\r\n folded\r\n\tvalue", b">From a@x.test Tue Mar  3 10:00:00 2026",
    b"From a@x.test Tue Mar  3 10:00:00 2026", b": value", b"=====", b"----- report -----", b"\x00\x01", b"JVBERi0xLjQK",
    b"\xff\xfe", b"a long sentence that a filter wrote, with a comma", b"name=\r\n \r\n more",
]  # fmt: skip
FIELD = re.compile(rb"(?:\xef\xbb\xbf)?[ \t]*[^\x00-\x20:\x7f]+[ \t]*:")
ANY_LINE = st.binary(min_size=1, max_size=60).filter(
    lambda line: (
        not re.search(rb"[\r\n]", line)
        and not FIELD.match(line.replace(b"\x00", b""))
        and not line.startswith(b"--edge")
        and line[:1] not in b" \t"
    )
)


@st.composite
def damaged(draw: st.DrawFn, written: list[bytes]) -> tuple[list[bytes], int, bytes]:
    """Return fields in any order, the number of one that is not the last, and a line that is put after it."""
    fields = draw(st.permutations(written).map(lambda order: order[: draw(st.integers(2, len(written)))]))
    return (
        fields,
        draw(st.integers(0, len(fields) - 2)),
        draw(st.one_of(st.sampled_from(BLANKS + RUBBISH), ANY_LINE)),
    )


def blocks(fields: list[bytes], at: int, line: bytes, *, before: bytes, ending: bytes) -> tuple[bytes, bytes]:
    """Return the header block with the line and without, each after `before` and with a body."""
    rest = [b"", b"the body: of it", b"", b"end"]
    whole, torn = [*fields, *rest], [*fields[: at + 1], line, *fields[at + 1 :], *rest]
    return tuple((before + b"\r\n".join(rows)).replace(b"\r\n", ending) for rows in (whole, torn))  # type: ignore[return-value]


def assert_only_that_field_changes(fields: list[bytes], at: int, line: bytes, *, part: bool, ending: bytes) -> None:
    before = b"--edge\r\n" if part else b""
    whole, torn = blocks(fields, at, line, before=before, ending=ending)
    start = len(before.replace(b"\r\n", ending))

    wanted, body = read_headers(whole, start, len(whole), reading=Reading())
    found, damaged_body = read_headers(torn, start, len(torn), reading=(reading := Reading()))

    changed = fields[at].partition(b":")[0].lower()
    assert set(found.fields) == set(wanted.fields)
    assert {name: one for name, one in found.fields.items() if name != changed} == {
        name: one for name, one in wanted.fields.items() if name != changed
    }
    assert torn[damaged_body:] == whole[body:]
    assert set(reading.defects) <= {"header_malformed"}


@settings(max_examples=150, deadline=None)
@given(case=damaged(TOP), ending=st.sampled_from([b"\r\n", b"\n", b"\r\r\n"]))
def test_odd_line_in_a_mails_header_changes_one_field(case: tuple[list[bytes], int, bytes], ending: bytes) -> None:
    """RFC 5322 4.2: white space is folding; a line that is no field is skipped. Neither hides what follows."""
    assert_only_that_field_changes(*case, part=False, ending=ending)


@settings(max_examples=150, deadline=None)
@given(case=damaged(PART), ending=st.sampled_from([b"\r\n", b"\n", b"\r\r\n"]))
def test_odd_line_in_a_parts_header_changes_one_field(case: tuple[list[bytes], int, bytes], ending: bytes) -> None:
    """The same in a part: otherwise a document becomes text."""
    assert_only_that_field_changes(*case, part=True, ending=ending)


@pytest.mark.parametrize("line", BLANKS + RUBBISH)
@pytest.mark.parametrize("at", range(len(TOP) - 1))
def test_odd_line_is_skipped_after_each_field(line: bytes, at: int) -> None:
    """The usual order of fields, each place and each kind once."""
    assert_only_that_field_changes(TOP, at, line, part=False, ending=b"\r\n")


PDF = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    b"--q\r\n%s\r\nJVBERi0xLjQK\r\n--q--\r\n"
)


@pytest.mark.parametrize(
    "head",
    [
        b'Content-Type: application/pdf;\r\n \r\n\tname="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n',
        b'X part hdr: a\r\n b\r\nContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n',
        b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n \r\n\t\r\n',
        b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\nX-'
        + b"a" * 300
        + b': 1\r\n x\r\nContent-Disposition: attachment; filename="a.pdf"\r\n',
        b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64',
        b'Content-Type: application/pdf; name="a.pdf";\r\nContent-Transfer-Encoding: base64;',
        b'\xef\xbb\xbfContent-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n',
        b'Content-Ty\x00pe: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n',
        b': x\r\nContent-Type: application/pdf; name="a.pdf"\r\n' + b"b" * 2_000 + b": 1\r\nContent-Transfer-Encoding: base64\r\n",
        b'\tContent-Type: application/pdf; name="a.pdf"\r\n \r\nContent-Transfer-Encoding: base64\r\n',
    ],
    ids=["blank in a field", "rubbish first", "blank lines end it", "long name", "no empty line", "semicolons", "mark", "NUL",
         "colon first", "tab first"],
)  # fmt: skip
def test_document_after_a_damaged_header_is_the_document(head: bytes) -> None:
    """Its name, its type and its bytes."""
    parsed = parse_email(PDF % head)

    assert parsed.text == "hello"
    assert [(one.filename, one.content_type, one.content) for one in parsed.attachments] == [
        ("a.pdf", "application/pdf", b"%PDF-1.4\n")
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"X-Spam-Report: Yes, score=5.6\r\n        \r\n        pts rule name\r\n        1.0 PDF_ATTACHED\r\n",
        b"X Odd name: value\r\n folded value\r\n",
        b"X-Spam-Report: Yes\r\nContent preview: Hello\r\nContent analysis details: (5.6 points)\r\n\t\r\n pts rule\r\n",
    ],
    ids=["blank in a report", "folded line that is no field", "report that lost its folding"],
)
def test_documents_after_a_damaged_mail_header_are_documents(line: bytes) -> None:
    """Filters insert such lines before the Content-Type: without it the mail shows as a page of base64."""
    parsed = parse_email(b"Subject: Order 17\r\n" + line + PDF % b"Content-Type: application/pdf; name=a.pdf\r\n")

    assert (parsed.subject, parsed.text) == ("Order 17", "hello")
    assert [one.filename for one in parsed.attachments] == ["a.pdf"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"Subject: x\r\n \r\nhello\r\n\r\nthere", "hello\n\nthere"),
        (b"Subject: x\r\n \r\n  indented: text\r\n\r\nthere", "  indented: text\n\nthere"),
        (b"Subject: x\r\nhello there\r\n\r\nBob", "hello there\n\nBob"),
        (b"Subject: x\r\n\r\nFrom: y\r\nContent-Type: text/html\r\n\r\nz", "From: y\nContent-Type: text/html\n\nz"),
        (b"Subject: x\r\nFrom: a@x.test\r\nDate: 1\r\n \r\nFrom: c\r\nSent: d\r\nTo: e\r\nSubject: f\r\n\r\nz",
         "From: c\nSent: d\nTo: e\nSubject: f\n\nz"),
        (b"Subject: x\r\n \r\nNote: call me\r\n\r\nz", "Note: call me\n\nz"),
        (b"Subject: x\r\nHello Bob\r\nNote: call me\r\n\r\nz", "Hello Bob\nNote: call me\n\nz"),
        (b"Hello Bob\r\nNote: call me\r\n\r\nz", "Hello Bob\nNote: call me\n\nz"),
        (b"Good morning\r\nSubject: to change\r\nFrom: us\r\n\r\nz", "Good morning\nSubject: to change\nFrom: us\n\nz"),
        (b"From a@x.test Tue\r\n>From b@x.test Tue\r\nSubject: x\r\n\r\nhi", "hi"),
        (b"Subject: x\r>From b@x.test Tue\rTo: a@x.test\r\rhi", "hi"),
        (b"Subject: x\rTo: a@x.test\r\rhi\nthere", "hi\nthere"),
        (b"Subject: x\r\nFrom: a@x.test\r\n-----Original Message-----\r\nFrom: c\r\nTo: e\r\nCc: f\r\nImportance: g\r\n\r\nz",
         "-----Original Message-----\nFrom: c\nTo: e\nCc: f\nImportance: g\n\nz"),
        (b"From a@x.test Tue Mar  3 10:00:00 2026\r\n\r\nSubject: x\r\nTo: a@x.test\r\n\r\nhi", "hi"),
        (b"Subject: x\r\nFrom: a\r\n \r\nPlease note:\r\nDate: Monday\r\nTo: all\r\n\r\nz", "Please note:\nDate: Monday\nTo: all\n\nz"),
        (b": x\r\nSubject: x\r\nMessage-ID: <1@x>\r\n\r\nhi", "hi"),
        (b"Subject: x\r\nContent-Type: multipart/mixed; boundary=q\r\n \r\n--q\r\nContent-Type: text/plain\r\n\r\nhi\r\n--q--", "hi"),
        (b"Subject: x\r\nContent-Type: multipart/mixed; boundary=q\r\n--q\r\nContent-Type: text/plain\r\n\r\nhi\r\n--q--", "hi"),
        (b"Subject: x\r\n \r\n--q\r\nContent-Type: text/plain\r\n\r\nhi", "--q\nContent-Type: text/plain\n\nhi"),
    ],
)  # fmt: skip
def test_body_begins_where_a_person_sees_it(raw: bytes, text: str) -> None:
    """Text is no header because it has colons, and a quoted header is text."""
    assert (parse_email(raw).text or "").replace("\r\n", "\n") == text


def test_forwarded_mail_keeps_its_header_after_a_blank_line() -> None:
    """The fields of the message inside are its own, and its bytes are what was sent."""
    inner = b"Received: from a by b\r\nFrom: c@x.test\r\nSubject: inner\r\n\r\nhi"
    head = b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: message/rfc822\r\n"

    for between in (b"\r\n", b" \r\n", b"Content-Disposition: attachment\r\n\t\r\n"):
        (found,) = parse_email(head + between + inner + b"\r\n--q--").attachments
        assert found.content == inner


def test_recipients_of_a_report_stay_apart() -> None:
    """RFC 3464: one block for each recipient; some servers part them by a line with a blank."""
    raw = (
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n \r\nFinal-Recipient: rfc822; a@x.test\r\n"
        b"Status: 5.1.1\r\n \r\nFinal-Recipient: rfc822; b@x.test\r\nStatus: 5.2.2\r\n"
    )

    (report,) = parse_email(raw).reports

    assert [one["status"] for one in report.items] == ["5.1.1", "5.2.2"]


def test_skipped_line_is_a_defect() -> None:
    """A person sees that something was left out; white space alone is folding."""
    assert parse_email(b"From: a@x.test\r\nodd\r\nSubject: x\r\n\r\nx").defects == ("header_malformed",)
    assert parse_email(b"From: a@x.test\r\n \r\nSubject: x\r\n\r\nx").defects == ()
