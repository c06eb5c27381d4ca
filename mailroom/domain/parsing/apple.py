"""Files as Macs send them: AppleDouble (RFC 1740), whose header part has the resource fork, and AppleSingle, with both forks.

The document is the data fork. The resource fork is kept as a file beside it and never takes the document's name.
"""

import struct
from dataclasses import dataclass

from mailroom.domain.parsing.charsets import decode_header, storable

#: The multipart that consists of a header part and a document.
DOUBLE = "multipart/appledouble"
TYPE = "application/applefile"
_SINGLE_MAGIC, _DOUBLE_MAGIC = b"\x00\x05\x16\x00", b"\x00\x05\x16\x07"
_DATA, _NAME = 1, 3
_MOST_ENTRIES = 100
_ENDING = ".rsrc"


@dataclass(frozen=True, slots=True)
class AppleFile:
    """What a header part or an AppleSingle file has: the document's own name, and its bytes (None: they are elsewhere)."""

    name: str | None
    document: bytes | None


def may_be_apple(content_type: str, data: bytes) -> bool:
    """Whether a part is declared as such a file, or begins like AppleSingle."""
    return content_type == TYPE or data.startswith(_SINGLE_MAGIC)


def read_apple(content_type: str, data: bytes, *, declared: bool) -> AppleFile | None:
    """Return what `data` has, as far as it goes; None if it is not such a file.

    AppleSingle is known by its first bytes. A header part is known by its type, and its first bytes, or, if it is `declared`,
    a part of a multipart/appledouble, without them.
    """
    single = data.startswith(_SINGLE_MAGIC)
    if not single and content_type != TYPE:
        return None
    if not single and not data.startswith(_DOUBLE_MAGIC):
        return AppleFile(None, None) if declared else None
    entries = _entries(data)
    name = storable(decode_header(entries[_NAME], None)).strip() if entries.get(_NAME) else None
    document = entries.get(_DATA) if single else None
    return None if single and document is None and content_type != TYPE else AppleFile(name or None, document)


def fork_name(name: str | None) -> str | None:
    """Return the name of the file that has the resource fork of `name`."""
    return f"{name}{_ENDING}" if name and name.strip() else None


def _entries(data: bytes) -> dict[int, bytes]:
    """Return the entries by id; one that begins behind the end of the data is left out."""
    found: dict[int, bytes] = {}
    if len(data) < 26:
        return found
    (count,) = struct.unpack_from(">H", data, 24)
    for place in range(min(count, _MOST_ENTRIES, (len(data) - 26) // 12)):
        kind, start, size = struct.unpack_from(">III", data, 26 + 12 * place)
        if start < len(data):
            found.setdefault(kind, data[start : start + size])
    return found
