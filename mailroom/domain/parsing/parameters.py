"""The parameters of Content-Type and Content-Disposition: RFC 2045 section 5.1, RFC 2231, and common deviations.

Seen in real mail and read here: names with unescaped quotes, values with blanks but no quotes, missing semicolons, pieces
(`name*0`, `name*1*`) in any order, encoded words instead of RFC 2231.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from mailroom.domain.parsing.limits import Defect, Reading

_GAP = re.compile(rb"(?:[\s;,]|\([^()]*\))*")
_NAME = re.compile(rb"([^=;\s\"]{1,100})\s*=\s*")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.S)
_AFTER_QUOTED = re.compile(rb"\s*(?:;|$|\(|,?\s*[\w*-]+\s*=)")
_BARE = re.compile(rb"[^;]*")
_GLUED = re.compile(rb"\s[\w-]+(?:\*\d*\*?)?=(?![?=])")
_CHARSET = re.compile(rb"([^']{0,60})'[^']{0,60}'|\s*((?i:utf-8|iso-8859-\d{1,2}|windows-\d{4}))'")
_COMMENTS_BEFORE = re.compile(rb"\s*+(?:\((?:[^()\\]|\\.)*+\)\s*+)++", re.S)
_PIECE = re.compile(rb"([^*]+)(?:\*(\d{1,4}))?(\*)?")


@dataclass(frozen=True, slots=True)
class Value:
    """A parameter's bytes, joined and percent-decoded, and their charset by RFC 2231."""

    data: bytes
    charset: str | None = None


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of one field by lower-case name."""

    values: dict[bytes, Value] = field(default_factory=dict)

    def raw(self, name: bytes) -> bytes | None:
        """Return the bytes of a parameter, or None."""
        value = self.values.get(name)
        return value.data if value else None

    def token(self, name: bytes) -> str | None:
        """Return a parameter that is a single word, such as a charset, in lower case."""
        words = (self.raw(name) or b"").replace(b"'", b" ").replace(b'"', b" ").split()
        return words[0].decode("ascii", "ignore").lower() if words else None


def without_comments_before(value: bytes) -> bytes:
    """Return a field's value without the comments before its first word (RFC 5322 section 3.2.2)."""
    match = _COMMENTS_BEFORE.match(value) if value[:1] == b"(" else None
    return value[match.end() :] if match else value


def read_parameters(text: bytes, *, reading: Reading) -> Parameters:
    """Return the parameters in `text`, which begins after the type or the disposition."""
    if b"=" not in text:
        return Parameters()
    plain: dict[bytes, Value] = {}
    whole: dict[bytes, Value] = {}
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    padded: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for count, (name, value) in enumerate(_pairs(text)):
        if count >= reading.limits.parameters:
            reading.note(Defect.TOO_MANY_PARAMETERS)
            break
        match = _PIECE.fullmatch(name)
        if match is None or (match[2] is None and match[3] is None):
            plain.setdefault(name, Value(value))
        elif match[2] is None:
            whole.setdefault(match[1], _join({0: (value, True)}))
        else:
            # Leading zeros are no numbers of pieces (RFC 2231 section 7); such pieces are read where there is nothing else.
            kept = padded if match[2][:1] == b"0" and len(match[2]) > 1 else pieces
            kept.setdefault(match[1], {}).setdefault(int(match[2]), (value, match[3] is not None))
    return Parameters(_preferred(plain, padded | pieces, whole) if padded or pieces or whole else plain)


def _preferred(
    plain: dict[bytes, Value], pieces: dict[bytes, dict[int, tuple[bytes, bool]]], whole: dict[bytes, Value]
) -> dict[bytes, Value]:
    """Return each parameter in its best form: `name*`, else its pieces from the first on, else `name`; blank ones are none."""
    joined = {name: _join(parts) for name, parts in pieces.items() if 0 in parts or name not in plain}
    return plain | {name: value for form in (joined, whole) for name, value in form.items() if value.data.strip()}


def _pairs(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(text):
        gap = _GAP.match(text, at)
        at = gap.end() if gap else at
        match = _NAME.match(text, at)
        if match is None:
            stop = text.find(b";", at)
            at = len(text) if stop < 0 else stop + 1
            continue
        value, at = _value(text, match.end())
        yield match[1].lower(), value


def _value(text: bytes, at: int) -> tuple[bytes, int]:
    """Return the value that begins at `at`, and where the next parameter may begin."""
    quoted = _QUOTED.match(text, at)
    if quoted and _AFTER_QUOTED.match(text, quoted.end()):
        return _unescape(quoted[1]), quoted.end()
    stop = text.find(b";", quoted.end()) if quoted else -1
    if quoted and b'"' not in text[quoted.end() : stop if stop >= 0 else len(text)]:
        # Words behind a quoted value; with another quote, quotes inside it were not escaped.
        return _unescape(quoted[1]), stop if stop >= 0 else len(text)
    bare = _BARE.match(text, at)
    value = bare[0] if bare else b""
    glued = _GLUED.search(value)
    if glued:
        value = value[: glued.start()]
    return _unescape(_unquote(value.strip())), at + len(value if glued else bare[0] if bare else b"")


def _unquote(value: bytes) -> bytes:
    if value[:1] == b'"':
        value = value[1:]
        return value[:-1] if value[-1:] == b'"' else value
    return value


def _unescape(value: bytes) -> bytes:
    # Only characters that need escaping are unescaped: mailers write C:\dir\name without doubling backslashes.
    return value.replace(b'\\"', b'"').replace(b"\\\\", b"\\")


def _join(parts: dict[int, tuple[bytes, bool]]) -> Value:
    """Join the pieces of one parameter up to a gap in their numbers; the first extended one names the charset.

    RFC 2231 section 4.1. What follows a gap is left out, as Thunderbird does: it may be a name's real ending, or a trap.
    """
    charset: str | None = None
    joined: list[bytes] = []
    numbers = sorted(parts)
    for number in (one for place, one in enumerate(numbers) if one - numbers[0] == place):
        data, extended = parts[number]
        if extended and not joined and (match := _CHARSET.match(data)):
            charset = (match[1] or match[2] or b"").decode("ascii", "ignore").strip() or None
            data = data[match.end() :]
        joined.append(unquote_to_bytes(data) if extended else data)
    return Value(b"".join(joined), charset)
