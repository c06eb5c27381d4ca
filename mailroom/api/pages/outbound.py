"""The pages of outbound mail: batches and their progress, messages and their history, suppressions.

No scripts: a page that changes refreshes itself by a header.
"""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, Response

from mailroom.api.access import tenant_for
from mailroom.api.auth import PageHolder
from mailroom.api.pages.batch_progress import refresh_s
from mailroom.api.pages.inbox import run_url
from mailroom.api.pages.rendering import render
from mailroom.api.pages.resends import resendable_groups, resendable_message
from mailroom.api.pages.sent_mail import SentPart, sent_part
from mailroom.api.paging import Cursor, decode, decode_place, encode, encode_place
from mailroom.api.services import AppOutbound, AppServices, OutboundServices, Services
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.outbound import address_of
from mailroom.domain.delivery.streams import Scope
from mailroom.domain.outbound.advice import about_pause, advice
from mailroom.domain.outbound.message import WAITING, Status
from mailroom.outbound.last_run import run_of
from mailroom.outbound.sent_content import Unshown
from mailroom.ports.api_keys import Holder
from mailroom.ports.message_reader import BatchLine

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)
_BATCHES, _LINES = 20, 50
Asked = Annotated[str | None, Query(max_length=320)]
Still = Annotated[bool, Query(description="Do not refresh the page")]


@router.get("/batches")
def batches(
    services: AppServices, holder: PageHolder, sending: AppOutbound, cursor: Cursor = None, still: Still = False
) -> Response:
    """All batches, newest first."""
    page = sending.message_reader.batches(holder.tenant, after=decode(cursor), limit=_BATCHES)
    return render(
        "batches.html",
        page=page,
        older=encode(page.next),
        cursor=cursor,
        refresh=None if still else _soonest(services, *page.lines),
    )


@router.get("/batches/{batch_id}")
def batch(
    services: AppServices,
    holder: PageHolder,
    sending: AppOutbound,
    batch_id: str,
    status: Status | None = None,
    cursor: Cursor = None,
    still: Still = False,
    resent: Annotated[int | None, Query(ge=0, description="How many messages a button sends again")] = None,
) -> Response:
    """One batch: how far it is, and its messages."""
    line = sending.message_reader.batch(holder.tenant, batch_id)
    if line is None:
        raise HTTPException(404, "Batch not found.")
    page = sending.message_reader.messages(
        holder.tenant,
        recipient=None,
        batch_id=batch_id,
        statuses=[status] if status else [],
        after=decode(cursor),
        limit=_LINES,
    )
    return render(
        "batch.html",
        batch=line,
        pause=about_pause(line.paused.reason, line.paused.sender_domain) if line.paused else None,
        broken=sending.breakers.of_batch(batch_id),
        again=resendable_groups(services, holder, sending, line),
        resent=resent,
        page=page,
        wanted=status,
        older=encode(page.next),
        cursor=cursor,
        now=services.now(),
        moves=_soonest(services, line) is not None,
        refresh=None if still else _soonest(services, line),
    )


@router.get("/messages/{message_id}")
async def message(services: AppServices, holder: PageHolder, sending: AppOutbound, message_id: str) -> Response:
    """One message, what happened to it, and what its recipient got."""
    part = await sent_part(services, sending, holder, message_id)
    return await run_in_threadpool(_message, services, holder, sending, message_id, part)


def _message(
    services: Services, holder: Holder, sending: OutboundServices, message_id: str, part: SentPart | Unshown
) -> Response:
    line = sending.message_reader.message(holder.tenant, message_id)
    content = sending.message_reader.content(holder.tenant, message_id)
    activities = sending.message_reader.activities(holder.tenant, message_id)
    if line is None or content is None or activities is None:
        raise HTTPException(404, "Message not found.")
    return render(
        "message.html",
        message=line,
        waits=line.status in WAITING,
        again=resendable_message(services, holder, sending, line),
        advice=advice(line.reason, message_id=line.id, batch_id=line.batch_id, sender=line.sender),
        content=content,
        part=None if isinstance(part, Unshown) else part,
        unshown=part if isinstance(part, Unshown) else None,
        activities=activities,
        run_url=run_url(services, holder, run_of(activities)),
    )


@router.get("/recipients")
def recipient(
    services: AppServices,
    holder: PageHolder,
    sending: AppOutbound,
    address: Asked = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
) -> Response:
    """Everything that was sent to one address, and what became of it; without an address, where to ask for one."""
    typed_address = (address or "").strip()
    if not typed_address:
        return render("recipient.html", address="", page=None, suppressed=[])
    owner, name = tenant_for(holder, tenant), address_of(typed_address)
    page = sending.message_reader.messages(
        owner, recipient=name, batch_id=None, statuses=[], after=decode(cursor), limit=_LINES
    )
    return render(
        "recipient.html",
        address=name,
        page=page,
        older=encode(page.next),
        cursor=cursor,
        suppressed=sending.suppressions.all(
            owner, address=name, after=None, limit=_LINES, with_global=holder.tenant is None
        ),
        now=services.now(),
    )


@router.get("/suppressions")
def suppressions(
    services: AppServices,
    holder: PageHolder,
    sending: AppOutbound,
    address: Asked = None,
    scope: Scope | None = None,
    cursor: Cursor = None,
) -> Response:
    """The addresses that get no mail."""
    typed_address = (address or "").strip()
    entries = sending.suppressions.all(
        holder.tenant,
        address=address_of(typed_address) if typed_address else None,
        after=decode_place(cursor),
        limit=_LINES + 1,
        with_global=holder.tenant is None,
        scope=scope,
    )
    last = entries[_LINES - 1] if len(entries) > _LINES else None
    return render(
        "suppressions.html",
        suppressions=entries[:_LINES],
        asked=typed_address,
        now=services.now(),
        older=encode_place(last.place) if last else None,
        cursor=cursor,
        scopes=list(Scope),
        wanted=scope,
    )


@router.get("/parked")
def parked(
    holder: PageHolder, sending: AppOutbound, before: Annotated[int | None, Query(ge=1, lt=2**63)] = None
) -> Response:
    """Show parked events: their message, and so their tenant, is unknown, so the page is for administrators."""
    if holder.tenant is not None:
        raise HTTPException(404, "Page not found.")
    lines = sending.message_reader.parked(before=before, limit=_LINES + 1)
    older = lines[_LINES - 1].id if len(lines) > _LINES else None
    return render("parked.html", lines=lines[:_LINES], older=older, before=before)


def _soonest(services: Services, *lines: BatchLine) -> int | None:
    now = services.now()
    return min((after for line in lines if (after := refresh_s(line, now)) is not None), default=None)
