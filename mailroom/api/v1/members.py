"""The JSON API's route of what is inside an attachment."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from mailroom.api.auth import ApiHolder
from mailroom.api.members import member_download
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices
from mailroom.api.v1.known_query import KnownQuery

router = APIRouter(prefix="/v1", tags=["inbound"], responses=PROBLEM, route_class=KnownQuery)

_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes, as a download", "content": {"application/octet-stream": {}}},
    304: {"description": "Not modified: the client has these bytes"},
    410: {"description": "The attachment's bytes are gone, or it cannot be opened any more"},
}


@router.get("/items/{item_id}/attachments/{number}/members/{member}", response_class=Response, responses=_BYTES)
async def download_member(
    request: Request,
    services: AppServices,
    holder: ApiHolder,
    item_id: str,
    number: Annotated[int, Path(ge=1)],
    member: Annotated[int, Path(ge=1)],
) -> Response:
    """Download one file from inside an attachment: of an attached mail, or the content of a signed file."""
    return await member_download(services, holder, item_id, number, member, request)
