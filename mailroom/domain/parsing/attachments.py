"""Builds a mail's list of attachments from the files found in it: names, digests, types, and which are inline."""

import hashlib
from dataclasses import dataclass

import filetype

from mailroom.domain.parsing.decoration import decorations
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.model import ParsedAttachment
from mailroom.domain.parsing.msg import list_members
from mailroom.domain.parsing.nameless import naming_type
from mailroom.domain.parsing.names import display_name, unique_name

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
        beyond = files[reading.limits.files :]
        reading.note(Defect.TOO_MANY_FILES, count=len(beyond), size=sum(len(one.content) for one in beyond))
    kept = _within(files[: reading.limits.files], reading=reading)
    types = [detected_type(item.content) for item in kept]
    drawn = decorations(kept, types, html or "")
    taken: dict[str, int] = {}
    return tuple(
        _attachment(item, index + 1, types[index], index in drawn, taken, reading=reading)
        for index, item in enumerate(kept)
    )


def _within(files: list[Found], *, reading: Reading) -> list[Found]:
    """Return those within the limit of all files together; one that exceeds it is skipped and does not affect the others."""
    kept: list[Found] = []
    room = reading.limits.file_bytes
    for item in files:
        if len(item.content) <= room:
            room -= len(item.content)
            kept.append(item)
        else:
            reading.note(Defect.FILES_TOO_LARGE, count=1, size=len(item.content))
    return kept


def _attachment(
    item: Found, number: int, detected: str | None, inline: bool, taken: dict[str, int], *, reading: Reading
) -> ParsedAttachment:
    longest = reading.limits.name_bytes
    kind = naming_type(item.content_type, detected)
    name = display_name(item.name or item.suggestion, content_type=kind, number=number, longest=longest)
    return ParsedAttachment(
        filename=name,
        display_name=unique_name(name, taken, longest=longest),
        original_name=item.name,
        content_type=item.content_type,
        detected_type=detected,
        size=len(item.content),
        sha256=hashlib.sha256(item.content).hexdigest(),
        inline=inline,
        content_id=item.content_id,
        content=item.content,
        members=list_members(item.content, reading=reading),
    )


def detected_type(content: bytes) -> str | None:
    """Return the type of the first bytes; `filetype` raises for some truncated files."""
    try:
        return filetype.guess_mime(content[:_SNIFFED_BYTES]) or None
    except (IndexError, ValueError, TypeError):
        return None
