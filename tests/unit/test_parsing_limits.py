"""`parse_email` on hostile mail: it names the limit that was exceeded, and nothing worse happens."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.parsing import Defect, Limits, parse_email
from mailroom.domain.parsing.names import display_name, unique_name
from tests.fuzz.content_rules import assert_sound

_WHOLE = (
    b"Message-ID: <1@example.org>\r\nDate: Tue, 3 Mar 2026 10:00:00 +0100\r\n"
    b"Subject: =?utf-8?B?R3LDvMOfZQ==?= =?iso-2022-jp?B?GyRCRnxLGyhC?=\r\n"
    b'From: "Ann, A." <ann@example.org> (here)\r\nTo: Team: b@example.com, =?utf-8?Q?J=C3=B6rg?= <j@example.com>;\r\n'
    b'Content-Type: multipart/mixed; boundary="edge"\r\n\r\npreamble\r\n--edge\r\n'
    b"Content-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    b"Gr=C3=BC=C3=9Fe =\r\nyou \r\nbegin 644 a.txt\r\n%:&5L;&\\\r\n`\r\nend\r\n--edge\r\n"
    b"Content-Type: image/png; name*0*=utf-8''a%20; name*1=b.png\r\nContent-Transfer-Encoding: base64\r\n"
    b"Content-ID: <logo>\r\n\r\niVBORw0KGgo=\r\n--edge\r\n"
    b"Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\n\x78\x9f\x3e\x22\x01\x00"
    b"\x02\x02\x90\x06\x00\x0e\x00\x00\x00"
    + bytes(16)
    + b"\x02\x0f\x80\x06\x00\x03\x00\x00\x00abc\x26\x01\r\n--edge\r\n"
    b"Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntext\r\n--edge--\r\n"
)
_PIECES = [
    b"--edge", b"--edge--", b"\r\n", b"\n\n", b"=?utf-8?B?", b"?=", b"Content-Type: multipart/mixed; boundary=edge", b"\x00", b"\xff",
    b"Content-Type: text/plain; charset=utf-16", b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: x-uuencode",
    b"Content-Type: message/rfc822", b"; name*0*=utf-8''%", b'"', b"\\", b"(", b"<", b":", b";", b"From: ", b"Date: ", b"begin 644 x\n", b"end\n",
    b"\x78\x9f\x3e\x22\x01\x00", b"\x02\x02\x90\x06\x00\x00\x00\x00\x00\x00\x00", b"\x1b$B", b"99999999999", b" ", b"\t",
]  # fmt: skip


def nested(depth: int) -> bytes:
    opened = (f"Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n" for level in range(depth))
    return "".join(opened).encode() + b"\r\nthe core"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2_000))
def test_random_bytes_never_raise(raw: bytes) -> None:
    """Any bytes give a value, never an exception."""
    assert_sound(parse_email(raw))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(_PIECES) | st.binary(max_size=20), max_size=60))
def test_pieces_of_mail_in_any_order_never_raise(pieces: list[bytes]) -> None:
    """Random bytes hardly ever meet the inner parsers; these do."""
    assert_sound(parse_email(b"".join(pieces)))


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_mail_never_raises(data: st.DataObject) -> None:
    """One place of a whole mail is cut out and replaced."""
    start = data.draw(st.integers(0, len(_WHOLE)))
    end = data.draw(st.integers(start, min(len(_WHOLE), start + 80)))
    patch = data.draw(st.sampled_from(_PIECES) | st.binary(max_size=12))

    parsed = parse_email(_WHOLE[:start] + patch + _WHOLE[end:])

    assert_sound(parsed)


def test_the_whole_mail_is_sound() -> None:
    """The mail that the other tests damage."""
    parsed = parse_email(_WHOLE)

    assert parsed.defects == ()
    assert [one.filename for one in parsed.attachments] == ["a.txt", "a b.png", "attachment-3", "inner.eml"]


@pytest.mark.parametrize("depth", [21, 1_500, 20_000])
def test_depth_is_bounded_and_the_rest_is_kept(depth: int) -> None:
    """The standard library's parser raises RecursionError here."""
    parsed = parse_email(nested(depth))

    assert "too_deep" in parsed.defects
    assert parsed.attachments[0].content.endswith(b"the core")


def test_depth_within_the_limit_is_opened() -> None:
    """Twenty levels are more than any mailer makes."""
    parsed = parse_email(nested(20))

    assert parsed.text == "the core"


def test_messages_inside_messages_are_not_opened() -> None:
    """However deep they go, the mail has one attachment."""
    parsed = parse_email(b"Content-Type: message/rfc822\r\n\r\n" * 5_000 + b"Subject: core\r\n\r\nx")

    assert len(parsed.attachments) == 1


def test_parts_are_counted() -> None:
    """A hundred thousand empty parts are no mail."""
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\nContent-Type: image/png\n\n\n" * 20_000

    parsed = parse_email(raw)

    assert "too_many_parts" in parsed.defects
    assert len(parsed.attachments) == 500


def test_nested_multiparts_share_the_count_of_parts() -> None:
    """Splitting the parts over many multiparts gains nothing."""
    inner = b"Content-Type: multipart/mixed; boundary=i\n\n" + b"--i\nContent-Type: image/png\n\nx\n" * 100 + b"--i--\n"
    raw = b"Content-Type: multipart/mixed; boundary=o\n\n" + (b"--o\n" + inner) * 50 + b"--o--\n"

    parsed = parse_email(raw)

    assert "too_many_parts" in parsed.defects
    assert len(parsed.attachments) <= 550


def test_lines_that_look_like_delimiters_are_counted() -> None:
    """Each has to be examined, even if none is a delimiter."""
    raw = b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--bb\n" * 2_000

    assert "too_many_delimiters" in parse_email(raw, limits=Limits(delimiters=1_000)).defects


@pytest.mark.parametrize(
    ("raw", "defect"),
    [
        (b"X: y\r\n" * 2_000 + b"\r\nbody", Defect.TOO_MANY_HEADERS),
        (b"Subject: " + b"a" * 100_000 + b"\r\n\r\nbody", Defect.HEADER_TOO_LONG),
        (b"X: y\r\n" * 60_000 + b"\r\nbody", Defect.HEADER_BLOCK_TOO_LONG),
        (b"To: " + b"a@x.org," * 3_000 + b"\r\n\r\nbody", Defect.TOO_MANY_ADDRESSES),
        (b"Subject: " + b"=?utf-8?Q?a?= " * 3_000 + b"\r\n\r\nbody", Defect.TOO_MANY_WORDS),
        (b"Content-Type: text/plain" + b"; a=b" * 100 + b"\r\n\r\nbody", Defect.TOO_MANY_PARAMETERS),
    ],
)
def test_broken_limit_is_named_and_the_body_still_read(raw: bytes, defect: Defect) -> None:
    """A reader gets the rest of the mail, and a filter the reason why it is not all."""
    parsed = parse_email(raw)

    assert defect.value in parsed.defects
    assert parsed.text == "body"


def test_bytes_over_the_limit_are_not_read() -> None:
    """SES delivers at most 40 MB."""
    parsed = parse_email(b"Subject: x\r\n\r\n0123456789", limits=Limits(raw_bytes=20))

    assert parsed.text == "012345"
    assert parsed.defects == ("too_large",)


def test_files_are_counted() -> None:
    """A text can hold a uuencoded file in every third line."""
    parsed = parse_email(b"\n\nx\n" + b"begin 644 a\n`\nend\n" * 50, limits=Limits(files=10))

    assert len(parsed.attachments) == 10


@pytest.mark.parametrize(
    "sender",
    [b"(" * 50_000 + b" <a@x.org>", b'"\\' * 20_000 + b" <a@x.org>", b"<" * 50_000, b"a" * 50_000 + b" @"],
    ids=["comments", "quotes", "brackets", "letters"],
)
def test_unclosed_punctuation_is_looked_for_once(sender: bytes) -> None:
    """A parser that recurses, or scans again from each place, never finishes."""
    assert_sound(parse_email(b"From: " + sender + b"\r\n\r\nx"))


@settings(max_examples=500, deadline=None)
@given(
    st.lists(
        st.text(max_size=300) | st.sampled_from(["a.pdf", "A.PDF", "a (2).pdf", "CON", "..", "/", "\u202e"]), max_size=8
    )
)
def test_any_names_become_safe_and_unique(written: list[str]) -> None:
    """For any sender's name, the shown one is one line, no path, not empty, not too long, and unique."""
    taken: dict[str, int] = {}

    shown = [
        unique_name(display_name(name, content_type="application/pdf", number=number), taken)
        for number, name in enumerate(written, 1)
    ]

    assert len({name.casefold() for name in shown}) == len(written)
    assert all(name.isprintable() and "/" not in name and 0 < len(name.encode()) <= 200 for name in shown)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_safe_name_stays_as_it_is(written: str) -> None:
    """Cleaning is idempotent, so that a name does not change from one system to the next."""
    once = display_name(written, content_type="application/pdf", number=1)

    assert display_name(once, content_type="application/pdf", number=1) == once
