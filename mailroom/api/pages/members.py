"""What is inside an attachment, on pages: always a download, never opened by the browser."""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.members import member_download
from mailroom.api.services import AppServices

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@router.get("/items/{item_id}/attachments/{number}/members/{member}")
async def attachment_member(
    request: Request,
    services: AppServices,
    holder: PageHolder,
    item_id: str,
    number: Annotated[int, Path(ge=1)],
    member: Annotated[int, Path(ge=1)],
) -> Response:
    """One file from inside an attachment, as a download."""
    return await member_download(services, holder, item_id, number, member, request)
