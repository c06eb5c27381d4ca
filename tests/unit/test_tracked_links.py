"""Tracked links: they lead to the original targets only, and the rest of the mail is unchanged."""

import re
from datetime import UTC, datetime
from html import unescape

import nh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.delivery.tracked_links import Engagement, Tracker, clicked, followed, opened
from mailroom.domain.delivery.unsubscribe import sign, unsubscribe_url
from mailroom.domain.outbound.message import Tracked

KEY, OTHER = b"a key of some length", b"another key, as long"
BASE = "https://mail.example"
MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"
AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
BOTH = Tracked(opens=True, clicks=True)
TRACKER = Tracker(base=BASE, key=KEY)
_OURS = re.compile(re.escape(BASE) + r"/c/([A-Za-z0-9_-]+)")
_PIXEL = re.compile(r'<img src="' + re.escape(BASE) + r'/o/([A-Za-z0-9_-]+)\.gif"[^>]*>')
_PIECES = [
    '<a href="https://x.test/?a=1&amp;b=2">', "<a href='http://y.test'>", "<a href=https://z.test/q>", "</a>", "<a href='#top'>",
    '<a href="mailto:ann@x.test">', "<p class='x'>", "</p>", "<!-- <a href='https://c.test'> -->", "é&nbsp;", "\r\n", "<td", " >",
    '<a data-no-track href="https://n.test">', "<style>a{}</style>", "</body>", "<!--", "'", '"', "<a href='https://ü.test/'>",
]  # fmt: skip


def tracked(html: str, wish: Tracked = BOTH, **more: str) -> str:
    return TRACKER.tracked(html, wish, message_id=MESSAGE, made_at=AT, **more)


def looks(html: str) -> list[Engagement | None]:
    return [clicked(token, key=KEY) for token in _OURS.findall(html)]


def restored(html: str) -> str:
    """Return the HTML with every link of ours as its target and without the pixel."""
    return _PIXEL.sub("", _OURS.sub(lambda ours: clicked(ours[1], key=KEY).target, html))


def test_link_leads_to_its_original_target_and_has_its_number() -> None:
    """A reader sees no difference; the number distinguishes two links to one page."""
    html = '<p><a class="b" href="https://x.test/?a=1&amp;b=2#c">1</a> <a href=http://y.test>2</a></p>'

    made = tracked(html, Tracked(clicks=True))

    assert looks(made) == [
        Engagement(MESSAGE, AT, 1, "https://x.test/?a=1&b=2#c"),
        Engagement(MESSAGE, AT, 2, "http://y.test"),
    ]
    assert re.sub(_OURS, "*", made) == '<p><a class="b" href="*">1</a> <a href=*>2</a></p>'


def test_pixel_is_the_last_thing_of_the_body() -> None:
    """It names the message; a picture must not move what is read."""
    made = tracked("<html><body><p>Hi</p></body></html>", Tracked(opens=True))

    [token] = _PIXEL.findall(made)
    assert opened(token, key=KEY) == Engagement(MESSAGE, AT)
    assert _PIXEL.sub("*", made) == "<html><body><p>Hi</p>*</body></html>"


@given(st.lists(st.sampled_from(_PIECES), max_size=15).map("".join))
def test_everything_else_is_byte_for_byte_as_it_was(html: str) -> None:
    """Rewriting must never damage a mail."""
    plain = html.replace("&amp;", "&")

    assert restored(tracked(plain)) == plain
    assert tracked(html, Tracked()) == html


@given(st.lists(st.sampled_from(_PIECES[:-3]), max_size=15).map("".join))
def test_a_browser_sees_the_same_document(html: str) -> None:
    """html5ever builds the same tree of both. Both have the pixel: it becomes part of an unclosed link."""
    allowed = {"tags": {"a", "p", "td", "tr", "table", "body"}, "attributes": {"a": {"href"}, "p": {"class"}}}

    before, after = (nh3.clean(tracked(html, wish), link_rel=None, **allowed) for wish in (Tracked(opens=True), BOTH))

    assert unescape(re.sub(_OURS, lambda ours: clicked(ours[1], key=KEY).target, after)) == unescape(before)


@pytest.mark.parametrize(
    "target",
    [
        "mailto:ann@x.test", "tel:+49", "#part", "/relative", "//x.test/", "cid:logo", "javascript:alert(1)", "data:text/html,x",
        "ftp://x.test/", "https:/x.test", "https://", "https://ann@x.test/", "https://x.test\\@evil.test/", "https://bücher.test/",
        "https://x.test:99999999/", "https://x.test/" + "a" * 1_500, "{{ link }}", "", "https://%2e/",
        unsubscribe_url(BASE, MESSAGE, key=KEY), "https://list.test/leave",
    ],
)  # fmt: skip
def test_what_is_not_tracked_is_left_as_it_is(target: str) -> None:
    """Not a web page, read differently by programs, or the unsubscribe link, which must stay direct."""
    html = f'<a href="{target}">x</a>'

    assert tracked(html, Tracked(clicks=True), unsubscribe="https://list.test/leave") == html


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://x.test/ä b", "https://x.test/%C3%A4%20b"),
        (" https://x.test/\n", "https://x.test/"),
        ("HTTPS://X.test?q=<\"'>", "HTTPS://X.test?q=<\"'>"),
        ("https://[2001:db8::1]:8443/x;y|z", "https://[2001:db8::1]:8443/x;y|z"),
        ("https://x.test/%20%zz", "https://x.test/%20%zz"),
        ("https://x.test/a\r\nSet-Cookie: b", "https://x.test/aSet-Cookie:%20b"),
        ("https://x.test/\ud800", "https://x.test/%3F"),
    ],
)
def test_target_is_what_a_browser_would_have_asked_for(written: str, sent: str) -> None:
    """It becomes a header of ours: ASCII without breaks, and otherwise not a character changed."""
    assert followed(written) == sent


def test_link_is_not_tracked_twice() -> None:
    """A batch may quote a mail of ours."""
    once = tracked('<a href="https://x.test/">x</a>', Tracked(clicks=True))

    assert tracked(once, Tracked(clicks=True)) == once


def test_token_that_was_changed_or_made_for_something_else_says_nothing() -> None:
    """Otherwise one link would be enough to make an open redirect."""
    made = tracked('<a href="https://x.test/">x</a>')
    [click], [pixel] = _OURS.findall(made), _PIXEL.findall(made)

    changed = [click[:at] + ("A" if click[at] != "A" else "B") + click[at + 1 :] for at in range(len(click))]
    assert {clicked(token, key=KEY) for token in [*changed, click[:-1], f"{click}A", "", "=", "é", pixel]} == {None}
    assert clicked(click, key=OTHER) is None
    assert opened(click, key=KEY) is None
    assert opened(sign(MESSAGE, key=KEY), key=KEY) is None


def test_base_never_breaks_out_of_its_attribute() -> None:
    """An unquoted attribute takes the link too."""
    made = Tracker(base="https://mail.example/a&b/", key=KEY).tracked(
        "<a href=https://x.test>", Tracked(clicks=True), message_id=MESSAGE, made_at=AT
    )

    assert made.startswith("<a href=https://mail.example/a&amp;b/c/")
