"""Attachments as downloads: always saved as a file, never opened by the browser."""

import unicodedata
from urllib.parse import quote

from fastapi import HTTPException, Request
from starlette.responses import Response

from mailroom.api.services import Services

_MAX_NAME = 200
_SEPARATORS = str.maketrans(dict.fromkeys('/\\:*?"<>|', "_"))
_RESERVED = frozenset({"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))})


def download(services: Services, tenant: str | None, item_id: str, number: int, request: Request) -> Response:
    """Return attachment `number` of an item as a download; 304 if the client already has these bytes.

    Raises:
        HTTPException: 404 for no such attachment, 410 if the archive no longer has its bytes.
    """
    attachment = services.reader.attachment(tenant, item_id, number)
    if attachment is None:
        raise HTTPException(404, "Attachment not found.")
    headers = {
        "ETag": f'"{attachment.sha256}"',
        "Cache-Control": "private, no-cache",
        "Content-Disposition": content_disposition(attachment.filename),
    }
    if has_it(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    try:
        content = services.archive.read(attachment.archive_id)
    except LookupError:
        raise HTTPException(
            410,
            "The archive no longer has the bytes of this attachment. The sandbox keeps objects in memory only: a "
            "restart of the stack deletes them.",
        ) from None
    return Response(content, headers=headers, media_type="application/octet-stream")


def content_disposition(filename: str) -> str:
    """Return the header's value (RFC 6266): a plain name for old clients, and the full one as in RFC 8187 (ex 5987)."""
    name = safe_filename(filename)
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().replace("%", "_")
    return f"attachment; filename=\"{plain or 'attachment'}\"; filename*=UTF-8''{quote(name, safe='')}"


def safe_filename(filename: str) -> str:
    """Return a file name that is valid on every system and shows its real type.

    Invisible and direction-changing characters are removed first, then separators, then special characters at the ends: a
    check made before the cleaning would pass `<zero width space>.htaccess`.
    """
    visible = "".join(c for c in unicodedata.normalize("NFC", filename) if unicodedata.category(c)[0] != "C")
    name = " ".join(visible.translate(_SEPARATORS).split()).strip(". ")
    if name.partition(".")[0].strip().upper() in _RESERVED:
        name = f"_{name}"
    return _shortened(name) or "attachment"


def has_it(request: Request, etag: str) -> bool:
    """Return whether the client says that it has the content with this ETag."""
    values = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return etag in values or "*" in values


def _shortened(name: str) -> str:
    if len(name.encode()) <= _MAX_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, ending = name, ""
    room = _MAX_NAME - len(dot.encode()) - len(ending.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + (f".{ending}" if ending else "")
