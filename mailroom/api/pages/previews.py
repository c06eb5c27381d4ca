"""Previews of an item's files, each a page in a frame of the item's page: one picture that is made here, and no script.

    GET .../preview?page=2 ──> whose item? (404) ──> a slot ──> the archive's bytes ──> a process of its own ──> PNG or JPEG

The sender's bytes are never sent to the browser here: only pixels that were drawn and encoded again. Whatever the file
is, the answer is a page with a picture or with a sentence, after at most some seconds.
"""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.downloads import has_it
from mailroom.api.guard import PREVIEW_POLICY
from mailroom.api.members import member_content, member_of
from mailroom.api.pages.reader import reader
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices, Services
from mailroom.domain.errors import TransientError
from mailroom.domain.texts import Text
from mailroom.ports.api_keys import Holder
from mailroom.ports.previewer import MAX_PREVIEWED, NoPreview, Preview

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

#: Changes when the same bytes are drawn otherwise.
_DRAWING = 1
_BUSY = Text("Too many previews are being drawn at this moment. Reload the page in a minute.")
_GONE = Text("The archive no longer has the bytes of this file.")
#: Whose turn an operator's preview is.
_OPERATORS = "operators"

Number = Annotated[int, Path(ge=1)]
PageNumber = Annotated[int, Query(ge=1, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class _File:
    """A file of an item: `read` returns its bytes."""

    name: str
    size: int
    sha256: str
    read: Callable[[], bytes]


@router.get("/items/{item_id}/attachments/{number}/preview")
async def attachment_preview(
    request: Request, services: AppServices, holder: PageHolder, item_id: str, number: Number, page: PageNumber = 1
) -> Response:
    """One page of an attachment as a picture."""

    def find() -> _File:
        part = services.reader.attachment(holder.tenant, item_id, number)
        if part is None:
            raise HTTPException(404, "Attachment not found.")
        return _File(part.filename, part.size, part.sha256, lambda: services.archive.read(part.archive_id))

    return await _preview(services, holder, request, page, find)


@router.get("/items/{item_id}/attachments/{number}/members/{member}/preview")
async def member_preview(
    request: Request,
    services: AppServices,
    holder: PageHolder,
    item_id: str,
    number: Number,
    member: Number,
    page: PageNumber = 1,
) -> Response:
    """One page of a file inside an attachment as a picture."""

    def find() -> _File:
        part, found = member_of(services, holder, item_id, number, member)
        return _File(found.name, found.size, found.sha256 or "", lambda: member_content(services, part, found))

    return await _preview(services, holder, request, page, find)


async def _preview(
    services: Services, holder: Holder, request: Request, page: int, find: Callable[[], _File]
) -> Response:
    """Return the preview's page; 304 if the browser has it already.

    Raises:
        HTTPException: 404, there is no such file.
    """

    def work() -> Response:
        file = find()
        headers = {
            "Content-Security-Policy": PREVIEW_POLICY,
            "Cache-Control": "private, no-cache",
            "ETag": f'"{file.sha256}-{page}-{_DRAWING}-{reader().language}"',
        }
        if has_it(request, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        drawn = _drawn(services, file, page)
        if isinstance(drawn, NoPreview):
            return _sentence(drawn.sentence, 200)
        picture = f"data:{drawn.content_type};base64,{b64encode(drawn.content).decode()}"
        return render("preview.html", headers=headers, name=file.name, preview=drawn, picture=picture, sentence=None)

    try:
        return await services.preview_slots.run(holder.tenant or _OPERATORS, work)
    except HTTPException as error:
        # The page of an error allows no frame around it.
        if error.status_code in (429, 503):
            return _sentence(_BUSY, error.status_code)
        if error.status_code == 410:
            return _sentence(_GONE, 410)
        raise


def _drawn(services: Services, file: _File, page: int) -> Preview | NoPreview:
    if file.size > MAX_PREVIEWED:
        return NoPreview.TOO_LARGE
    try:
        content = file.read()
    except LookupError:
        raise HTTPException(410, _GONE) from None
    try:
        return services.previewer.preview(content, page)
    except TransientError:
        raise HTTPException(503, _BUSY) from None


def _sentence(sentence: str, status: int) -> Response:
    headers = {"Content-Security-Policy": PREVIEW_POLICY}
    return render(
        "preview.html", status=status, headers=headers, name="", preview=None, picture=None, sentence=sentence
    )
