"""Links are found where a browser finds them: html5ever, which is one browser's parser, is asked beside ours."""

import re
import time

import nh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.mail.anchors import anchors

_PIECES = [
    '<a href="https://x.test/">', "<a href='https://x.test/?a=1&amp;b=2'>", "<A HREF=https://x.test/a/>", "</a>", "<a>",
    "<a href=https://x.test title=y>", '<a title=">" href="/r">', "<a href=''>", "<a href=x href=y>", "<a/href=x>", "<area href=z>",
    "<!--", "-->", "<!-->", "--!>", "<!DOCTYPE html>", "<?x", "</ a>", "</>", "<p>", "</p>", "<br/>", "<div class='a'>", "</div>",
    "<style>", "</style>", "<script>", "</script >", "<title>", "</title>", "<", ">", "&", '"', "'", "=", "/", " ", "\n", "5 words",
    "é", "\x0c", "<b x=", "<a\nhref\n=\n'q'\n>", '<a href="a&copy=1&copy;&copyx&#65;&notit;">', "</body>", "</html>", "<xmp>", "</xmp>",
]  # fmt: skip
_SOUP = st.lists(st.sampled_from(_PIECES), max_size=20).map("".join)


def seen_by_a_browser(html: str) -> list[str]:
    """Return the `href` of every link that html5ever sees, in order."""
    seen: list[str] = []

    def note(_element: str, attribute: str, value: str) -> str:
        if attribute == "href":
            seen.append(value)
        return value

    nh3.clean(
        html,
        tags={"a", "area", "p", "br", "div", "b", "body", "html"},
        clean_content_tags={"script", "style", "title", "xmp"},
        attributes={"a": {"href"}, "area": {"href"}},
        attribute_filter=note,
        link_rel=None,
        url_schemes={"https", "http"},
    )
    return seen


def found(html: str) -> list[str]:
    return [link.target for link in anchors(html).links]


@given(_SOUP)
def test_links_are_where_a_browser_sees_them(html: str) -> None:
    """Broken HTML never yields a link that a browser does not see; a browser copies some when it repairs bad nesting."""
    ours, theirs = set(found(html)), set(seen_by_a_browser(html))

    assert ours <= theirs
    # Where a script has a comment, ours gives up.
    assert ours == theirs or "<script>" in html


@pytest.mark.parametrize(
    ("html", "target"),
    [
        ('<a href="?a=1&amp;b=2">', "?a=1&b=2"),
        ('<a href="?a=1&copy=2">', "?a=1&copy=2"),
        ('<a href="?a=1&copy;">', "?a=1©"),
        ('<a href="&#x68;ttps&#58;//x.test">', "https://x.test"),
        ("<a href = x >", "x"),
        ("<a\thref='a\"b'>", 'a"b'),
        ("<a href=x/>", "x/"),
        ("<a href>", ""),
    ],
)
def test_value_is_what_a_browser_reads(html: str, target: str) -> None:
    """A reference without its semicolon is none before an equals sign: `&copy=` is a parameter of many links."""
    assert found(html) == [target]


@pytest.mark.parametrize(
    "html",
    [
        '<!-- <a href="x"> -->',
        "<style><a href=x></style>",
        "<script>'<a href=x>'</script>",
        "<textarea><a href=x></textarea>",
        '<p title="<a href=x>">',
        "<a href='x",
        "<!-- <a href=x>",
        "<ahref=x>",
        "< a href=x>",
        "<a href=x data-no-track>",
        "<a name=x>",
    ],
)
def test_what_is_no_link_to_be_tracked_is_left(html: str) -> None:
    """Links in comments and raw text, links that the sender excepts, and what is no link at all."""
    assert found(html) == []


@pytest.mark.parametrize(
    ("html", "tail"),
    [
        ("<html><body>x</body></html>", "</body></html>"),
        ("<html>x</HTML>", "</HTML>"),
        ("x", ""),
        ("x<!-- </body>", "<!-- </body>"),
        ("x<style></body>", "<style></body>"),
        ("</body>a</body >b", "</body >b"),
        ("a<a href='", "<a href='"),
    ],
)
def test_end_is_where_something_added_is_still_shown(html: str, tail: str) -> None:
    """Behind an open comment or tag it would not be shown."""
    assert html[anchors(html).tail :] == tail


@pytest.mark.parametrize(
    "piece", ["<a ", "<!--", "<a href='", "<a href=x ", "<", "<a/", "</", "<!", "<style>", "<a x=", "&#1"]
)
def test_reading_is_linear(piece: str) -> None:
    """A caller's HTML of some megabytes may not hold a worker: two million characters are read at once, not in minutes."""
    html = piece * (2_000_000 // len(piece))
    begun = time.process_time()

    anchors(html)

    # Quadratic would be hours.
    assert time.process_time() - begun < 30


def test_places_are_those_of_the_values() -> None:
    """Only the text at these places may change."""
    html = """<a class=a href="one">1</a><A HREF='two'><a href=three>"""

    assert [html[link.start : link.end] for link in anchors(html).links] == ["one", "two", "three"]
    assert not re.search("['\"]", "".join(html[link.start : link.end] for link in anchors(html).links))
