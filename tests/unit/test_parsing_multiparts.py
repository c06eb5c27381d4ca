"""Multiparts that are damaged or mistyped: their texts and files are there, and a defect says what was wrong."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.parsing import Defect, ParsedEmail, parse_email

HEAD = b"From: a@x.test\r\nTo: b@y.test\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\n"
PDF = b'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQK\r\n'


def mail(first: bytes, second: bytes, end: bytes, kind: bytes = b"multipart/mixed; boundary=q") -> bytes:
    return (
        HEAD + b"Content-Type: " + kind + b"\r\n\r\n" + first + b"\r\n" + TEXT + second + b"\r\n" + PDF + end + b"\r\n"
    )


def whole(parsed: ParsedEmail) -> bool:
    """Whether the mail has its text and its file, and nothing else."""
    files = [(one.filename, one.content) for one in parsed.attachments]
    return (parsed.text or "").strip() == "hello" and files == [("a.pdf", b"%PDF-1.4\n")]


@pytest.mark.parametrize(
    ("first", "second", "end"),
    [
        (b"--q extra", b"--q", b"--q--"),
        (b"--q", b"--q extra", b"--q-- extra"),
        (b"-q", b"-q", b"-q-"),
        (b"-- q", b"-- q", b"-- q --"),
        (b"--Q", b"--Q", b"--Q--"),
        ("\u2014q".encode(), "\u2014q".encode(), "\u2014q\u2014".encode()),
        (b"\x97q", b"\x97q", b"\x97q\x97"),
        (b" --q", b" --q", b" --q--"),
        (b"> --q", b"> --q", b"> --q--"),
        (b'--"q"', b'--"q"', b'--"q"--'),
        (b"---q", b"---q", b"---q--"),
        (b"-q", b"--q", b"--q--"),
        (b"", b"--q", b"--q--"),
        (b"--zzz", b"--zzz", b"--zzz--"),
        (b"", b"", b"--q--"),
        (b"", b"", b""),
    ],
)
def test_damaged_or_lost_delimiters_hide_nothing(first: bytes, second: bytes, end: bytes) -> None:
    """d1: gateways change dashes, case and quotes, or add to the line; what is before the first delimiter is not shown."""
    parsed = parse_email(mail(first, second, end))

    assert whole(parsed)
    assert {Defect.BOUNDARY_DAMAGED, Defect.BOUNDARY_NOT_FOUND} & set(parsed.defects)


@pytest.mark.parametrize("after", [b";", b"...", b"<br>", b" =20", b'"', b"\xa0"])
def test_signs_after_a_boundary_hide_nothing(after: bytes) -> None:
    """d1: a gateway wrote HTML, an editor punctuation; only a boundary that can be no word of a text is found like that."""
    kind = b"multipart/mixed; boundary=edge-of-part"

    assert whole(
        parse_email(mail(b"--edge-of-part" + after, b"--edge-of-part" + after, b"--edge-of-part--" + after, kind))
    )


def test_text_before_a_closing_delimiter_alone_is_shown() -> None:
    """The opening one was lost, and with it the fields of the part."""
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=q\r\n\r\nhello world\r\n--q--\r\n"

    parsed = parse_email(raw)

    assert "hello world" in (parsed.text or "")
    assert parsed.defects == ("boundary_not_found",)


def test_usual_preamble_is_no_part() -> None:
    """Nearly all multiparts of older programs have this sentence for programs without MIME."""
    sound = mail(b"This is a multi-part message in MIME format.\r\n\r\n--q", b"--q", b"--q--")

    parsed = parse_email(sound)

    assert whole(parsed)
    assert parsed.defects == ()


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/mixed; boundary='q'",
        "multipart/mixed; boundary=\u201cq\u201d".encode(),
        b'multipart/mixed; boundary="q',
        b'multipart/mixed; boundary=\\"q\\"',
        b"multipart/mixed; boundary=`q`",
        b"multipart/mixed;; boundary=q",
        b"multipart/mixed boundary=q",
    ],
)
def test_boundary_in_other_quotes_is_found(kind: bytes) -> None:
    """RFC 2045 allows double quotes only; people and programs write others."""
    assert whole(parse_email(mail(b"--q", b"--q", b"--q--", kind)))


@pytest.mark.parametrize(
    "kind",
    [
        b'multipart/*; boundary="q"',
        b'multipart\\mixed; boundary="q"',
        b"multipart/; boundary=q",
        b"multipart; boundary=q",
        b"multipart mixed; boundary=q",
        b"multi-part/mixed; boundary=q",
        b"multipart//mixed; boundary=q",
        b"mixed; boundary=q",
        b"boundary=q",
        b"multipart\\mixed boundary=q",
        b"multipart.mixed;boundary=q",
        b"multipart/{mixed}; boundary=q",
        b"=?utf-8?Q?multipart/mixed?=; boundary=q",
    ],
)
def test_unreadable_type_with_a_boundary_that_occurs_is_a_multipart(kind: bytes) -> None:
    """mp00, mp09: cut like multipart/mixed, or the files would be shown as base64."""
    parsed = parse_email(mail(b"--q", b"--q", b"--q--", kind))

    assert whole(parsed)
    assert Defect.MULTIPART_MISTYPED in parsed.defects


def test_unreadable_type_whose_boundary_does_not_occur_is_text() -> None:
    """Nothing is cut at what is not there; and a readable type is what it says, whatever it names."""
    odd = parse_email(HEAD + b"Content-Type: multi/part; boundary=q\r\n\r\nhello")
    plain = parse_email(HEAD + b"Content-Type: text/plain; boundary=q\r\n\r\n--q\r\n\r\nhello")

    assert [one.content for one in odd.attachments] == [b"hello"]
    assert plain.text == "--q\r\n\r\nhello"


@settings(deadline=None)
@given(
    lines=st.lists(st.sampled_from([b"--q", b"-q", b"--q--", b"--Q", b"--q x", b"", b"q", b"Content-Type: text/plain"]), max_size=8),
    at=st.integers(0, 8),
)  # fmt: skip
def test_a_word_is_never_hidden_between_any_delimiters(lines: list[bytes], at: int) -> None:
    """Property: whatever was done to the lines between, a paragraph inside a part with fields is shown."""
    lines.insert(at, b"Content-Type: text/plain\r\n\r\ntreasure")
    raw = HEAD + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"

    parsed = parse_email(raw)

    ended = any(one.startswith(b"--q--") for one in lines[:at])
    assert ended or "treasure" in (parsed.text or "")


def named(kind: bytes, name: bytes, body: bytes, disposition: bytes = b"") -> bytes:
    more = b"Content-Disposition: " + disposition + b"\r\n" if disposition else b""
    return b"Content-Type: " + kind + b"; name=" + name + b"\r\n" + more + b"\r\n" + body


def mixed(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(b"--q\r\n" + part + b"\r\n" for part in parts)
    return HEAD + b"Content-Type: " + kind + b"; boundary=q\r\n\r\n" + body + b"--q--\r\n"


def test_named_alternative_is_the_body() -> None:
    """n3: programs name the renderings of their text; mail programs show them as text."""
    parsed = parse_email(
        mixed(b"multipart/alternative", named(b"text/plain", b"a.txt", b"hello"), named(b"text/html", b"a.html", b"<p>hello</p>"))
    )  # fmt: skip

    assert (parsed.text, parsed.html, parsed.attachments) == ("hello", "<p>hello</p>", ())


@pytest.mark.parametrize(
    ("kind", "parts", "html", "files"),
    [
        (
            b"multipart/alternative",
            [TEXT, named(b"text/html", b"r.html", b"<p>b", b"inline; filename=r.html")],
            "<p>b",
            [],
        ),
        (b"multipart/alternative", [TEXT, named(b"text/html", b"r.html", b"<p>b", b"attachment")], None, ["r.html"]),
        (
            b"multipart/alternative",
            [TEXT, b"Content-Type: text/html\r\n\r\n<p>a", named(b"text/html", b"r.html", b"<p>b")],
            "<p>a",
            ["r.html"],
        ),
        (b"multipart/related", [named(b"text/html", b"i.html", b"<p>b"), PDF], "<p>b", ["a.pdf"]),
        (b"multipart/mixed", [TEXT, named(b"text/html", b"r.html", b"<p>b")], None, ["r.html"]),
        (b"multipart/alternative", [TEXT, named(b"text/calendar", b"i.ics", b"BEGIN:VCALENDAR")], None, ["i.ics"]),
    ],
)
def test_named_text_is_a_file_or_the_body(kind: bytes, parts: list[bytes], html: str | None, files: list[str]) -> None:
    """n3: the multipart and the disposition decide; beside a body of its type a named part is a file."""
    parsed = parse_email(mixed(kind, *parts))

    assert (parsed.html, [one.filename for one in parsed.attachments]) == (html, files)


def test_rubbish_in_the_fields_of_a_part_is_skipped_with_its_continuation() -> None:
    """h1j: a line that is no field, folded, before the type of the file."""
    odd = b"X part hdr: a\r\n b\r\n" + PDF

    parsed = parse_email(mixed(b"multipart/mixed", TEXT, odd))

    assert whole(parsed)
    assert parsed.defects == ("header_malformed",)


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (b"if a == b and c != d: token=Zm9v== end", "if a == b and c != d: token=Zm9v== end"),
        (b"a === b", "a === b"),
        (b"x==3D", "x=="),
        (b"==C3=BC", "=ü"),
        (b"a==\r\nb", "a=b"),
        (b"====", "==="),
        (b"100=25 == 100=", "100% == 100"),
    ],
)
def test_two_equals_signs_stay_two(encoded: bytes, text: str) -> None:
    """q1: an `=` that begins no escape is itself; one at the end of a line is a soft line break."""
    head = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"

    assert (parse_email(HEAD + head + encoded).text or "").strip() == text


def test_two_equals_signs_stay_two_in_a_subject() -> None:
    """q1: the same decoder, in an encoded word."""
    assert parse_email(b"Subject: =?utf-8?Q?a_==_b?=\r\n\r\n").subject == "a == b"


@pytest.mark.parametrize(
    ("pieces", "name"),
    [
        (b"filename*0=foo; filename*2=.exe", "foo"),
        (b"filename*0=a; filename*1=b; filename*3=c; filename*4=d", "ab"),
        (b"filename*2=.exe; filename*0=foo.pdf", "foo.pdf"),
        (b"filename*1=foo; filename*2=.pdf", "foo.pdf"),
        (b"filename*0*=utf-8''%C3%BC; filename*2=.exe", "ü"),
    ],
)
def test_pieces_of_a_name_stop_at_a_gap(pieces: bytes, name: str) -> None:
    """r1: as Thunderbird does; a virus scanner that stops there sees the same name."""
    raw = HEAD + b"Content-Type: application/pdf\r\nContent-Disposition: attachment; " + pieces + b"\r\n\r\nx"

    assert [one.original_name for one in parse_email(raw).attachments] == [name]
