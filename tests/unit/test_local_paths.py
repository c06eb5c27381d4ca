"""Where a person may be sent after signing in: to a page here, whatever the link says."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.local_paths import HOME, local_path

BASE = "https://mail.example/sign-in/x"
PARTS = [
    "/",
    "\\",
    "//",
    "http:",
    "https://",
    "evil.test",
    "@",
    "..",
    "%2f",
    "%5c",
    "\t",
    "\n",
    "?",
    "#",
    ":",
    "javascript:",
    " ",
    "é",
    "items",
]


@given(st.lists(st.sampled_from(PARTS), max_size=6).map("".join) | st.text(max_size=30))
def test_no_path_leads_to_another_site(written: str) -> None:
    """Read as a browser reads it: tabs and newlines are dropped, and a backslash is a slash."""
    path = local_path(written)

    as_browser = "".join(letter for letter in path if letter not in "\t\r\n").strip().replace("\\", "/")
    there = urlsplit(urljoin(BASE, as_browser))
    assert (there.scheme, there.netloc) == ("https", "mail.example")
    assert path.startswith("/")
    assert local_path(path) == path


@pytest.mark.parametrize(
    "page",
    [
        "/",
        "/items/0190a1b2",
        "/inboxes/ada@acme.test?q=from%3Abob&cursor=x",
        "/batches#top",
        "/inboxes/j%C3%B6rg@acme.test",
        "/keys",
    ],
)
def test_pages_are_as_written(page: str) -> None:
    """With their questions, so that a link in a mail opens what it names."""
    assert local_path(page) == page


@pytest.mark.parametrize(
    "written",
    [
        *(
            None,
            "",
            "//evil.test",
            "/\\evil.test",
            "https://evil.test/",
            "javascript:alert(1)",
            "evil.test",
            "/\t/evil.test",
        ),
        *(
            "/a\nSet-Cookie: x=y",
            "/é",
            "/a b",
            "\\\\evil.test",
            "/" + "a" * 3_000,
            "/sign-in",
            "/sign-in/secret",
            "/sign-out",
        ),
        *("/v1/items/1", "/u/token", "/static/mailroom.css", "/hooks/ses", "/sign-in-with-a-key", "///evil.test"),
    ],
)
def test_everything_else_is_the_first_page(written: str | None) -> None:
    """Other sites, header lines, and what is no page to look at."""
    assert local_path(written) == HOME
