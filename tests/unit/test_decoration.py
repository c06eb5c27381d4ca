"""What of a mail is decoration, and what a document: only a picture that the mail's own HTML draws is decoration."""

import time
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.mail.content_ids import cid_of, compared
from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.decoration import MOST_SHOWN, drawn_ids
from tests.support.mail_parts import PDF, PNG, html_part, mail, part


def documents(html: str, *parts: bytes, kind: str = "related") -> list[str]:
    """Return the names of the files that are no decoration, in a mail with this HTML."""
    parsed = parse_email(mail(html_part(html), *parts, kind=kind))
    return [one.filename for one in parsed.attachments if not one.inline]


def picture(
    name: str = "logo.png", *, cid: str = "logo@x.test", disposition: str = "inline", kind: str = "image/png"
) -> bytes:
    return part(PNG, kind, name=name, cid=cid, disposition=disposition)


@pytest.mark.parametrize(
    "html",
    [
        '<img src="cid:logo@x.test">',
        "<IMG SRC='CID:logo@x.test' alt=Don't>",
        "<img alt=x src=cid:logo@x.test>",
        '<img src="cid:logo%40x.test">',
        '<img src="cid:%3Clogo@x.test%3E">',
        '<img src="cid:&lt;logo&#64;x.test&gt;">',
        '<img src="c&#105;d:logo@x.test">',
        '<img src=" cid:lo\r\ngo@x.test ">',
        '<img src="cid:LOGO@X.TEST">',
        '<img src="" srcset="https://x.test/a.png 1x, cid:logo@x.test 2x">',
        '<picture><source srcset="cid:logo@x.test"><img src="https://x.test/a.png"></picture>',
        '<table background="cid:logo@x.test"><tr><td>x',
        "<td BACKGROUND='cid:logo@x.test'>",
        '<div style="background: #fff url(cid:logo@x.test) no-repeat">',
        "<div style=\"background-image:url('cid:logo@x.test')\">",
        "<style>/* a */ .a { background: URL( \"cid:logo@x.test\" ) }</style>",
        '<input type="image" src="cid:logo@x.test">',
        '<!-- old --><img src="cid:logo@x.test">',
        '<!--[if mso]><v:rect><![endif]--><img src="cid:logo@x.test">',
        '<p title="a > b"><img src="cid:logo@x.test">',
        "<p title=it's><img src=cid:logo@x.test>",
        "<!--> <img src=cid:logo@x.test>",
        "<!DOCTYPE html><![if !vml]><img src=cid:logo@x.test><![endif]>",
        "<style><!-- .a{background:url(cid:logo@x.test)} --></style>",
    ],
)  # fmt: skip
def test_a_picture_that_the_html_draws_is_decoration(html: str) -> None:
    """By any of the ways in which mail programs write it; RFC 2392 says how a URL names a part."""
    assert documents(html, picture()) == []


@pytest.mark.parametrize(
    "html",
    [
        "<p>cid:logo@x.test",
        '<a href="cid:logo@x.test">logo</a>',
        '<attachment id="logo@x.test">',
        '<a href="x" title="<img src=cid:logo@x.test>">',
        '<!-- <img src="cid:logo@x.test"> -->',
        '<!-- never closed <img src="cid:logo@x.test">',
        '<script>document.write("<img src=cid:logo@x.test>")</script>',
        "<title><img src=cid:logo@x.test></title>",
        '<template><img src="cid:logo@x.test"></template>',
        "<style>/* url(cid:logo@x.test) */</style>",
        "<style>a { b: url(x) } /* url(cid:logo@x.test)",
        '<iframe src="cid:logo@x.test"></iframe>',
        '<object data="cid:logo@x.test"></object>',
        '<img alt="cid:logo@x.test" src="https://x.test/logo.png">',
        '<img src="https://x.test/a.png" src="cid:logo@x.test">',
        '<img src="cid:logo">',
        '<img src="cid:other@x.test">',
        '<img src="cid:logo@x.test',
        '<img data-src="cid:logo@x.test">',
        '<input src="cid:logo@x.test">',
        "&lt;img src=cid:logo@x.test&gt;",
        "<![CDATA[<img src=cid:logo@x.test>]]>",
        "<?xml <img src=cid:logo@x.test>?>",
        '<!--[if gte vml 1]><v:imagedata src="cid:logo@x.test"/><![endif]-->',
        "",
    ],
)
def test_a_picture_that_the_html_does_not_draw_is_a_document(html: str) -> None:
    """A photo that nobody sees in the text must be in the list of files; a link draws nothing."""
    assert documents(html, picture()) == ["logo.png"]


@pytest.mark.parametrize(
    ("content", "kind", "name"),
    [
        (PDF, "application/pdf", "a.pdf"),
        (PDF, "image/png", "hidden.png"),
        (b"<Invoice/>", "application/xml", "xrechnung.xml"),
        (b"<Invoice/>", "text/xml", "daticert.xml"),
        (b"a;b\r\n", "text/csv", "a.csv"),
        (b"Subject: posta certificata\r\n\r\nx", "message/rfc822", "postacert.eml"),
        (b"0\x82", "application/pkcs7-signature", "smime.p7s"),
        (b"x", "application/octet-stream", "a.bin"),
        (b"RIFF1234WAVE", "audio/wav", "a.wav"),
    ],
)
@pytest.mark.parametrize("disposition", ["inline", "attachment", "", "INLINE", "x-odd"])
@pytest.mark.parametrize("html", ['<img src="cid:logo@x.test">', "<p>x", None])
def test_what_is_no_picture_is_a_document(
    content: bytes, kind: str, name: str, disposition: str, html: str | None
) -> None:
    """Whatever it says of itself, and even if the HTML tries to draw it: the bytes decide, not the declared type."""
    fields = {"disposition": disposition} if disposition else {}
    file = part(content, kind, name=name, cid="logo@x.test", **fields)
    parsed = parse_email(mail(*([html_part(html)] if html else []), file))

    assert [(one.filename, one.inline) for one in parsed.attachments] == [(name, False)]


def test_the_disposition_attachment_wins_over_any_reference() -> None:
    """The sender attached the picture, and also drew it."""
    html = '<img src="cid:logo@x.test">'

    assert documents(html, picture(disposition="attachment")) == ["logo.png"]
    assert documents(html, picture(disposition='Attachment; filename="logo.png"')) == ["logo.png"]


def test_a_picture_by_its_bytes_is_decoration_whatever_its_type() -> None:
    """Some programs send pictures as application/octet-stream."""
    assert documents('<img src="cid:logo@x.test">', picture(kind="application/octet-stream")) == []


def test_of_equal_content_ids_one_picture_is_drawn() -> None:
    """The other would be seen nowhere; a reference in the same letters finds its part before another case does."""
    twice = [picture("first.png"), picture("second.png")]
    cases = [picture("upper.png", cid="LOGO@x.test"), picture("lower.png")]

    assert documents('<img src="cid:logo@x.test"><img src="cid:logo@x.test">', *twice) == ["second.png"]
    assert documents('<img src="cid:logo@x.test">', *cases) == ["upper.png"]
    assert documents('<img src="cid:logo@x.test"><img src="cid:LOGO@x.test">', *cases) == []


@pytest.mark.parametrize("other", ["text/x-amp-html", "text/watch-html"])
def test_html_that_is_not_shown_draws_nothing(other: str) -> None:
    """Another rendering of the text is read by no one."""
    drawing = f"Content-Type: {other}\r\n\r\n".encode() + b'<img src="cid:logo@x.test">'
    attached = html_part('<img src="cid:logo@x.test">').replace(b"; charset=utf-8", b"; name=a.html")

    parsed = parse_email(mail(html_part("<p>x"), drawing, picture(), kind="alternative"))
    with_file = parse_email(mail(html_part("<p>x"), attached, picture()))

    assert [one.inline for one in parsed.attachments] == [False]
    assert [(one.filename, one.inline) for one in with_file.attachments] == [("a.html", False), ("logo.png", False)]


def test_html_that_is_too_long_to_be_shown_draws_nothing() -> None:
    """The page shows its text; `data:` pictures do not count, as they are taken out before."""
    drawing = '<img src="cid:logo@x.test">'
    data = f'<img src="data:image/png;base64,{"A" * MOST_SHOWN}">'

    assert drawn_ids(drawing + "x" * MOST_SHOWN) == set()
    assert drawn_ids(drawing + data) == {"logo@x.test"}


IDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="<>\"'`%&()\\,"), min_size=1, max_size=30
)


@settings(deadline=None)
@given(IDS, IDS)
def test_an_id_is_found_as_it_is_and_percent_encoded_and_no_other_is(cid: str, other: str) -> None:
    """The property of RFC 2392: encoding and brackets change nothing."""
    spellings = [cid, quote(cid, safe=""), quote(cid), f"<{cid}>", "".join(f"%{ord(one):02x}" for one in cid)]
    drawn = [{compared(one) for one in drawn_ids(f'<p><img alt="a" src="cid:{spelling}">')} for spelling in spellings]

    assert drawn == [{compared(cid)}] * len(spellings)
    assert (compared(other) in drawn[0]) == (other.casefold() == cid.casefold())


@settings(deadline=None)
@given(st.text(max_size=300), st.text("<>!-='\"/ aimgsrcdystle:&;()*,", max_size=300))
def test_any_text_is_read_as_html(anything: str, markup: str) -> None:
    """Nothing raises."""
    drawn_ids(f"cid:{anything}")
    drawn_ids(f"cid:{markup}")
    cid_of(anything)


@pytest.mark.parametrize(
    "piece",
    ["<", "<!", "<a ", "<!--", "<a b='", '<a b="', "<div>", "<style>", "</style", "<a " + "b " * 9, "<img srcset='", "&#", "url(",
     "<style>/*", "<p style='url(\"cid:'>", "=data:image/png;base64,", "'data:image/png;base64,A"],
)  # fmt: skip
def test_reading_html_takes_linear_time(piece: str) -> None:
    """Four times as much takes about four times as long, so that two megabytes take a few seconds at most."""

    def seconds(times: int) -> float:
        html = "cid:" + piece * (times // len(piece))
        begun = time.process_time()
        drawn_ids(html)
        return time.process_time() - begun

    assert seconds(120_000) < 0.05 + 10 * seconds(30_000)
