"""Split mails (message/partial, RFC 2046 section 5.2.2): which part of what a mail is. Parts are never joined here."""

from dataclasses import dataclass

from mailroom.domain.parsing.limits import Reading
from mailroom.domain.parsing.structure import ContentType, Leaf
from mailroom.domain.parsing.words import header_text

TYPE = "message/partial"
_LONGEST_ID, _MOST_PARTS = 255, 100_000


@dataclass(frozen=True, slots=True)
class Partial:
    """The place of a mail among the parts of a split one; `total` is None where this part does not say it."""

    id: str | None = None
    number: int | None = None
    total: int | None = None


def read_partial(leaves: list[Leaf], *, reading: Reading) -> Partial:
    """Return the place of the mail with these leaves; without an id if it is no part of a split mail."""
    if len(leaves) != 1 or leaves[0].type.name != TYPE:
        return Partial()
    kind = leaves[0].type
    given = (header_text(kind.parameters.raw(b"id"), hint=None, reading=reading) or "").strip("<> ")[:_LONGEST_ID]
    number, total = _number(kind, b"number"), _number(kind, b"total")
    if not given or number is None:
        return Partial()
    return Partial(given, number, total if total is not None and total >= number else None)


def _number(kind: ContentType, name: bytes) -> int | None:
    """Return a parameter that is a count from 1, or None."""
    word = kind.parameters.token(name) or ""
    number = int(word) if word.isascii() and word.isdecimal() and len(word) < 9 else 0
    return number if 1 <= number <= _MOST_PARTS else None
