"""The JSON API's routes of what an item was made of: its raw e-mail, and its files as one zip."""

from typing import Any

from fastapi import APIRouter, Request, Response

from mailroom.api.auth import ApiHolder
from mailroom.api.originals import EML, ZIP, files_download, raw_download
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices
from mailroom.api.v1.known_query import KnownQuery

router = APIRouter(prefix="/v1", tags=["inbound"], responses=PROBLEM, route_class=KnownQuery)

_GONE: dict[int | str, dict[str, Any]] = {
    410: {"description": "The item was withdrawn, or the archive no longer has the bytes"}
}
_RAW: dict[int | str, dict[str, Any]] = _GONE | {
    200: {"description": "The e-mail as it was received, as a download", "content": {EML: {}}},
    304: {"description": "Not modified: the client has these bytes"},
}
_FILES: dict[int | str, dict[str, Any]] = _GONE | {
    200: {"description": "The zip file, as a download", "content": {ZIP: {}}},
    404: {"description": "No such item, or it has no files"},
}


@router.get("/items/{item_id}/raw", response_class=Response, responses=_RAW)
def download_raw(request: Request, services: AppServices, holder: ApiHolder, item_id: str) -> Response:
    """Download the raw e-mail (.eml): the archived bytes, verified."""
    return raw_download(services, holder.tenant, item_id, request)


@router.get("/items/{item_id}/files.zip", response_class=Response, responses=_FILES)
def download_files(services: AppServices, holder: ApiHolder, item_id: str) -> Response:
    """Download all files of an item as one zip.

    Inline pictures are in the folder `inline`. A file that the archive does not have is named in `NOT INCLUDED.txt`.
    """
    return files_download(services, holder.tenant, item_id)
