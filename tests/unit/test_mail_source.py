"""The source of a mail as text: every byte is accounted for, and none of it acts on the reader's screen."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.api.pages.raw_mail import MOST_BODY, MOST_HEADERS, as_text, source_of


def test_headers_and_body_are_shown_as_they_came() -> None:
    """In order, folded and with their spelling: that is what a person compares with the sender's report."""
    raw = b"Received: by a\r\n\tfor b\r\nSubject: =?utf-8?q?=C3=A9?=\r\n\r\n<b>Hi</b>\r\n"

    source = source_of(raw, len(raw))

    assert source.headers == "Received: by a\n\tfor b\nSubject: =?utf-8?q?=C3=A9?=\n\n"
    assert source.body == "<b>Hi</b>\n"
    assert (source.headers_left_out, source.body_left_out, source.size) == (0, 0, len(raw))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"Gr\xc3\xb6\xc3\x9fe", "Gr\xf6\xdfe"), (b"Gr\xf6\xdfe", "Gr\\xf6\\xdfe"), (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),
        (b"a\x00b\x1b[2J\x7f", "a\u2400b\u241b[2J\u2421"), (b"a\rb\r\nc\n", "a\nb\nc\n"),
        ("ann\u202egpj.exe".encode(), "ann\\u{202e}gpj.exe"), ("\ufeffa\u200b".encode(), "\\u{feff}a\\u{200b}"),
        ("\u65e5\u3000\u672c\xa0!".encode(), "\u65e5\u3000\u672c\xa0!"), ("\u2028\x85".encode(), "\\u{2028}\\u{85}"),
    ],
)  # fmt: skip
def test_bytes_that_deceive_are_visible(data: bytes, text: str) -> None:
    """Removed, as in a subject, they would be missing where a person looks for them."""
    assert as_text(data) == text


@given(st.binary(max_size=2_000))
def test_any_bytes_are_text_without_control_characters(data: bytes) -> None:
    """Whatever a sender writes; U+FFFD is never made, since it says nothing of the byte."""
    text = as_text(data)

    assert {one for one in text if unicodedata.category(one)[0] == "C"} <= {"\t", "\n"}
    assert text.count("\ufffd") == data.count(b"\xef\xbf\xbd")


@given(
    st.integers(0, 300_000),
    st.integers(0, 300_000),
    st.sampled_from([b"X: ", b"", b"\xc3\xa9", b"From x\n", b"\n", b"\r"]),
)
def test_shown_and_left_out_are_the_whole(headers: int, body: int, first: bytes) -> None:
    """The sentence on the page counts bytes that a reader can check."""
    raw = first + b"a" * headers + b"\n\n" + b"b" * body
    head = raw[: (256 << 10) + MOST_BODY]

    source = source_of(head, len(raw))

    shown = len(source.headers.encode("utf-8")) + len(source.body.encode("utf-8"))
    # CR LF is shown as one line end; here it can be at the start alone, which is always shown.
    assert shown + source.headers_left_out + source.body_left_out == len(raw) - raw.count(b"\r\n")
    assert len(source.headers) <= MOST_HEADERS
    assert len(source.body) <= MOST_BODY


def test_a_character_at_the_cut_is_left_whole_or_out() -> None:
    """Half a character would be shown as a damaged byte, which it is not; the bytes left out are counted."""
    raw = b"X: y\n\na" + "\xe9".encode() * 200_000

    source = source_of(raw, len(raw))

    assert set(source.body) == {"a", "\xe9"}
    assert 6 + len(source.body.encode()) + source.body_left_out == len(raw)
    assert source_of(raw[:-1], len(raw) - 1).body == source.body
    assert source_of(b"\n\xc3", 2).body == "\\xc3"
