"""The page that says whether everything is well; of operators alone, for others it does not exist."""

from itertools import groupby

from fastapi import APIRouter
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices
from mailroom.api.v1.status import status_for
from mailroom.operations.status import Level

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

#: The badge of each level: its CSS class and its word.
_BADGES = {
    Level.GOOD: ("good", "well"),
    Level.LOOK: ("unsure", "look"),
    Level.BAD: ("bad", "wrong"),
    Level.UNKNOWN: ("bad", "unknown"),
}
_REFRESH_S = 30


@router.get("/status")
def status(services: AppServices, holder: PageHolder, still: bool = False) -> Response:
    """Everything in one look: a sentence, what needs a person, and then all the rest."""
    found = status_for(services, holder)
    groups = [(name, list(rows)) for name, rows in groupby(found.rows, key=lambda row: row.group)]
    refresh = None if still else _REFRESH_S
    return render("status.html", found=found, groups=groups, badges=_BADGES, refresh=refresh)
