"""The addresses of From, To and Cc: mailboxes, groups and malformed forms of them (RFC 5322 section 3.4).

The structure is read before encoded words are decoded, so a comma or an angle bracket inside one does not change an
address. One pass over the bytes, with a counter for nested comments instead of recursion.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.words import decode_words, header_text

_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|<[^<>]*>|=\?[^?\s]{1,80}\?[bBqQ]\?[^?\s]*\?=|[^"<>(),:;=]+|.', re.S)
_PLAIN_TOKEN = re.compile(rb"<[^<>]*>|[^<>,;]+|.", re.S)
_COMMENT = re.compile(rb"\\.|[()]|[^()\\]+|\\", re.S)
#: Python's `email` wrote the comma between two addresses so, where it folded a list there (CVE-2025-1795).
_ENCODED_COMMA = re.compile(rb"=\?[^?]{1,80}\?(?:[qQ]\?(?:=2[cC]|,)_?|[bB]\?LA==|[bB]\?LCA=)\?=")
_SOURCE_ROUTE = re.compile(rb"\A\s*@[^:\"\[<>]*:")
_INNER_COMMENT = re.compile(rb"\([^()]*\)")
_GAP = re.compile(r" \. ?")
_SPECIAL = re.compile(r'[()<>\[\]:;@\\,"]')
_ADDRESS = re.compile(r"(?:\"(?:[^\"\\]|\\.){1,100}\"|[^\s<>\"]{1,300})@[^\s<>\"]+")
#: Text in a name that a person would read as an address, with a dot in its domain.
_AT_DOMAIN = re.compile(r"\s{0,2}@\s{0,2}(?:[\w-]{1,63}\.){1,8}[\w-]{1,63}")
_LOCAL_PART = re.compile(r"[^\s<>()\[\]\",;:@]{1,64}\Z")
_QUOTED = re.compile(r'"[^"]*"')
_QUOTED_LOCAL_PART = re.compile(rb'"[ \t]{0,5}@')
#: A quoted local part, whose blanks belong to the address; or other blanks.
_QUOTED_OR_BLANKS = re.compile(r'("(?:[^"\\]|\\.){0,100}+")(?=\s{0,5}@)|\s+', re.DOTALL)


@dataclass(slots=True)
class _Mailbox:
    words: list[bytes] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    route: bytes | None = None
    has_address: bool = False
    """Whether one of its words has an at sign; asked for each colon of a long header."""


def read_addresses(values: list[bytes], *, hint: str | None, reading: Reading) -> tuple[str, ...]:
    """Return each mailbox in `values` as `Name <address>` or `address`, decoded."""
    addresses: list[str] = []
    beyond = 0
    for value in values:
        for mailbox in _mailboxes(value):
            if len(addresses) >= reading.limits.addresses:
                beyond += bool(mailbox.words or mailbox.route)
                continue
            shown = _show(mailbox, hint=hint, reading=reading)
            if shown:
                addresses.append(shown)
    if beyond:
        reading.note(Defect.TOO_MANY_ADDRESSES, count=beyond)
    return tuple(addresses)


def names_several(mailbox: str) -> bool:
    """Return whether a mailbox, as returned by `read_addresses`, names a second address: in its name, or after the first.

    Mail programs often show the name alone: `"ceo@bank.example" <x@evil.example>`.
    """
    name, _, address = mailbox[:-1].rpartition(" <") if mailbox.endswith(">") else ("", "", mailbox)
    quoted = " ".join(_QUOTED.findall(address))
    if _QUOTED.sub("", address).count("@") > 1 or any(_addresses_in(quoted)):
        return True
    return any(_bare(one) != _bare(address) for one in _addresses_in(name))


def _addresses_in(name: str) -> Iterator[str]:
    if name.isascii() and "@" not in name:
        return
    # Compatibility forms of letters, at signs and full stops look the same, and format characters are invisible.
    seen = "".join(char for char in unicodedata.normalize("NFKC", name) if unicodedata.category(char) != "Cf")
    seen = seen.replace("\u3002", ".")
    for domain in _AT_DOMAIN.finditer(seen):
        at = domain.start()
        if local := _LOCAL_PART.search(seen, max(0, at - 64), at):
            yield local[0] + domain[0]


def _bare(address: str) -> str:
    return "".join(address.split()).strip("'`\"‘’‚“”„«»*_.-").casefold()


def _mailboxes(value: bytes) -> Iterator[_Mailbox]:
    current = _Mailbox()
    at, tokens = 0, _TOKEN
    while match := tokens.match(value, at):
        token, at = match[0], match.end()
        if token == b"(" and tokens is _TOKEN:
            comment, at = _comment(value, at)
            if comment is None:
                tokens = _PLAIN_TOKEN
                current.words.append(token)
            else:
                current.comments.append(comment)
        elif token == b'"' and tokens is _TOKEN:
            # An unclosed quote or comment is searched for once; the rest is read without either.
            tokens = _PLAIN_TOKEN
        elif token in (b",", b";") or (
            token[:2] == b"=?" and _ENCODED_COMMA.fullmatch(token) and (current.route or current.has_address)
        ):
            yield current
            current = _Mailbox()
        elif token == b":" and current.route is None and current.has_address:
            current.words.append(token)  # in an address literal (`[IPv6:::1]`), or between two addresses
        elif token == b":":
            current = _group(current)
        elif token[:1] == b"<" and len(token) > 1 and _is_route(token, current.route):
            current.words += [b" ", current.route] if current.route else []
            current.route = _SOURCE_ROUTE.sub(b"", token[1:-1])
        elif value[at - 1 : at + 1] == b"<<" or value[at - 2 : at] == b">>":
            continue  # brackets in brackets
        else:
            # Quotes around a local part belong to the address; around a name they are only punctuation.
            current.words.append(token if value[at : at + 1] == b"@" else _unquote(token))
            current.has_address |= b"@" in token
    yield current


def _is_route(token: bytes, found: bytes | None) -> bool:
    """Whether brackets contain the mailbox's address: the first ones, or the first with an at sign (`Ann <IT> <a@x.test>`)."""
    return found is None or (b"@" not in found and b"@" in token)


def _group(current: _Mailbox) -> _Mailbox:
    # The text before a colon names a group, unless it already contains an address: then the colon is a typing error.
    return current if current.route or current.has_address else _Mailbox()


def _comment(value: bytes, at: int) -> tuple[bytes | None, int]:
    """Return the text of the comment that opened before `at`, and its end; None if it is not closed."""
    start, depth = at, 1
    while match := _COMMENT.match(value, at):
        at = match.end()
        depth += {b"(": 1, b")": -1}.get(match[0], 0)
        if depth == 0:
            return value[start : at - 1], at
    return None, start


def _show(mailbox: _Mailbox, *, hint: str | None, reading: Reading) -> str:
    """Return a mailbox for display, its name quoted if it could be misread."""
    words = b"".join(mailbox.words).strip()
    name = _text(words, hint=hint, reading=reading)
    if mailbox.route is not None:
        address = _text(_INNER_COMMENT.sub(b"", mailbox.route), hint=hint, reading=reading)
        if "@" in address and ('"' in address or " " in address):
            address = _joined(address, "")
        # A colon within quotes, or of an IPv6 address, is no route's.
        before, _, address = ("", "", address) if address[:1] == '"' or "@[" in address else _cut_route(address)
        # A source route is not an address; other text with an at sign before a colon is.
        if "@" in before and not before.startswith("@"):
            name = f"{name} <{before}>".strip()
        return _named(name or _comments(mailbox, hint=hint, reading=reading), address)
    if "@" in name:
        name = _without_gaps(name)
        inner = _ADDRESS.search(name)
        if inner and inner[0] != name:
            rest = (name[: inner.start()] + name[inner.end() :]).replace("<", "").replace(">", "")
            return _named(rest.strip(' "'), inner[0])
        return _named(_comments(mailbox, hint=hint, reading=reading), name)
    return name


def _cut_route(address: str) -> tuple[str, str, str]:
    return address.rpartition(":") if "@" in address else ("", "", address)


def _text(value: bytes, *, hint: str | None, reading: Reading) -> str:
    """Return decoded text on one line; each blank of a quoted local part is kept."""
    if b'"' not in value or not _QUOTED_LOCAL_PART.search(value):
        return header_text(value, hint=hint, reading=reading) or ""
    return _joined(decode_words(value, hint=hint, reading=reading), " ").strip()


def _joined(text: str, blank: str) -> str:
    """Return `text` with each run of blanks as `blank`; those of a quoted local part are kept."""
    return _QUOTED_OR_BLANKS.sub(lambda found: re.sub(r"\s", " ", found[1]) if found[1] else blank, text)


def _without_gaps(written: str) -> str:
    """Remove the blank around the at sign and before dots of the domain (RFC 5322 section 4.4); each is a single one."""
    before, _, domain = written.partition("@")
    return f"{before.rstrip()}@{_GAP.sub('.', domain.lstrip())}"


def _comments(mailbox: _Mailbox, *, hint: str | None, reading: Reading) -> str:
    return header_text(b" ".join(mailbox.comments), hint=hint, reading=reading) or ""


def _unquote(word: bytes) -> bytes:
    if word[:1] == b'"' and len(word) > 1:
        return re.sub(rb"\\(.)", rb"\1", word[1:-1], flags=re.S) if b"\\" in word else word[1:-1]
    return word


def _named(name: str, address: str) -> str:
    if not name or name == address:
        return address
    if _SPECIAL.search(name):
        name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{name} <{address}>" if address else name
