"""Names of downloads: a sender chooses them, and every system that saves the file has other rules."""

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.api.downloads import content_disposition, safe_filename


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("invoice.pdf", "invoice.pdf"),
        ("Größe & Maß.pdf", "Größe & Maß.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..\\..\\x", "_.._x"),
        ("C:\\x", "C__x"),
        ("\\\\host\\share", "__host_share"),
        ("\u200b.htaccess", "htaccess"),
        ("ann\u202egpj.exe", "anngpj.exe"),
        ('"><img src=x onerror=alert(1)>.pdf', "___img src=x onerror=alert(1)_.pdf"),
        ("a\r\nSet-Cookie: x=1", "aSet-Cookie_ x=1"),
        ("a\x00.pdf", "a.pdf"),
        ("CON", "_CON"),
        ("aux.txt", "_aux.txt"),
        ("a.", "a"),
        ("a ", "a"),
        (".", "attachment"),
        ("..", "attachment"),
        ("", "attachment"),
    ],
)
def test_a_senders_name_becomes_one_plain_file(name: str, safe: str) -> None:
    """Invisible characters go before the check of what is left, not after: that order was a published hole."""
    assert safe_filename(name) == safe


def test_a_long_name_keeps_its_ending() -> None:
    """File systems take 255 bytes; cut in the middle of a character, the name would be no text any more."""
    name = safe_filename("é" * 300 + ".pdf")

    assert len(name.encode()) <= 200
    assert name.endswith("é.pdf")


@given(st.text(max_size=300))
def test_no_name_breaks_the_header(name: str) -> None:
    """The header stays one line of ASCII, whatever the name, and a client that decodes it gets the safe name."""
    header = content_disposition(name)

    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert unquote(header.rpartition("''")[2]) == safe_filename(name)
    assert not set(safe_filename(name)) & set('/\\"\r\n')
