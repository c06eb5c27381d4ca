"""Charsets that Python has no codec for, or decodes to letters in pieces: EUC-TW, ISO-2022-CN, Windows-1258."""

import unicodedata
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.charsets import codec
from mailroom.domain.parsing.cns11643 import _plane

PLANES = {letter: (number, code) for number in (2, 1) for code, letter in _plane(number).items()}
#: As `iconv` of glibc 2.36 writes them.
GIVEN = [
    ("euc-tw", "一乙丁 abc 纊", "c4a1c4a2c4a320616263208ea2ebf5"),
    ("x-euc-tw", "您好請", "dac0c7efeef9"),
    ("iso-2022-cn", "您好請", "1b2429410e447a3a431b2429476e790f"),
    ("iso-2022-cn-ext", "一 纊", "1b2429410e523b0f201b242a481b4e6b75"),
    ("windows-1258", "Tiếng Việt: nghĩa, trả lời", "5469eaec6e672056 69eaf2743a206e676869de612c20747261d2206cf5cc69"),
    ("cp1258", "Đường ạ", "d0fdf5cc6e672061f2"),
]
VIETNAMESE = "Tiếng Việt: Đường phố, nghĩa là giữ được, trả lời ạ. Ở đâu?"


def body(data: bytes, charset: str | None) -> str:
    kind = f"; charset={charset}" if charset else ""
    head = f"Content-Type: text/plain{kind}\r\nContent-Transfer-Encoding: base64\r\n\r\n".encode()
    return parse_email(head + b64encode(data)).text or ""


def euc_tw(text: str) -> bytes:
    pieces = [PLANES.get(letter) or (0, letter.encode()) for letter in text]
    return b"".join(code if plane < 2 else bytes([0x8E, 0xA0 + plane]) + code for plane, code in pieces)


def iso_2022_cn(text: str) -> bytes:
    """Each letter with its own shifts, as a writer may do."""

    def letter(one: str) -> bytes:
        plane, code = PLANES.get(one) or (0, one.encode())
        low = bytes(byte & 0x7F for byte in code)
        return {0: low, 1: b"\x1b$)G\x0e" + low + b"\x0f", 2: b"\x1b$*H\x1bN" + low}[plane]

    return b"".join(map(letter, text))


def windows_1258(text: str) -> bytes:
    """Letters of the code page whole, others with the mark of their tone behind them."""
    tones = "\u0300\u0301\u0303\u0309\u0323"

    def letter(one: str) -> bytes:
        try:
            return one.encode("cp1258")
        except UnicodeError:
            parts = unicodedata.normalize("NFD", one)
            base = unicodedata.normalize("NFC", "".join(part for part in parts if part not in tones))
            return base.encode("cp1258") + "".join(part for part in parts if part in tones).encode("cp1258")

    return b"".join(map(letter, text))


@pytest.mark.parametrize(("charset", "text", "written"), GIVEN)
def test_given_bytes_are_these_words(charset: str, text: str, written: str) -> None:
    """By another implementation, so that our tables are not compared with themselves."""
    data = bytes.fromhex(written)

    assert body(data, charset) == text
    word = f"=?{charset}?B?".encode() + b64encode(data) + b"?="
    assert parse_email(b"Subject: " + word + b"\r\nTo: " + word + b" <a@x.test>\r\n\r\n").subject == text


LETTERS = st.text(
    st.sampled_from(sorted(PLANES)) | st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12
)


@settings(deadline=None)
@given(LETTERS)
def test_every_letter_of_both_planes_comes_back(text: str) -> None:
    """In both encodings, among ASCII, from one letter on."""
    assert body(euc_tw(text), "euc-tw") == text
    assert body(iso_2022_cn(text), "iso-2022-cn") == text


@settings(deadline=None)
@given(st.permutations(VIETNAMESE).map(lambda letters: "x" + " ".join("".join(letters[:12]).split())))
def test_vietnamese_is_composed(text: str) -> None:
    """One letter for a vowel and its tone, as people type it and search for it."""
    assert body(windows_1258(text), "windows-1258") == text
    assert body(windows_1258(VIETNAMESE), "windows-1258") == VIETNAMESE


@pytest.mark.parametrize("charset", [None, "us-ascii", "utf-8", "x-unknown"])
def test_escapes_of_iso_2022_cn_need_no_declaration(charset: str | None) -> None:
    """They occur in no other text; a raw subject has none."""
    data = iso_2022_cn("您好 x")

    assert body(data, charset) == "您好 x"
    assert parse_email(b"Subject: " + data + b"\r\n\r\nx").subject == "您好 x"


def test_a_line_begins_in_ascii() -> None:
    """RFC 1922 section 7.1: a lost shift in costs its line, not the rest of the mail."""
    assert body(b"\x1b$)A\x0e:C\nplain\n\x0e:C\x0f", "iso-2022-cn") == "好\nplain\n好"


def test_what_cannot_be_decoded_is_one_mark() -> None:
    """A broken pair, a plane of rare letters, a cut end: the letters around stay."""
    good = euc_tw("您好")

    assert body(good + b"\x8e\xa3\xa1\xa1" + good, "euc-tw") == "您好\ufffd您好"
    assert body(good * 4 + b"\xc4", "euc-tw") == "您好" * 4 + "\ufffd"


@settings(deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["euc-tw", "iso-2022-cn", "windows-1258"]))
def test_any_bytes_are_text(data: bytes, charset: str) -> None:
    """Mail is hostile."""
    name = codec(charset)
    assert name

    assert isinstance(data.decode(name, "replace"), str)
    assert isinstance(body(data, charset), str)
