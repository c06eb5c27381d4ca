"""The styles of a letter: whatever a sender writes, only allowed properties with harmless values come out."""

import re
from pathlib import Path

import pytest
import tinycss2
from hypothesis import given
from hypothesis import strategies as st

from mailroom.api.sanitising import SafeHtml, sanitise, sanitise_for_frame
from mailroom.domain.mail.letter_styles import _RULES, MAX_STYLE, page_style, safe_style
from mailroom.domain.parsing import parse_email

#: What no style of ours may contain, in any spelling: what comes out has no escapes and no comments, so this is enough.
HARMFUL = re.compile(
    r"url|expression|position\s*:|@|\\|/\*|behavior|-moz-binding|var\(|calc\(|attr\(|env\(|image|gradient|!|[{}<>&\"]"
    r"|opacity|visibility|overflow(?!-wrap)|transform\s*:|z-index|v[hw]\b|margin[a-z-]*:[^;]*-|padding[a-z-]*:[^;]*-",
    re.I,
)
#: One thing that `HARMFUL` would mistake.
TEXT_TRANSFORM = re.compile(r"text-transform: [a-z]+")

NAMES = st.sampled_from(
    [
        *_RULES,
        "position",
        "behavior",
        "-moz-binding",
        "background",
        "background-image",
        "opacity",
        "visibility",
        "po\\73ition",
        "posi/**/tion",
        "\\000070osition",
        "MARGIN-TOP",
        "z-index",
        "overflow",
        "content",
        "filter",
        "--x",
        "inset",
    ]
)
VALUES = st.sampled_from(
    ["url(http://x.test)", "\\75rl(x)", "u\\72 l(x)", "URL( 'x' )", "expression(alert(1))", "exp/**/ression(x)", "-5px", "-1e9px", "1e9px", "999999px", "red", "#123456", "rgba(0,0,0,.01)", "transparent", "10px", "0", "50%", "100vh", "calc(1px - 9999px)", "var(--x)", "fixed", "absolute", "none", "auto", "inherit", "image-set('x' 1x)", "linear-gradient(red,blue)", "'\\3c script>'", "\"a'b\"", "a;position:fixed", "!important", "'};body{display:none}'", "attr(href)", "env(x)", "NaNpx", "1px solid red", '12px/1 "A"', "Arial, sans-serif", "\\", "/*", "*/", "(", "[", "{"]
)  # fmt: skip
DECLARATIONS = st.builds("{}:{}".format, NAMES, st.lists(VALUES, min_size=1, max_size=4).map(" ".join))
STYLES = st.one_of(
    st.lists(st.one_of(DECLARATIONS, st.text(max_size=30)), max_size=8).map(";".join), st.text(max_size=200)
)


def harmless(css: str) -> None:
    assert not HARMFUL.search(TEXT_TRANSFORM.sub("", css)), css
    for node in tinycss2.parse_blocks_contents(css, skip_whitespace=True):
        assert node.type == "declaration"
        assert node.name in _RULES


@given(STYLES)
def test_nothing_harmful_comes_out_of_any_style(written: str) -> None:
    """No address, function, position or negative margin, however it is spelt; and what comes out is itself let through."""
    for read in (safe_style, page_style):
        css = read(written).css

        harmless(css)
        assert read(css).css == css


@given(STYLES, STYLES)
def test_nothing_harmful_comes_out_of_html(inline: str, sheet: str) -> None:
    """The same through the sanitiser, which quotes attributes; the style of the body too."""
    quoted = inline.replace("&", "&amp;").replace('"', "&quot;")
    safe = sanitise_for_frame(f'<body style="{quoted}"><p style="{quoted}">x</p>', {})

    assert safe is not None
    harmless(safe.page)
    for css in re.findall(r'style="([^"]*)"', safe.html):
        harmless(css)


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("color:red; margin:-3px; padding:3px 4px", "color: #ff0000; padding: 3px 4px"),
        ("background:#fff url(https://t.test/x) no-repeat", "background-color: #ffffff"),
        ("BACK\\67round:\\75rl(https://t.test)", ""),
        ("posi/**/tion:fixed;top:0", ""),
        ("width:expression(alert(1)); height:1e9px", ""),
        ("font:italic bold 12px/30px Georgia, 'Times New Roman', serif", "font: italic bold 12px/30px Georgia, 'Times New Roman', serif"),
        ("font-family:'};*{x:y'", ""),
        ("color:transparent; color:rgba(1,2,3,.01)", ""),
        ("color:red;}body{display:none", "color: #ff0000"),
        ("@import url(x); color:red", "color: #ff0000"),
        ("padding-left:9px; padding:1px", "padding-left: 9px; padding: 1px"),
        ("padding:1px !important; padding-left:9px; padding:2px", "padding-left: 9px; padding: 1px"),
        ("height:100vh; width:calc(100% - 9px); color:var(--x)", ""),
        ("opacity:0; visibility:hidden; max-height:0; overflow:hidden; text-indent:-999px", ""),
        ("margin:0 auto; border:0; font-size:0; line-height:1.4", "margin: 0 auto; border: 0; font-size: 0; line-height: 1.4"),
        ("color:red" + " " * MAX_STYLE, ""),
    ],
)  # fmt: skip
def test_style_is_written_again(written: str, kept: str) -> None:
    """What mail programs write is kept; the rest of the same style stays."""
    assert safe_style(written).css == kept


def test_deep_and_long_styles_are_read_quickly_or_not_at_all() -> None:
    """No style recurses."""
    for piece in ("(", "{", "[", "\\", "/*", "'", "a:b;", "rgb("):
        harmless(safe_style(piece * (MAX_STYLE // len(piece))).css)


def framed(html: str) -> SafeHtml:
    safe = sanitise_for_frame(html, {})
    assert safe is not None
    return safe


def test_style_sheet_is_written_into_the_elements() -> None:
    """By the selectors' order and importance; rules for a hover, a screen or another file are left out, and no sheet stays."""
    safe = framed(
        "<style>@import url(https://t.test/x.css); td.a{color:red;background:url(https://t.test)} #b{padding:4px}"
        "p{margin:-9px} a:hover{color:blue} @media (max-width:9px){.a{color:green}} .a{font-weight:bold!important}</style>"
        '<table><tr><td class="a" style="font-weight:normal">x</td></tr></table><p id="b">y</p>'
    )

    assert '<td style="color: #ff0000; font-weight: bold">x</td>' in safe.html
    assert '<p style="padding: 4px">y</p>' in safe.html
    assert "t.test" not in safe.html
    assert "<style" not in safe.html


def test_letter_says_whether_it_has_colours_and_hides_something() -> None:
    """A letter with colours is shown on white also in the dark; what is hidden can be read all the same."""
    assert not framed("<p><b>Hello</b></p><span style='display:none;color:red'>x</span>").coloured
    assert framed("<span style='display:none'>x</span>").hidden == 1
    coloured = [
        "<p style='color:red'>",
        "<td bgcolor=red>",
        "<font color=red>",
        "<body bgcolor=red>",
        "<body text=red>",
    ]
    assert all(framed(f"<table><tr>{one}x").coloured for one in [*coloured[2:]])
    assert framed(coloured[0]).coloured
    assert framed(f"<table><tr>{coloured[1]}x").coloured
    assert framed("<style>body{background:#eee}</style><p>x").page == "background-color: #eeeeee"


def test_body_may_have_colours_and_fonts_alone() -> None:
    """It is the page of the frame; a width or display of it would move or hide the letter."""
    safe = framed("<body style='display:none;width:1px;margin:400px;color:red;font-family:Arial'><p>x")

    assert safe.page == "color: #ff0000; font-family: Arial"


def test_html_for_programs_has_no_styles() -> None:
    """As in earlier releases: what shows it may have another policy."""
    safe = sanitise('<style>p{color:red}</style><p style="color:red">x</p><font color="red">y</font>')

    assert safe is not None
    assert safe.html == "<p>x</p><font>y</font>"


def test_style_sheet_that_cannot_be_applied_costs_its_styles_alone() -> None:
    """The letter is shown without it."""
    many = (
        "<style>"
        + "".join(f".c{n} * * *{{color:red}}" for n in range(3000))
        + "</style>"
        + "<b>" * 500
        + "<p class=c1>x</p>" * 3000
    )

    assert "x</p>" in framed(many).html


MAILS = sorted((Path(__file__).parents[1] / "data").rglob("*.eml"))


def test_letters_of_real_mails_can_still_be_read() -> None:
    """No word of the corpus' HTML is lost by its styles, and nothing harmful is left."""
    read = 0
    for path in MAILS:
        html = parse_email(path.read_bytes()).html
        if not html:
            continue
        plain, styled = sanitise(html), sanitise_for_frame(html, {})
        assert (plain is None) == (styled is None), path.name
        if plain is None or styled is None:
            continue
        read += 1
        assert words(styled.html) >= words(plain.html), path.name
        for css in re.findall(r'style="([^"]*)"', styled.html):
            harmless(css)
    assert read


def words(html: str) -> set[str]:
    """Return the words of HTML without its tags."""
    return set(re.findall(r"\w{3,}", re.sub(r"<[^>]*>", " ", html)))
