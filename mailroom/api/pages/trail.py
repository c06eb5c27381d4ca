"""The page of the trail: who saw and did what."""

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.pages.rendering import render
from mailroom.api.paging import Cursor, decode, encode
from mailroom.api.services import AppServices
from mailroom.domain.trail import sentence

router = APIRouter(prefix="/trail", include_in_schema=False, default_response_class=HTMLResponse)

_LINES = 100


@router.get("")
def trail(services: AppServices, holder: PageHolder, cursor: Cursor = None) -> Response:
    """The newest entries first: the tenant's, or all."""
    if services.trail is None:
        raise HTTPException(404, "This installation keeps no trail.")
    page = services.trail.entries(holder.tenant, after=decode(cursor), limit=_LINES)
    lines = [(one, sentence(one.what)) for one in page.lines]
    return render("trail.html", lines=lines, cursor=cursor, older=encode(page.next))
