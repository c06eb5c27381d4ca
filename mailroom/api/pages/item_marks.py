"""The bar of an item's page: done and undo, the next and previous of the list that the person came from; and the print view.

A page that a person opens marks its item as read. That makes GET record something, once for an item; whatever fetches pages
without showing them marks nothing (`mail_lists.is_opened`), nor do operators and archivists, who look at mail of others.
"""

from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import Any
from uuid import UUID

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.mail_pictures import text_of_html
from mailroom.api.originals import item_of
from mailroom.api.pages.mail_lists import MailList, beside, is_opened, list_of
from mailroom.api.pages.reader import reader
from mailroom.api.pages.rendering import render
from mailroom.api.paging import decode
from mailroom.api.services import AppServices, Services
from mailroom.domain.api_keys import may_read
from mailroom.domain.inbox.marks import Show
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import Beside, FiledItem
from mailroom.ports.item_marks import Marked, MarkLine

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_NONE = Beside(None, None)


@dataclass(frozen=True, slots=True)
class Bar:
    """What the bar of an item's page shows; `mail` is the list that the person came from, or that of all mail.

    `is_shared` is true if the holder may mark the item; `was` is the item that was done just before.
    """

    mail: MailList
    newer: str | None
    older: str | None
    is_shared: bool
    was: str | None
    history: list[MarkLine]
    now: datetime
    zone: tzinfo


def opened(request: Request, services: Services, holder: Holder, filed: FiledItem) -> FiledItem:
    """Return the item as it is after the page was opened: read, if a person of its inbox did that."""
    mine = holder.tenant is not None and may_read(holder.scopes, filed.item.recipient)
    if filed.read is not None or not mine or not is_opened(request):
        return filed
    marked = services.marks.open(holder.tenant, filed.id, by=holder.name)
    return replace(filed, read=marked.read, done=marked.done) if marked else filed


def bar_of(request: Request, services: Services, holder: Holder, filed: FiledItem) -> Bar:
    """Return the bar of an item's page."""
    mail = list_of(request.query_params, holder)
    places = beside(services, holder, mail, filed.id) if mail else _NONE
    return Bar(
        mail=mail or MailList(Show.ALL, filed.item.recipient),
        newer=places.newer,
        older=places.older,
        is_shared=may_read(holder.scopes, filed.item.recipient),
        was=_id(request.query_params.get("was")),
        history=services.marks.history(holder.tenant, filed.id),
        now=services.now(),
        zone=reader().time_zone,
    )


@router.post("/items/{item_id}/done")
def done(request: Request, services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """Mark an item as done, and go on to the next of the list; if someone was first, to the item, which says who."""
    filed = _pressed(request, services, holder, item_id)
    mail, query = list_of(request.query_params, holder), request.query_params
    marked = _of(services.marks.done(holder.tenant, filed.id, by=holder.name))
    if mail is None:
        return _to(MailList(Show.ALL, filed.item.recipient).item(filed.id))
    if not marked.changed:
        return _to(mail.item(filed.id))
    if query.get("to") == "list":
        return _to(mail.url(cursor=_cursor(query.get("cursor"))))
    places = beside(services, holder, mail, filed.id)
    following = places.older or places.newer
    return _to(mail.item(following, was=filed.id) if following else mail.url())


@router.post("/items/{item_id}/undo")
def undo(request: Request, services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """Mark an item as to do again, and show it."""
    filed = _pressed(request, services, holder, item_id)
    mail, query = list_of(request.query_params, holder), request.query_params
    _of(services.marks.undo(holder.tenant, filed.id, by=holder.name))
    if mail is not None and query.get("to") == "list":
        return _to(mail.url(cursor=_cursor(query.get("cursor"))))
    return _to((mail or MailList(Show.ALL, filed.item.recipient)).item(filed.id))


@router.get("/items/{item_id}/print")
def printed(services: AppServices, holder: PageHolder, item_id: str) -> Response:
    """An item on paper: the letter as text, its files, the archive's receipts and the checks."""
    filed = item_of(services, holder.tenant, item_id)
    letter: str | None = filed.item.text if (filed.item.text or "").strip() else None
    if letter is None and filed.item.html:
        letter = text_of_html(filed.item.html)
    values: dict[str, Any] = {"letter": letter, "now": services.now(), "zone": reader().time_zone}
    return render("print.html", filed=filed, mail=list_of({}, holder), **values)


def _pressed(request: Request, services: Services, holder: Holder, item_id: str) -> FiledItem:
    """Return the item whose button was pressed on these pages.

    Raises:
        HTTPException: 404 or 410 as `item_of`; 403, the form came from another site.
    """
    filed = item_of(services, holder.tenant, item_id)
    from_this_site(request)
    return filed


def _of(marked: Marked | None) -> Marked:
    """Return what was marked.

    Raises:
        HTTPException: 410, the item was withdrawn meanwhile.
    """
    if marked is None:
        raise HTTPException(410, "This item was withdrawn.")
    return marked


def _to(url: str) -> RedirectResponse:
    return RedirectResponse(url, 303)


def _id(written: str | None) -> str | None:
    try:
        return str(UUID(written)) if written else None
    except ValueError:
        return None


def _cursor(written: str | None) -> str | None:
    """Return a cursor if it is one of ours."""
    try:
        return written if written and decode(written) else None
    except HTTPException:
        return None
