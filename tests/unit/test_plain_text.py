"""The text part of a mail that was written in HTML only."""

import pytest

from mailroom.outbound.plain_text import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Dear Ada,</p><p>thank&nbsp;you &amp; bye</p>", "Dear Ada,\n\nthank you & bye"),
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<ul><li>tea<li>jam</ul>", "- tea\n- jam"),
        ("<a href='https://acme.test/x'>look</a>", "look (https://acme.test/x)"),
        ("<a href='https://acme.test'>https://acme.test</a>", "https://acme.test"),
        ("<a href='javascript:alert(1)'>look</a>", "look"),
        ("<head><title>T</title><style>p{}</style></head><script>x()</script>seen", "seen"),
        ("<table><tr><td>1</td><td>2</td></tr><tr><td>3</td></tr></table>", "1 2\n3"),
        ("<img alt='Acme' src='cid:logo'> ships", "Acme ships"),
        ("one\n   line", "one line"),
        ("<p>unclosed <b>bold", "unclosed bold"),
        ("</style></p>odd", "odd"),
        ("", ""),
    ],
)
def test_the_text_is_what_a_reader_sees(html: str, text: str) -> None:
    """A reader of plain text must be able to follow links, and must see no code."""
    assert text_of(html) == text
