"""The styles that a letter may have: an allow-list of properties, and for each of what its value may consist.

A declaration is read by a CSS parser, so an escape (`\\75rl(`), a comment or a capital hides nothing, and it is written
again from what was read: nothing of the sender's spelling comes through. One that has anything else than allowed words,
colours and lengths in bounds is dropped whole. So there is no url(), no function but those of colours, no position, no
negative margin, and no size that is measured by the frame, whose height follows its content.

`display: none` is kept, for letters hide previews and their second layout by it, and reported; hiding by opacity,
visibility or a transparent colour is not: that text is shown.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Any

import tinycss2
from tinycss2.ast import Declaration, DimensionToken, HashToken, IdentToken, NumberToken, PercentageToken, StringToken
from tinycss2.color3 import RGBA, parse_color

#: A longer style is dropped whole.
MAX_STYLE = 4_000

_PX = {
    "px": 1.0,
    "pt": 4 / 3,
    "pc": 16.0,
    "em": 16.0,
    "rem": 16.0,
    "ex": 8.0,
    "ch": 8.0,
    "in": 96.0,
    "cm": 37.8,
    "mm": 3.78,
}
_FAMILY = re.compile(r"[A-Za-z0-9 _.-]{1,60}")
_WORD = re.compile(r"[a-z][a-z-]{0,30}")


@dataclass(frozen=True, slots=True)
class SafeStyle:
    """What is left of a style; whether it sets the colour of text or background; whether it hides its element."""

    css: str = ""
    coloured: bool = False
    hides: bool = False


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a value may consist of: words; one range of lengths in pixels, of percentages, of plain numbers; colours; families.

    A value has at most `most` parts.
    """

    words: frozenset[str] = frozenset()
    px: tuple[float, float] | None = None
    percent: tuple[float, float] | None = None
    number: tuple[float, float] | None = None
    colour: bool = False
    family: bool = False
    most: int = 1


def _rule(words: str = "", **values: Any) -> _Rule:
    return _Rule(frozenset(words.split()), **values)


_LINES = "none hidden solid dashed dotted double groove ridge inset outset"
_SIZES = "xx-small x-small small medium large x-large xx-large smaller larger"
_WEIGHTS = "normal bold bolder lighter"
_MARKERS = "none disc circle square decimal lower-alpha upper-alpha lower-roman upper-roman lower-latin upper-latin"
_FONT_PX, _FONT_PERCENT = (0, 96), (0, 600)
_LINE_PX = (0, 200)
_WIDTH = _rule("auto none", px=(1, 3000), percent=(1, 100))
_HEIGHT = _rule("auto", px=(1, 1500))
_SPACE: dict[str, Any] = {"px": (0, 400), "percent": (0, 50)}
_MARGIN = "auto"
_BORDER = _rule(f"{_LINES} thin medium thick", px=(0, 50), colour=True, most=3)
_RADIUS: dict[str, Any] = {"px": (0, 400), "percent": (0, 50)}

_RULES: dict[str, _Rule] = {
    "color": _rule(colour=True),
    "background-color": _rule(colour=True),
    "font": _rule(
        f"italic oblique small-caps {_WEIGHTS} {_SIZES}",
        px=_FONT_PX,
        percent=_FONT_PERCENT,
        number=(0, 900),
        family=True,
        most=24,
    ),
    "font-family": _rule(family=True, most=20),
    "font-size": _rule(_SIZES, px=_FONT_PX, percent=_FONT_PERCENT),
    "font-style": _rule("normal italic oblique"),
    "font-variant": _rule("normal small-caps"),
    "font-weight": _rule(_WEIGHTS, number=(100, 900)),
    "line-height": _rule("normal", px=_LINE_PX, percent=(0, 400), number=(0, 4)),
    "letter-spacing": _rule("normal", px=(-2, 30)),
    "word-spacing": _rule("normal", px=(0, 30)),
    "text-align": _rule("left right center justify start end"),
    "text-decoration": _rule(
        "none underline overline line-through solid double dotted dashed wavy", colour=True, most=4
    ),
    "text-transform": _rule("none uppercase lowercase capitalize"),
    "text-indent": _rule(px=(0, 200), percent=(0, 50)),
    "vertical-align": _rule("baseline top middle bottom text-top text-bottom sub super"),
    "white-space": _rule("normal nowrap pre pre-wrap pre-line"),
    "word-break": _rule("normal break-all keep-all break-word"),
    "word-wrap": _rule("normal break-word anywhere"),
    "overflow-wrap": _rule("normal break-word anywhere"),
    "direction": _rule("ltr rtl"),
    "display": _rule(
        "none block inline inline-block table inline-table table-row table-cell table-row-group table-header-group "
        "table-footer-group table-column table-column-group table-caption list-item"
    ),
    "float": _rule("left right none"),
    "clear": _rule("left right both none"),
    "box-sizing": _rule("border-box content-box"),
    "width": _WIDTH,
    "min-width": _WIDTH,
    "max-width": _WIDTH,
    "height": _HEIGHT,
    "min-height": _HEIGHT,
    "margin": _rule(_MARGIN, **_SPACE, most=4),
    "padding": _rule(**_SPACE, most=4),
    "border": _BORDER,
    "border-width": _rule("thin medium thick", px=(0, 50), most=4),
    "border-style": _rule(_LINES, most=4),
    "border-color": _rule(colour=True, most=4),
    "border-collapse": _rule("collapse separate"),
    "border-spacing": _rule(px=(0, 100), most=2),
    "border-radius": _rule(**_RADIUS, most=4),
    "table-layout": _rule("auto fixed"),
    "caption-side": _rule("top bottom"),
    "list-style": _rule(_MARKERS, most=1),
    "list-style-type": _rule(_MARKERS),
}
for _side in ("top", "right", "bottom", "left"):
    _RULES[f"margin-{_side}"] = _rule(_MARGIN, **_SPACE)
    _RULES[f"padding-{_side}"] = _rule(**_SPACE)
    _RULES[f"border-{_side}"] = _BORDER
    _RULES[f"border-{_side}-width"] = _rule("thin medium thick", px=(0, 50))
    _RULES[f"border-{_side}-style"] = _rule(_LINES)
    _RULES[f"border-{_side}-color"] = _rule(colour=True)
for _corner in ("top-left", "top-right", "bottom-left", "bottom-right"):
    _RULES[f"border-{_corner}-radius"] = _rule(**_RADIUS)

#: What the page itself, the letter's body, may set: its colours and fonts.
_OF_PAGE = frozenset({"color", "background-color", "font", "font-family", "font-size", "line-height", "text-align"})
_COLOURS = frozenset({"color", "background-color"})


def safe_style(written: str) -> SafeStyle:
    """Return what a letter's element may have of the style `written`."""
    return _style_of(_declarations(written)) if len(written) <= MAX_STYLE else SafeStyle()


def page_style(written: str) -> SafeStyle:
    """Return what the letter's page may have of its body's style."""
    return _style_of(one for one in _declarations(written[:MAX_STYLE]) if one[0] in _OF_PAGE)


def _style_of(declarations: Iterable[tuple[str, str]]) -> SafeStyle:
    kept: dict[str, str] = {}
    for name, value in declarations:
        # The last of equal names counts, at its place: `padding` after `padding-left` sets all four.
        kept.pop(name, None)
        kept[name] = value
    css = "; ".join(f"{name}: {value}" for name, value in kept.items())
    hides = kept.get("display") == "none"
    return SafeStyle(css, not hides and not _COLOURS.isdisjoint(kept), hides)


def _declarations(written: str) -> Iterator[tuple[str, str]]:
    """Yield name and value of each declaration that is kept, as they are written again; the important ones last."""
    nodes = tinycss2.parse_blocks_contents(written, skip_comments=True, skip_whitespace=True)
    declared = [node for node in nodes if isinstance(node, Declaration)]
    for node in sorted(declared, key=lambda node: node.important):
        name = node.lower_name
        if name == "background":
            # Of a shorthand only the colour.
            colours = [colour for token in node.value if (colour := _colour(token))]
            if len(colours) == 1:
                yield "background-color", colours[0]
        elif rule := _RULES.get(name):
            value = _value(node.value, rule, opaque=name == "color")
            if value:
                yield name, value


def _value(tokens: Iterable[object], rule: _Rule, *, opaque: bool) -> str | None:
    """Return the value as it is written again; None if a part of it is not allowed."""
    written: list[str] = []
    for token in tokens:
        kind = getattr(token, "type", "")
        if kind in ("whitespace", "comment"):
            continue
        if kind == "literal" and rule.family and getattr(token, "value", "") in (",", "/"):
            part: str | None = token.value  # type: ignore[attr-defined]
        else:
            part = next((found for read in _READERS if (found := read(token, rule))), None)
            if part is None and rule.colour:
                part = _colour(token, opaque=opaque)
        if part is None or len(written) >= rule.most:
            return None
        written.append(part)
    return " ".join(written).replace(" , ", ", ").replace(" / ", "/") or None


def _word(token: object, rule: _Rule) -> str | None:
    if not isinstance(token, IdentToken):
        return None
    if token.lower_value in rule.words:
        return str(token.lower_value)
    return str(token.value) if rule.family and _FAMILY.fullmatch(token.value) else None


def _length(token: object, rule: _Rule) -> str | None:
    if isinstance(token, DimensionToken) and rule.px:
        pixels = token.value * _PX.get(token.lower_unit, float("nan"))
        return f"{_number(token.value)}{token.lower_unit}" if _within(pixels, rule.px) else None
    if isinstance(token, PercentageToken) and rule.percent:
        return f"{_number(token.value)}%" if _within(token.value, rule.percent) else None
    return None


def _plain_number(token: object, rule: _Rule) -> str | None:
    if not isinstance(token, NumberToken):
        return None
    if rule.number and _within(token.value, rule.number):
        return _number(token.value)
    return "0" if token.value == 0 and rule.px and rule.px[0] <= 0 else None


def _family(token: object, rule: _Rule) -> str | None:
    if isinstance(token, StringToken) and rule.family and _FAMILY.fullmatch(token.value):
        return f"'{token.value}'"
    return None


_READERS: tuple[Callable[[object, _Rule], str | None], ...] = (_word, _length, _plain_number, _family)


def _colour(token: object, *, opaque: bool = False) -> str | None:
    """Return a colour as numbers; `opaque` without its transparency."""
    if isinstance(token, HashToken) and len(token.value) not in (3, 6):
        return None
    if isinstance(token, IdentToken) and not _WORD.fullmatch(token.lower_value):
        return None
    read = parse_color(token)
    if not isinstance(read, RGBA) or not all(map(isfinite, read)):
        return None
    red, green, blue = (round(255 * min(1.0, max(0.0, part))) for part in read[:3])
    alpha = min(1.0, max(0.0, read.alpha))
    if alpha == 1:
        return f"#{red:02x}{green:02x}{blue:02x}"
    # A colour of text that cannot be seen is none.
    return None if opaque else f"rgba({red}, {green}, {blue}, {_number(alpha)})"


def _within(value: float, bounds: tuple[float, float]) -> bool:
    return isfinite(value) and bounds[0] <= value <= bounds[1]


def _number(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") or "0"
