"""The lists of received mail: all inboxes of a person as one, each inbox, and the inboxes themselves.

The list that a person came from is carried in the query of an item's page, so that "next" is the next of that list. Nothing in it is
trusted: an inbox that the person may not read, or a word that is no tab, is as no list at all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, Response

from mailroom.api.access import tenant_for
from mailroom.api.addresses import compared
from mailroom.api.auth import PageHolder
from mailroom.api.pages.reader import reader
from mailroom.api.pages.rendering import render
from mailroom.api.paging import Cursor, decode, encode
from mailroom.api.scopes import inboxes_for, reads_some
from mailroom.api.services import AppServices, Services
from mailroom.api.v1.inbound import Question, Tenant, inbox_address
from mailroom.domain.api_keys import may_read
from mailroom.domain.inbox.marks import Show
from mailroom.domain.inbox.search_query import UnreadableSearch, parse_search
from mailroom.ports.api_keys import Holder
from mailroom.ports.inbox_reader import Beside, ItemLine, Page

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_INBOXES, _LINES, _QUESTION = 500, 50, 200

Tab = Annotated[Show | None, Query(alias="show")]


@dataclass(frozen=True, slots=True)
class MailList:
    """A list of mail: of one inbox, or of all that the holder may read; `tenant` is the one that an administrator chose."""

    show: Show
    inbox: str | None = None
    question: str = ""
    tenant: str | None = None

    @property
    def title(self) -> str:
        """What the list is of."""
        return self.inbox or "Inbox"

    def url(self, *, cursor: str | None = None) -> str:
        """Return the address of the list's page."""
        path = "/" if self.inbox is None else f"/inboxes/{quote(self.inbox, safe='')}"
        return f"{path}?{self._query(inbox=None, cursor=cursor)}"

    def at(self, show: str) -> str:
        """Return the address of another tab."""
        return replace(self, show=Show(show)).url()

    def without_search(self) -> str:
        """Return the address of the list of all its mail."""
        return replace(self, question="").url()

    def of(self, inbox: str | None) -> str:
        """Return the address of the same tab of another inbox; None is all of them."""
        return MailList(self.show, inbox).url()

    def item(self, item_id: str, page: str = "", **more: str | None) -> str:
        """Return the address of an item, or of a page below it, that knows this list."""
        return f"/items/{quote(item_id, safe='')}{page}?{self._query(inbox=self.inbox, **more)}"

    def _query(self, *, inbox: str | None, **more: str | None) -> str:
        values = {"in": inbox, "tenant": self.tenant, "q": self.question or None, "show": self.show.value} | more
        return urlencode({name: value for name, value in values.items() if value is not None})


def list_of(query: Mapping[str, str], holder: Holder) -> MailList | None:
    """Return the list that an item's address names; None for none, and for one that the holder cannot read."""
    words, inbox, tenant = query.get("q", ""), query.get("in"), query.get("tenant")
    if query.get("show") not in set(Show) or len(words) > _QUESTION or "\x00" in words + (tenant or ""):
        return None
    if tenant is not None and holder.tenant not in (None, tenant):
        return None
    address = compared(inbox) if inbox is not None else None
    if inbox is not None and (address is None or not may_read(holder.scopes, address)):
        return None
    try:
        parse_search(words)
    except UnreadableSearch:
        return None
    return MailList(Show(query["show"]), address, words, tenant)


def beside(services: Services, holder: Holder, mail: MailList, item_id: str) -> Beside:
    """Return the items before and after one in a list."""
    only = inboxes_for(holder) if mail.inbox is None else (mail.inbox,)
    owner = tenant_for(holder, mail.tenant)
    return services.reader.beside(owner, item_id, only=only, question=mail.question, marks=mail.show.filter)


@router.get("/")
def everything(
    services: AppServices,
    holder: PageHolder,
    q: Question = "",
    show: Tab = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
) -> Response:
    """All inboxes of a person as one list; operators, whose work is not to read mail, begin with the list of inboxes."""
    if holder.tenant is None and show is None:
        return inboxes(services, holder)
    mail = MailList(show or Show.TODO, None, q, tenant)
    return _page(services, holder, mail, cursor)


@router.get("/inboxes")
def inboxes(services: AppServices, holder: PageHolder) -> Response:
    """The inboxes."""
    lines = services.reader.inboxes(holder.tenant, limit=_INBOXES, only=inboxes_for(holder))
    return render("inboxes.html", inboxes=lines, full=len(lines) == _INBOXES)


@router.get("/inboxes/{address:path}")
def inbox(
    services: AppServices,
    holder: PageHolder,
    address: str,
    q: Question = "",
    show: Tab = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
) -> Response:
    """One inbox, newest first; or what was found in it."""
    owner, name = tenant_for(holder, tenant), inbox_address(address)
    if not services.reader.receives(owner, name):
        # A holder of some inboxes is answered as in `admit`, so that no answer depends on which inboxes there are.
        if reads_some(holder):
            raise HTTPException(404, "Inbox not found.")
        raise HTTPException(404, "Inbox not found. Add an address with: mailroom address add ADDRESS")
    return _page(services, holder, MailList(show or Show.ALL, name, q, tenant), cursor)


def _page(services: Services, holder: Holder, mail: MailList, cursor: str | None) -> Response:
    values: dict[str, Any] = {
        "mail": mail,
        "tabs": tuple(Show),
        "cursor": cursor,
        "now": services.now(),
        "zone": reader().time_zone,
        "unread": _unread(services, holder),
    }
    try:
        page = _lines(services, holder, mail, cursor)
    except UnreadableSearch as error:
        return render("inbox.html", status=422, **values, page=Page(()), older=None, problem=error.args[0])
    return render("inbox.html", **values, page=page, older=encode(page.next), problem=None)


def _lines(services: Services, holder: Holder, mail: MailList, cursor: str | None) -> Page[ItemLine]:
    owner, after = tenant_for(holder, mail.tenant), decode(cursor)
    chosen: dict[str, Any] = {"limit": _LINES, "question": mail.question, "marks": mail.show.filter}
    if mail.inbox is not None:
        return services.reader.items(owner, mail.inbox, after=after, **chosen)
    return services.reader.mail(owner, only=inboxes_for(holder), after=after, **chosen)


def _unread(services: Services, holder: Holder) -> list[tuple[str, str]]:
    """Return the inboxes of a person with more than one, and how much in each is unread; operators have a page of them."""
    if holder.tenant is None:
        return []
    counts = services.reader.unread(holder.tenant, only=inboxes_for(holder), limit=_INBOXES)
    return [(one.address, many(one.unread)) for one in counts] if len(counts) > 1 else []


def many(unread: int) -> str:
    """Return a count for people: up to 99."""
    return "" if not unread else str(unread) if unread < 100 else "99+"


def is_opened(request: Request) -> bool:
    """Return whether a person opens a page: not a browser that fetches it ahead, nor a picture or script with its address.

    Browsers say so in headers. Programs that fetch pages without them count as persons; the API marks nothing as read.
    """
    header = request.headers
    ahead = ("prefetch", "prerender", "preview")
    purposes = " ".join(header.get(name, "") for name in ("sec-purpose", "purpose", "x-purpose", "x-moz"))
    is_page = header.get("sec-fetch-dest", "document") == "document"
    return request.method == "GET" and is_page and not any(word in purposes.lower() for word in ahead)
