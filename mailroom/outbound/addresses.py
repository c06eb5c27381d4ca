"""The addresses that a caller writes, checked before anything is kept.

Stricter than what RFC 5322 lets pass: one mailbox, the local part in ASCII as the providers here want it, the domain as
its A-label, nothing quoted, no comment, no group, no line break in any of its spellings.
"""

import re
import unicodedata

from mailroom.domain.inbound.routing import normalise, normalise_domain
from mailroom.domain.outbound.message import Party

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NAMED = re.compile(r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^"<>]*?))\s*<(?P<address>[^<>]*)>\s*')
_MOST_NAME = 200
#: Control characters, and what some software takes for the end of a line: U+2028 and U+2029.
_BREAKS = frozenset({"Cc", "Zl", "Zp", "Cs"})


def party(written: str) -> Party:
    """Return the mailbox that `ada@x.test`, `Ada <ada@x.test>` or `"Lovelace, Ada" <ada@x.test>` names.

    Raises:
        ValueError: what is wrong, as a constant sentence.
    """
    if has_break(written):
        raise ValueError("line breaks and control characters are not allowed in an address")
    match = _NAMED.fullmatch(written)
    if match is None:
        return Party(address(written))
    quoted, plain = match["quoted"], match["plain"]
    name = (re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain).strip()
    if len(name) > _MOST_NAME:
        raise ValueError(f"name too long: at most {_MOST_NAME} characters")
    return Party(address(match["address"]), name)


def address(written: str) -> str:
    """Return one bare address with its domain as A-label.

    Raises:
        ValueError: what is wrong, as a constant sentence.
    """
    local, at, domain = written.strip().rpartition("@")
    if not at or not local or not domain:
        raise ValueError("not an e-mail address")
    if not local.isascii():
        raise ValueError("the part before the @ must be ASCII")
    if not _LOCAL.fullmatch(local) or len(local) > 64:
        raise ValueError("invalid part before the @")
    try:
        name = normalise_domain(domain)
    except ValueError:
        raise ValueError("the part after the @ is not a domain name") from None
    labels = name.split(".")
    if len(labels) < 2 or labels[-1].isdecimal() or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("the part after the @ is not a domain name")
    if len(local) + 1 + len(name) > 254:
        raise ValueError("address too long: at most 254 characters")
    return f"{local}@{name}"


def sender_pattern(written: str) -> str:
    """Return an address, or all of `@domain`, as senders are compared.

    Raises:
        ValueError: it is neither.
    """
    if not written.startswith("@"):
        return normalise(address(written))
    return normalise(address(f"any{written}")).removeprefix("any")


def has_break(text: str) -> bool:
    """Return whether `text` has a control character or anything that software may take for a line break."""
    if text.isascii() and text.isprintable():
        return False
    return any(unicodedata.category(character) in _BREAKS for character in text)
