"""What an item was made of, as its reader may save it: the raw e-mail, and all of its files as one zip.

The raw e-mail is the archive's deposit, byte for byte. Every recipient got the same bytes; the envelope, which names all
of them, is not in it.
"""

import io
import logging
from collections.abc import Iterator
from itertools import chain
from typing import IO

from fastapi import HTTPException, Request
from starlette.responses import Response, StreamingResponse

from mailroom.api.downloads import content_disposition, has_it
from mailroom.api.services import Services
from mailroom.api.spooled import chunks, spooled
from mailroom.api.zipping import UniqueNames, zipped
from mailroom.archive.access import show_files, show_mail
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.inbox.notices import notices_of
from mailroom.domain.parsing import Defect
from mailroom.domain.texts import Text
from mailroom.ports.inbox_reader import FiledItem

log = logging.getLogger(__name__)

EML, ZIP = "message/rfc822", "application/zip"
#: The folder of inline pictures in a zip.
INLINE = "inline"
#: Defects of a mail whose files are not all listed.
INCOMPLETE = frozenset(
    {Defect.TOO_LARGE, Defect.TOO_DEEP, Defect.TOO_MANY_PARTS, Defect.TOO_MANY_DELIMITERS, Defect.TOO_MANY_FILES}
    | {Defect.FILES_TOO_LARGE, Defect.TOO_MANY_PROPERTIES}
)
_NOTE = "NOT INCLUDED.txt"
_SANDBOX = "The sandbox keeps objects in memory only: a restart of the stack deletes them."
_NO_MAIL = f"The archive no longer has the bytes of this e-mail. {_SANDBOX}"
_NO_FILES = f"The archive has none of this mail's files as they were deposited. {_SANDBOX}"


def item_of(services: Services, tenant: str | None, item_id: str) -> FiledItem:
    """Return an item.

    Raises:
        HTTPException: 404 for no such item or another tenant's, 410 for a withdrawn one.
    """
    filed = services.reader.item(tenant, item_id)
    if filed is None:
        raise HTTPException(404, "Item not found.")
    if filed.withdrawn:
        known = InboundReason.read(filed.withdrawn)
        raise HTTPException(
            410,
            Text(
                "This item was withdrawn: %(word)s. Why: %(sentence)s. The archive keeps the e-mail.",
                word=filed.withdrawn,
                sentence=Text(known.sentence),
            )
            if known
            else Text("This item was withdrawn: %(word)s. The archive keeps the e-mail.", word=filed.withdrawn),
        )
    show_mail(filed.item.raw_archive_id)
    return filed


def raw_mail(services: Services, filed: FiledItem) -> IO[bytes]:
    """Return an open file with the raw e-mail, verified.

    Raises:
        HTTPException: 410, the archive no longer has it.
    """
    try:
        return spooled(services.archive, filed.item.raw_archive_id)
    except LookupError:
        raise HTTPException(410, Text(_NO_MAIL)) from None


def raw_download(services: Services, tenant: str | None, item_id: str, request: Request) -> Response:
    """Return the raw e-mail of an item as a download; 304 if the client already has it.

    Raises:
        HTTPException: as `item_of` and `raw_mail`.
    """
    filed = item_of(services, tenant, item_id)
    headers = {
        "ETag": f'"{filed.item.raw_archive_id.rpartition("/")[2]}"',
        "Cache-Control": "private, no-cache",
        "Content-Disposition": content_disposition(f"{filed.item.subject or 'mail'}.eml"),
        "Accept-Ranges": "none",
    }
    if has_it(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    file = raw_mail(services, filed)
    headers["Content-Length"] = str(file.seek(0, io.SEEK_END))
    file.seek(0)
    return StreamingResponse(chunks(file), headers=headers, media_type=EML)


def files_download(services: Services, tenant: str | None, item_id: str) -> Response:
    """Return all files of an item as one zip, inline pictures in a folder of their own.

    A file that the archive does not have, or whose bytes were altered, is named in a text file beside the others.

    Raises:
        HTTPException: as `item_of`; 404 if the mail has no files, 410 if the archive has none of them.
    """
    filed = item_of(services, tenant, item_id)
    if not filed.item.attachments:
        raise HTTPException(404, "This mail has no files.")
    show_files(part.archive_id for part in filed.item.attachments)
    files = _files(services, filed)
    first = next(files)
    if first[0] == _NOTE:
        raise HTTPException(410, Text(_NO_FILES))
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Disposition": content_disposition(f"{filed.item.subject or 'files'}.zip"),
        "Accept-Ranges": "none",
    }
    content = zipped(chain([first], files), at=filed.received_at)
    return StreamingResponse(content, headers=headers, media_type=ZIP)


def is_incomplete(filed: FiledItem) -> bool:
    """Return whether the mail has more files than the item lists."""
    return not INCOMPLETE.isdisjoint(filed.item.defects)


def _files(services: Services, filed: FiledItem) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield path and content of each file, and last, if any is missing, a note that says so."""
    names, inline = UniqueNames([INLINE, _NOTE]), UniqueNames()
    missing: list[Attachment] = []
    for part in filed.item.attachments:
        try:
            file = spooled(services.archive, part.archive_id)
        except (LookupError, PermanentError) as error:
            log.error("a zip is without the archived file %s: %s", part.archive_id, error)
            missing.append(part)
            continue
        yield (f"{INLINE}/{inline.take(part.filename)}" if part.inline else names.take(part.filename)), file
    if note := _note(filed, missing):
        yield _NOTE, io.BytesIO(note.encode())


def _note(filed: FiledItem, missing: list[Attachment]) -> str:
    lines = []
    if missing:
        lines += ["The archive did not return these files as they were deposited; ask your administrator:", ""]
        lines += [f"{part.number}. {' '.join(part.filename.split())}, SHA-256 {part.sha256}" for part in missing]
    if is_incomplete(filed):
        lines += [
            "",
            "This mail goes over a limit, and has more files than Mailroom lists. The raw e-mail has all of them.",
            *(one.sentence for one in notices_of(filed.item.defects, filed.item.left_out) if one.code in INCOMPLETE),
        ]
    return "".join(f"{line}\r\n" for line in lines).lstrip()
