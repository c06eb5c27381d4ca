"""Hosts by the URL standard: the host that is shown is the one that a browser opens."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.mail.urls import MAX_URL, opaque_url, plain_web_url, readable_host, web_url
from tests.support.url_cases import HOSTS


@pytest.mark.parametrize(("written", "host"), HOSTS.items())
def test_host_is_the_one_that_a_browser_opens(written: str, host: str | None) -> None:
    """Each of these is read differently by Python's own parser, by a person, or by both."""
    read = web_url(written)

    assert (read.place if read else None) == host


@pytest.mark.parametrize("written", [written for written, host in HOSTS.items() if host])
def test_a_normalised_url_is_read_alike_by_all_parsers(written: str) -> None:
    """The link on a page and in our JSON is this one, so that no second parser finds another host in it."""
    read = web_url(written)
    assert read is not None

    again, by_rfc = web_url(read.href), urlsplit(read.href)

    assert read.href.isascii()
    assert again == plain_web_url(read.href)
    assert again is not None
    assert (again.place, again.href, again.has_user) == (read.place, read.href, False)
    assert (by_rfc.hostname, by_rfc.username) == (read.host.strip("[]"), None)


@given(st.text(st.sampled_from("htps:/\\@.%2fexample[]0x7①ß\u00ad\u3002\t #?:"), max_size=40).map("https:".__add__))
def test_nothing_that_is_written_raises(written: str) -> None:
    """A sender may write any link; half of a character is no URL."""
    read = web_url(written)

    assert read is None or read.host.isascii()
    assert web_url(written + "\ud800") is None


def test_endless_urls_are_not_read() -> None:
    """Some steps of a host cost its length squared."""
    assert web_url("https://evil.example/" + "a" * MAX_URL) is None


@pytest.mark.parametrize(
    ("written", "is_plain"),
    [
        ("https://mail.acme.test/u/1", True), ("HTTPS://Mail.Acme.test:443/?a@b", True), ("https://[2001:db8::1]:8443/", True),
        ("https://xn--strae-oqa.de/", True), ("http://127.0.0.1:9000", True), ("https://x.test/\\@y", True),
        ("https://straße.de/", False), ("https://bank.example@evil.example/", False), ("https://%65vil.example/", False),
        ("https://evil.example\\@bank.example/", False), ("https:evil.example/", False), ("http://0x7f.1/", False),
        ("https:///evil.example/", False), ("https://[2001:0db8::1]/", False), ("ftp://x.test/", False), (" https://x.test/", False),
        ("https://x.test:99999/", False), ("https://ev\til.example/", False), ("", False),
    ],
)  # fmt: skip
def test_plain_is_a_url_that_all_readers_read_alike(written: str, is_plain: bool) -> None:
    """What is stored, signed or posted to by other programs must not need a browser's rules to be understood."""
    assert (plain_web_url(written) is not None) == is_plain


@pytest.mark.parametrize(
    ("host", "letters", "alphabets"),
    [
        ("bank.example", "", ()),
        ("127.0.0.1", "", ()),
        ("xn--strae-oqa.de", "straße.de", ("Latin",)),
        ("xn--80ak6aa92e.example", "аррӏе.example", ("Cyrillic",)),
        ("xn--pypal-4ve.example", "pаypal.example", ("Cyrillic", "Latin")),
        ("xn--r8jz45g.xn--zckzah", "例え.テスト", ("CJK", "Hiragana", "Katakana")),
        ("xn--n3h.example", "", ()),
        ("bank.xn--comevil-3d7c.example", "", ()),
        ("xn--a", "", ()),
    ],
)
def test_letters_of_a_host_are_named_with_their_alphabets(host: str, letters: str, alphabets: tuple[str, ...]) -> None:
    """`аррӏе` in Cyrillic looks like the fruit in every font; only the alphabet's name shows the difference. U+2044 is no slash."""
    assert readable_host(host) == (letters, alphabets)


def test_links_without_a_host_keep_what_they_name() -> None:
    """An address to write to is no host; with one, it is none of these links."""
    schemes = frozenset({"mailto", "tel"})

    assert opaque_url("MAILTO:Ann@x.test?subject=a", schemes) == "mailto:Ann@x.test?subject=a"
    assert opaque_url("tel:+49 30 1", schemes) == "tel:+49 30 1"
    assert opaque_url("mailto://evil.example/", schemes) is None
    assert opaque_url("javascript:alert(1)", schemes) is None
