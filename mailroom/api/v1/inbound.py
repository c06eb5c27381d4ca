"""The JSON routes of received mail."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import Field

from mailroom.api.access import tenant_for
from mailroom.api.addresses import compared
from mailroom.api.auth import ApiHolder
from mailroom.api.downloads import download
from mailroom.api.originals import item_of
from mailroom.api.paging import Cursor, Limit, decode, decode_in_window, encode, encode_in_window
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.responses.inbound import (
    EmailsResponse,
    ItemLineResponse,
    ItemResponse,
    ItemsResponse,
    MarkResponse,
    MarksResponse,
    ReplayResponse,
    email_answer,
    item_response,
    replay_response,
)
from mailroom.archive.access import show_mail
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbox.marks import MarkFilter
from mailroom.inbound.replaying import run_again
from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.json_time import Time, ZonedTime
from mailroom.ports.inbox_reader import Window

router = APIRouter(prefix="/v1", tags=["inbound"], responses=PROBLEM, route_class=KnownQuery)

_WORD = r"^[^\x00]{1,200}$"  # PostgreSQL takes no NUL in a text

Tenant = Annotated[str | None, Query(pattern=_WORD, description="Only this tenant; with an administrator's key")]
Question = Annotated[
    str,
    Query(
        pattern=r"^[^\x00]*$",
        max_length=200,
        description=(
            'Words in subject, sender, Reply-To, attachment names, meetings, recipients of delivery reports and text; also "a phrase", -excluded, this or that, and from:, to:, '
            "subject:, filename:, has:attachment, before:2026-03-14, after:2026-03 (UTC)"
        ),
    ),
]
ListedSince = Annotated[
    ZonedTime | None,
    Query(
        description="Put into the inbox (`listed_at`) at this time or later and before `until`; RFC 3339 with a time zone"
    ),
]
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"description": "The bytes, as a download", "content": {"application/octet-stream": {}}},
    304: {"description": "Not modified: the client has these bytes"},
    410: {"description": "The archive no longer has the bytes"},
}


class ItemChange(_RequestModel):
    """What to change of an item."""

    done: Annotated[bool, Field(strict=True, description="True for done, false for to do again")]


@router.get("/inboxes/{address:path}/items")
def list_items(
    services: AppServices,
    holder: ApiHolder,
    address: str,
    q: Question = "",
    since: ListedSince = None,
    done: Annotated[bool | None, Query(description="Only items that are done, or with false those to do")] = None,
    unread: Annotated[bool | None, Query(description="Only items that no one opened, or with false the others")] = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ItemsResponse:
    """List the items of one address, newest first; with `q` those that match it.

    To fetch what is new, use `since` and follow `next`; the next time, use `until` of this list as `since`. Each item is then in
    exactly one of the lists. `done` and `unread` are as they are when a page is read: an item that is marked meanwhile leaves the
    list, and takes no other with it.
    """
    owner = tenant_for(holder, tenant)
    inbox = inbox_address(address)
    if not services.reader.receives(owner, inbox):
        raise HTTPException(404, "Inbox not found.")
    after, until = decode_in_window(cursor, since)
    window = Window(since, until or services.reader.listed_until()) if since else None
    marks = MarkFilter(done=done, unread=unread)
    page = services.reader.items(owner, inbox, after=after, limit=limit, question=q, window=window, marks=marks)
    return ItemsResponse(
        items=[ItemLineResponse.model_validate(line) for line in page.lines],
        next=encode_in_window(page.next, window),
        until=window.until if window else None,
    )


@router.get("/items/{item_id}")
def show_item(services: AppServices, holder: ApiHolder, item_id: str) -> ItemResponse:
    """Return one item: headers, text, sanitised HTML, attachments with their archive receipts."""
    filed = services.reader.item(holder.tenant, item_id)
    if filed is None:
        raise HTTPException(404, "Item not found.")
    if filed.withdrawn:
        raise HTTPException(410, f"This item was withdrawn: {filed.withdrawn}.")
    show_mail(filed.item.raw_archive_id)
    return item_response(filed, internal=holder.tenant is None)


@router.patch("/items/{item_id}")
def mark_item(services: AppServices, holder: ApiHolder, item_id: str, change: ItemChange) -> MarksResponse:
    """Mark an item as done, or as to do again; who sees its inbox sees who did. The first who marks it wins.

    `changed` is false where it was so before. An item that is done counts as read from then on.
    """
    filed = item_of(services, holder.tenant, item_id)
    mark = services.marks.done if change.done else services.marks.undo
    marked = mark(holder.tenant, filed.id, by=holder.name)
    if marked is None:
        raise HTTPException(410, "This item was withdrawn.")
    return MarksResponse(
        id=filed.id,
        read=MarkResponse.model_validate(marked.read) if marked.read else None,
        done=MarkResponse.model_validate(marked.done) if marked.done else None,
        changed=marked.changed,
    )


@router.get("/items/{item_id}/attachments/{number}", response_class=Response, responses=_BYTES)
def download_attachment(
    request: Request, services: AppServices, holder: ApiHolder, item_id: str, number: Annotated[int, Path(ge=1)]
) -> Response:
    """Download one attachment."""
    return download(services, holder.tenant, item_id, number, request)


@router.get("/inbound")
def list_emails(
    services: AppServices,
    holder: ApiHolder,
    state: Annotated[list[State] | None, Query(description="May be given more than once")] = None,
    reason: Annotated[
        str | None, Query(pattern=_WORD, description="A word of docs/reasons.md, or the word of up to 0.1.0")
    ] = None,
    since: Annotated[
        Time | None, Query(description="Received at this time or later; UTC unless an offset is given")
    ] = None,
    until: Annotated[Time | None, Query(description="Received before this time; UTC unless an offset is given")] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> EmailsResponse:
    """List received e-mails and their states, newest first."""
    page = services.reader.emails(
        holder.tenant,
        states=state or [],
        reason=reason,
        since=since,
        until=until,
        after=decode(cursor),
        limit=limit,
    )
    return EmailsResponse(items=[email_answer(line) for line in page.lines], next=encode(page.next))


@router.post("/inbound/{email_id}/replay", status_code=202)
def replay(services: AppServices, holder: ApiHolder, email_id: str) -> ReplayResponse:
    """Process one received e-mail again, in its flow run or, if that was deleted, in a new one.

    Of a filed e-mail, the processors that failed run again, and what is held for some of its tenants is decided again.
    """
    line = services.reader.email(holder.tenant, email_id)
    entry = services.ledger.find(line.id) if line else None
    if entry is None:
        raise HTTPException(404, "E-mail not found.")
    if entry.state is State.PROCESSING:
        raise HTTPException(409, "This e-mail is being processed now; try again later.")
    replayer = services.replayer
    if replayer is None:
        run = run_again(services.runs, entry)
    else:
        run = replayer.once(entry, tenant=holder.tenant, by=holder.name, now=services.now())
    return replay_response(entry.id, run, internal=holder.tenant is None)


def inbox_address(address: str) -> str:
    """Return `address` in its normalised form.

    Raises:
        HTTPException: 404, it is not an address.
    """
    inbox = compared(address)
    if inbox is None:
        raise HTTPException(404, "Inbox not found.")
    return inbox
