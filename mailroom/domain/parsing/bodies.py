"""The roles of a mail's parts: text, HTML, and what a person would call attachments."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from mailroom.domain.parsing.charsets import decode, decode_word, storable
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.parameters import Value, read_parameters, without_comments_before
from mailroom.domain.parsing.structure import Leaf
from mailroom.domain.parsing.words import decode_words

_WORD = re.compile(rb"[^\w]{0,20}([\w-]{1,40})(?![\w*-]*\s*=)")
#: Other renderings of the same text, useful only to the program that wrote them.
_RENDERINGS = frozenset({"text/enriched", "text/richtext", "text/x-amp-html", "text/watch-html"})


class Role(Enum):
    """The role of a part for a reader."""

    TEXT = auto()
    HTML = auto()
    ATTACHMENT = auto()
    RENDERING = auto()


@dataclass(frozen=True, slots=True)
class Description:
    """A part's description of itself: its disposition ("" if none), its name, undecoded, and its role."""

    disposition: str
    name: Value | None
    role: Role


def describe(leaf: Leaf, *, reading: Reading) -> Description:
    """Return the description of `leaf`. A text with a name, or with the disposition attachment, is a file."""
    value = without_comments_before(leaf.headers.first(b"content-disposition") or b"")
    match = _WORD.match(value)
    disposition = match[1].decode("ascii", "ignore").lower() if match else ""
    name = _name(leaf, value[match.end() :] if match else value, reading=reading)
    return Description(disposition, name, _role(leaf, disposition, named=name is not None))


def name_text(value: Value, *, hint: str | None, reading: Reading) -> str:
    """Return a part's decoded name, in any of the encodings in use."""
    data = value.data
    if len(data) > reading.limits.raw_name_bytes:
        reading.note(Defect.NAME_TOO_LONG, size=len(data) - reading.limits.raw_name_bytes)
        data = data[: reading.limits.raw_name_bytes]
    if value.charset and b"=?" not in data:
        return storable(decode_word(data, value.charset, hint=hint))
    return decode_words(data, hint=hint, reading=reading)


def body_text(leaf: Leaf, data: bytes, *, reading: Reading) -> str:
    """Return the text of a body part, with the lines of format=flowed (RFC 3676) rejoined."""
    parameters = leaf.type.parameters
    text = decode(data, parameters.token(b"charset"), reading=reading, html=leaf.type.name == "text/html")
    if (
        parameters.token(b"format") == "flowed"
        and leaf.type.name == "text/plain"
        and reading.remaining.lines.take(lines := text.count("\n")) == lines
    ):
        return _unflow(text, glue="" if parameters.token(b"delsp") == "yes" else " ")
    return text


def _role(leaf: Leaf, disposition: str, *, named: bool) -> Role:
    if (named and not (disposition != "attachment" and _is_rendered(leaf))) or (
        disposition == "attachment" and leaf.around
    ):
        return Role.ATTACHMENT
    if leaf.type.name in _RENDERINGS:
        return Role.RENDERING if leaf.around == "multipart/alternative" else Role.TEXT
    return {"text/plain": Role.TEXT, "text/html": Role.HTML}.get(leaf.type.name, Role.ATTACHMENT)


def _is_rendered(leaf: Leaf) -> bool:
    """Whether a named part is a rendering of the text, which mail programs show: an alternative, or the root of HTML."""
    if leaf.around == "multipart/alternative":
        return leaf.type.name in ("text/plain", "text/html")
    return leaf.around == "multipart/related" and leaf.first and leaf.type.name == "text/html"


def _name(leaf: Leaf, parameters: bytes, *, reading: Reading) -> Value | None:
    """Return the part's name: from Content-Disposition, whose `parameters` are given, else from Content-Type."""
    given = read_parameters(parameters, reading=reading).values
    for value in (given.get(b"filename"), given.get(b"name"), leaf.type.parameters.values.get(b"name")):
        if value and value.data.strip():
            return value
    return None


def _unflow(text: str, *, glue: str) -> str:
    pieces: list[str] = []
    open_depth: int | None = None
    for line in text.split("\n"):
        rest = line.rstrip("\r").lstrip(">")
        depth = len(line.rstrip("\r")) - len(rest)
        rest = rest.removeprefix(" ")
        flows = rest.endswith(" ") and rest != "-- "
        if open_depth != depth or rest == "-- ":
            pieces.append("\n" + (">" * depth + " " if depth else ""))
        pieces.append(rest[:-1] + glue if flows else rest)
        open_depth = depth if flows else None
    return "".join(pieces)[1:]
