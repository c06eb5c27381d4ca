"""The page of API keys: a list, a form that adds one, and buttons that rotate and revoke. A new key is shown once."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.key_making import Unusable, add_key, rotate_key, unknown_key
from mailroom.api.pages.forms import Form, field
from mailroom.api.pages.rendering import render
from mailroom.api.paging import Cursor, decode, encode
from mailroom.api.services import AppServices, Services
from mailroom.domain.api_keys import ADMINISTER, ARCHIVE, INBOX, SEND
from mailroom.domain.tenants import tenant_name
from mailroom.domain.times import read_time
from mailroom.ports.api_keys import Holder

router = APIRouter(prefix="/keys", include_in_schema=False, default_response_class=HTMLResponse)

_LINES = 50
#: The overlaps of the buttons that rotate, in hours.
OVERLAPS = {24: "in 1 day", 168: "in 1 week", 0: "at once"}
_WORDS = (SEND, ARCHIVE, ADMINISTER)


@router.get("")
def keys(services: AppServices, holder: PageHolder, cursor: Cursor = None) -> Response:
    """All keys, and a form to add one."""
    return _page(services, holder, cursor=cursor)


@router.post("")
def add(request: Request, services: AppServices, holder: PageHolder, form: Form) -> Response:
    """Add the key of the form, and show it once; a fault is shown above the form."""
    from_this_site(request)
    try:
        line, secret = add_key(services, holder, **_asked(holder, form))
    except HTTPException as error:
        return _page(services, holder, status=error.status_code, fault=error.detail, form=form)
    return _page(services, holder, status=201, made=line, secret=secret)


@router.post("/{key_id}/revoke")
def revoke(request: Request, services: AppServices, holder: PageHolder, key_id: str) -> Response:
    """Revoke a key: it is refused from the next request on."""
    _pressed(request, services, holder, key_id)
    services.keys.revoke(holder.tenant, key_id, by=holder.name)
    return RedirectResponse("/keys", 303)


@router.post("/{key_id}/rotate")
def rotate(
    request: Request,
    services: AppServices,
    holder: PageHolder,
    key_id: str,
    hours: Annotated[int, Query(ge=0, le=max(OVERLAPS))] = 24,
) -> Response:
    """Add a key like this one, and show it once; this one ends after the hours."""
    _pressed(request, services, holder, key_id)
    line, old, secret = rotate_key(services, holder, key_id, timedelta(hours=hours))
    return _page(services, holder, status=201, made=line, old=old, secret=secret)


def _pressed(request: Request, services: Services, holder: Holder, key_id: str) -> None:
    """Return if the button of a key was pressed on this page.

    Raises:
        HTTPException: 404, there is no such key; 403, the form came from another site.
    """
    if services.keys.find(holder.tenant, key_id) is None:
        raise unknown_key()
    from_this_site(request)


def _asked(holder: Holder, form: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the key that a form describes.

    Raises:
        Unusable: a field is not valid.
    """
    inboxes = [f"{INBOX}{address}" for address in " ".join(form.get("inboxes", ())).replace(",", " ").split()]
    written, ends = field(form, "tenant"), field(form, "ends")
    return {
        "name": field(form, "name"),
        "scopes": [scope for scope in form.get("scope", ()) if scope in _WORDS] + inboxes,
        "tenant": holder.tenant or (_read("tenant", tenant_name, written) if written else None),
        "ends_at": _read("ends", read_time, ends) if ends else None,
    }


def _read(where: str, read: Any, written: str) -> Any:
    try:
        return read(written)
    except ValueError as error:
        raise Unusable(where, error.args[0]) from None


def _page(
    services: Services, holder: Holder, *, status: int = 200, cursor: str | None = None, **more: Any
) -> HTMLResponse:
    page = services.keys.all(holder.tenant, after=decode(cursor), limit=_LINES)
    values: dict[str, Any] = {"made": None, "old": None, "secret": None, "fault": None, "form": {}} | more
    return render(
        "keys.html",
        status=status,
        page=page,
        cursor=cursor,
        older=encode(page.next),
        overlaps=OVERLAPS,
        now=services.now(),
        **values,
    )
