"""Builds a mail's list of attachments from the files found in it: names, digests, types, and which are inline."""

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import unquote

import filetype

from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.model import ParsedAttachment
from mailroom.domain.parsing.msg import list_members
from mailroom.domain.parsing.names import display_name, unique_name

_CID = re.compile(r"cid:([^\s\"'<>)]{1,300})", re.I)
_SNIFFED_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Found:
    """One attachment as found in the mail. `suggestion` is its name if the sender gave none."""

    name: str | None
    content_type: str
    content: bytes
    disposition: str = ""
    content_id: str | None = None
    suggestion: str | None = None


def attach(files: list[Found], html: str | None, *, reading: Reading) -> tuple[ParsedAttachment, ...]:
    """Return the attachments in order, each with a unique name."""
    if len(files) > reading.limits.files:
        reading.note(Defect.TOO_MANY_FILES)
    kept = _within(files[: reading.limits.files], reading=reading)
    shown = _shown_ids(html or "") if any(item.content_id for item in kept) else set()
    taken: dict[str, int] = {}
    return tuple(_attachment(item, number, shown, taken, reading=reading) for number, item in enumerate(kept, 1))


def _within(files: list[Found], *, reading: Reading) -> list[Found]:
    """Return those within the limit of all files together; one that exceeds it is skipped and does not affect the others."""
    kept: list[Found] = []
    room = reading.limits.file_bytes
    for item in files:
        if len(item.content) <= room:
            room -= len(item.content)
            kept.append(item)
        else:
            reading.note(Defect.FILES_TOO_LARGE)
    return kept


def _shown_ids(html: str) -> set[str]:
    """Return the content ids that the HTML shows, as written and percent-decoded (RFC 2392)."""
    written = set(_CID.findall(html))
    return written | {unquote(one) for one in written if "%" in one}


def _attachment(
    item: Found, number: int, shown: set[str], taken: dict[str, int], *, reading: Reading
) -> ParsedAttachment:
    longest = reading.limits.name_bytes
    name = display_name(item.name or item.suggestion, content_type=item.content_type, number=number, longest=longest)
    return ParsedAttachment(
        filename=name,
        display_name=unique_name(name, taken, longest=longest),
        original_name=item.name,
        content_type=item.content_type,
        detected_type=_detect(item.content),
        size=len(item.content),
        sha256=hashlib.sha256(item.content).hexdigest(),
        inline=item.disposition == "inline" or item.content_id in shown,
        content_id=item.content_id,
        content=item.content,
        members=list_members(item.content, reading=reading),
    )


def _detect(content: bytes) -> str | None:
    """Return the type of the first bytes; `filetype` raises for some truncated files."""
    try:
        return filetype.guess_mime(content[:_SNIFFED_BYTES]) or None
    except (IndexError, ValueError, TypeError):
        return None
