"""Where a damaged header block ends: whether lines after a blank line, or after a line that is no field, still belong to it.

RFC 5322 section 4.2 counts a line of white space inside a field as folding, and real mail has it between fields too, with
lines that are no fields. The lines up to the next empty line decide: known fields among them that the block does not have
yet are its own. A body that quotes a header ("From:", "Sent:", "To:") repeats the fields of the block, or has text between.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from mailroom.domain.parsing.limits import Reading

_NAME = re.compile(rb"([A-Za-z0-9][\w.-]{0,997}+)[ \t]*+:", re.A)
#: Fields that no person writes into a text.
_CERTAIN = re.compile(
    rb"content-(?:type|transfer-encoding|disposition|id|description|location|language|base|md5|class|length|duration|features)"
    rb"|mime-version|message-id|received(?:-spf)?|return-path|delivered-to|envelope-to|dkim-signature|domainkey-signature"
    rb"|authentication-results|arc-[\w-]+|list-[\w-]+|resent-[\w-]+|in-reply-to|thread-(?:topic|index)|auto-submitted"
    rb"|x-[\w.-]+|user-agent|disposition-notification-to|return-receipt-to|feedback-id|autocrypt|errors-to|apparently-to"
    rb"|original-message-id|original-envelope-id|accept-language|precedence|references"
)
#: Fields that a text may quote.
_QUOTABLE = frozenset(
    {b"from", b"to", b"cc", b"bcc", b"subject", b"date", b"sender", b"comments", b"keywords", b"priority", b"sensitivity",
     b"reply-to", b"importance", b"organization", b"organisation", b"status", b"mailer", b"encoding", b"lines", b"newsgroups", b"path", b"xref"}
)  # fmt: skip
_REPEATED = re.compile(
    rb"received(?:-spf)?|x-.*|arc-.*|resent-.*|dkim-signature|authentication-results|comments|keywords|return-path"
    rb"|delivered-to|envelope-to|list-.*"
)
_PART_FIELDS = (b"content-", b"mime-version", b"x-")
_NEW_BLOCK = frozenset({b"final-recipient", b"original-recipient"})
_MOST_LINES = 2_000
_MOST_RUBBISH = 20
_BLANK = b" \t\r\n\x00\x0b\x0c"


@dataclass(slots=True)
class _Tally:
    """Counts of the lines read so far: new quotable fields, repeated fields, and lines that are no fields."""

    fresh: int = 0
    repeated: int = 0
    rubbish: int = 0
    quotes: bool = False
    """Whether they begin with a quotable field that the block has: a quoted header."""


def is_blank(line: bytes) -> bool:
    """Whether a line has nothing but white space and NUL."""
    return not line.strip(_BLANK)


def is_delimiter(line: bytes, content_type: bytes) -> bool:
    """Whether a line among fields is a delimiter: of the boundary in `content_type`, or of any if a multipart names none."""
    if line[:2] != b"--" or not line[2:].strip() or b"multipart" not in content_type.lower():
        return False
    return b"boundary" not in content_type.lower() or line[2:].rstrip().removesuffix(b"--") in content_type


def last_field(
    raw: bytes, start: int, end: int, *, seen: Collection[bytes], content_type: bytes, part: bool, reading: Reading
) -> int:
    """Return where the last field of the block begins, among the lines from `start` to the empty line; -1 if none is there.

    `seen` has the lower-case names of the block so far, and `content_type` its type. A `part` has only fields of parts, and
    one that is a message has only Content fields: all others are fields of the message.
    """
    message = part and content_type.lstrip().lower().startswith((b"message/", b"text/rfc822-headers"))
    names, tally, last = set(seen), _Tally(), -1
    for _ in range(_MOST_LINES):
        stop = raw.find(b"\n", start, end)
        after = end if stop < 0 else stop + 1
        line = raw[start:after].rstrip(b"\r\n")
        if not line or not reading.remaining.header_lines.take():
            break
        match = _NAME.match(line.removeprefix(b"\xef\xbb\xbf"))
        if match:
            name = match[1].lower()
            if name in _NEW_BLOCK or (message and (name in names or not name.startswith(b"content-"))):
                break
            if _belongs(name, names, tally, part=part):
                last = start
            names.add(name)
        elif line[:1] not in b" \t" and not is_blank(line):
            tally.rubbish += 1
            if tally.rubbish > _MOST_RUBBISH or (line[:2] == b"--" and b":" not in line):
                break
        start = after
    return last


def _belongs(name: bytes, names: Collection[bytes], tally: _Tally, *, part: bool) -> bool:
    """Count a field, and return whether the block extends at least to it."""
    if part and not name.startswith(_PART_FIELDS):
        return False
    if name in names and not _REPEATED.fullmatch(name):
        tally.quotes = tally.quotes or (name in _QUOTABLE and not tally.fresh)
        tally.repeated += 1
        return False
    if _CERTAIN.fullmatch(name):
        tally.fresh += 1
        return tally.fresh >= tally.repeated
    if tally.quotes or (name not in _QUOTABLE and (b"-" not in name or name == b"e-mail" or tally.rubbish)):
        return False
    tally.fresh += 1
    return tally.fresh > tally.repeated + 2 * tally.rubbish
