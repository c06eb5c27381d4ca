"""Quoted local parts of addresses (RFC 5322 section 3.4.1): blanks, colons and escapes within them belong to the address."""

import time

import pytest

from mailroom.domain.parsing import parse_email


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ('Test <"test test"@domain.example>', 'Test <"test test"@domain.example>'),
        ('Test <"test  test"@domain.example>', 'Test <"test  test"@domain.example>'),
        ('"a  b"@d.example', '"a  b"@d.example'),
        ('"a b"@d.example (Ann)', 'Ann <"a b"@d.example>'),
        ('<"a b" @ d.example>', '"a b"@d.example'),
        ('<@relay.example:"a b"@d.example>', '"a b"@d.example'),
        ('<"a:b"@d.example>', '"a:b"@d.example'),
        ('"a\\"b c"@d.example', '"a\\"b c"@d.example'),
        ('"A  B" <x@y.example>', "A B <x@y.example>"),
        ("< x @ y . example >", "x@y.example"),
        ("<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
    ],
)
def test_blanks_of_a_quoted_local_part_are_kept(written: str, read: str) -> None:
    """Without its blank it is another person's address; other blanks are none of an address."""
    parsed = parse_email(f"From: {written}\r\nTo: {written}\r\n\r\nx".encode())

    assert (parsed.from_, parsed.to, parsed.defects) == (read, (read,), ())


@pytest.mark.parametrize(
    "written",
    [
        "Bank <attacker@evil.example>:<ceo@bank.example>",
        "<a@evil.example><ceo@bank.example>",
        "<ceo@bank.example:a@evil.example>",
        '<"ceo@bank.example "@evil.example>',
        '"ceo@bank.example x"@evil.example',
        "Bank <a@evil.example> ceo@bank.example",
    ],
)
def test_two_addresses_in_one_entry_are_a_defect(written: str) -> None:
    """Programs differ in which of them they show; quotes hide none."""
    assert "sender_ambiguous" in parse_email(f"From: {written}\r\n\r\nx".encode()).defects


@pytest.mark.parametrize(
    "written", [b'"' + b'\\"' * 60_000, b'"@' * 60_000, b'<"' + b'a "' * 40_000 + b"@>", b'<"@ "@' * 20_000]
)
def test_unclosed_quotes_cost_time_that_is_linear(written: bytes) -> None:
    """128 kB of quotes in To take a tenth of a second; squared, minutes."""
    begun = time.process_time()

    parse_email(b"To: " + written + b"\r\n\r\nx")

    assert time.process_time() - begun < 3
