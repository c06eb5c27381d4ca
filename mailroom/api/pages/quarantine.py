"""The page of e-mails that were not filed, and the pages that replay and release them: choose, preview, progress.

Choosing and preview are GET and change nothing. An address is added by operators alone; to others its page does not exist.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mailroom.api.auth import PageHolder, from_this_site
from mailroom.api.pages.forms import Form, field
from mailroom.api.pages.inbox import run_url
from mailroom.api.pages.rendering import render
from mailroom.api.pages.replay_progress import bar, refresh_s
from mailroom.api.paging import Cursor, decode, encode
from mailroom.api.replaying import AppReplayer, begun, checked, foreseen, found
from mailroom.api.scopes import TO_ADMINISTER
from mailroom.api.services import AppServices
from mailroom.api.trail import NAMED_TENANT
from mailroom.api.v1.replays import TROUBLED
from mailroom.domain.inbound.filing_policy import RELEASABLE
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import REPLAYABLE
from mailroom.domain.inbound.replaying import ReplayAction
from mailroom.domain.inbound.routing import INBOX, Address, is_starred
from mailroom.domain.tenants import tenant_name
from mailroom.domain.times import read_time
from mailroom.inbound.address_book import read_address, usual_user
from mailroom.inbound.processors import known_processors
from mailroom.ports.api_keys import Holder
from mailroom.ports.replays import ReplayOrder, UnroutedRecipient

router = APIRouter(prefix="/quarantine", include_in_schema=False, default_response_class=HTMLResponse)

_LINES, _RECENT, _RECIPIENTS, _TROUBLED = 50, 5, 12, 50
_WORD = r"^[^\x00]{1,200}$"
_FIELDS = ("reason", "recipient", "until")

Reason = Annotated[str | None, Query(pattern=_WORD)]
Written = Annotated[str, Query(pattern=r"^[^\x00]{1,320}$")]


@router.get("")
def quarantine(services: AppServices, holder: PageHolder, reason: Reason = None, cursor: Cursor = None) -> Response:
    """The e-mails that were not filed, by reason; with `reason` the e-mails of one."""
    page = services.reader.emails(
        holder.tenant, states=REPLAYABLE, reason=reason, since=None, after=decode(cursor), limit=_LINES
    )
    store = services.replayer.replays if services.replayer is not None else None
    may_act = store is not None and TO_ADMINISTER.is_met(holder)
    groups = store.groups(holder.tenant) if store is not None else ()
    shows_recipients = may_act and holder.tenant is None and reason in (None, InboundReason.NO_ROUTE.value)
    return render(
        "quarantine.html",
        page=page,
        groups=groups,
        chosen=next((one for one in groups if one.reason == reason), None) if reason else None,
        reason=reason,
        releasable=RELEASABLE,
        may_act=may_act,
        recipients=_addable(store.unrouted(limit=_RECIPIENTS)) if store is not None and shows_recipients else (),
        replays=store.recent(holder.tenant, limit=_RECENT) if store is not None and may_act else (),
        runs={line.id: run_url(services, holder, line.run_id) for line in page.lines},
        older=encode(page.next),
        cursor=cursor,
    )


@router.get("/replay")
def preview(
    services: AppServices,
    holder: PageHolder,
    replayer: AppReplayer,
    action: ReplayAction = ReplayAction.REPLAY,
    reason: Reason = None,
    recipient: Annotated[str | None, Query(pattern=_WORD, max_length=320)] = None,
    id: Annotated[list[str] | None, Query(max_length=_LINES)] = None,
) -> Response:
    """What a replay would touch, with the button that begins it; nothing is changed."""
    if not (id or reason or recipient):
        return render("replay_nothing.html")
    # E-mails that come after this look are not among those that the button replays.
    until = None if id else services.now()
    order = checked(ReplayOrder(action=action, ids=tuple(id or ()), reason=reason, recipient=recipient, until=until))
    seen = foreseen(services, replayer, holder, order)
    return render("replay_preview.html", order=order, seen=seen)


@router.post("/replay")
def replay(request: Request, services: AppServices, holder: PageHolder, replayer: AppReplayer, form: Form) -> Response:
    """Begin what the preview showed."""
    from_this_site(request)
    replay = begun(services, replayer, holder, _order(form))
    return RedirectResponse(f"/quarantine/replays/{replay.id}", 303)


@router.get("/replays/{replay_id}")
def progress(
    services: AppServices, holder: PageHolder, replayer: AppReplayer, replay_id: str, still: bool = False
) -> Response:
    """How far a replay is, and which e-mails a person should look at; it refreshes by itself while anything is left."""
    replay = found(replayer, holder, replay_id)
    troubled = replayer.replays.mails(holder.tenant, replay.id, states=TROUBLED, limit=_TROUBLED)
    return render(
        "replay.html",
        replay=replay,
        bar=bar(replay),
        refresh=None if still else refresh_s(replay),
        troubled=troubled,
        runs={one.email_id: run_url(services, holder, one.run_id) for one in troubled},
    )


@router.get("/address")
def address(services: AppServices, holder: PageHolder, replayer: AppReplayer, recipient: Written = "") -> Response:
    """The form that adds a recipient as an address, with the e-mails that wait for it."""
    _operator(holder)
    order = _waiting_for(recipient)
    return _address_page(services, holder, replayer, order, {})


@router.post("/address")
def add_address(
    request: Request, services: AppServices, holder: PageHolder, replayer: AppReplayer, form: Form
) -> Response:
    """Add the address, and replay the e-mails that wait for it; a fault is shown above the form."""
    _operator(holder)
    from_this_site(request)
    order = _waiting_for(field(form, "recipient"), until=services.now())
    try:
        tenant = tenant_name(field(form, "tenant"))
        added = read_address(
            order.recipient or "", tenant, user=field(form, "user"), processor=field(form, "processor")
        )
    except ValueError as error:
        return _address_page(services, holder, replayer, order, form, fault=str(error))
    if services.addresses is None:
        raise HTTPException(404, "This installation has no directory of addresses.")
    setattr(request.state, NAMED_TENANT, tenant)
    services.addresses.add_all([added])
    replay = begun(services, replayer, holder, order)
    return RedirectResponse(f"/quarantine/replays/{replay.id}", 303)


def _address_page(
    services: AppServices,
    holder: Holder,
    replayer: AppReplayer,
    order: ReplayOrder,
    form: Mapping[str, list[str]],
    fault: str | None = None,
) -> Response:
    pattern = order.recipient or ""
    supposed = Address(pattern, "supposed", usual_user(pattern), INBOX)
    values: dict[str, Any] = {name: field(form, name) for name in ("tenant", "user", "processor")}
    values["user"] = values["user"] or usual_user(pattern)
    return render(
        "quarantine_address.html",
        status=422 if fault else 200,
        recipient=pattern,
        seen=foreseen(services, replayer, holder, order, [supposed]),
        processors=sorted(known_processors()),
        values=values,
        fault=fault,
    )


def _addable(recipients: Sequence[UnroutedRecipient]) -> list[UnroutedRecipient]:
    return [one for one in recipients if _is_one(one.address)]


def _is_one(address: str) -> bool:
    """Return whether this is one address: stars alone stand for the whole domain."""
    local, _, _ = address.rpartition("@")
    return bool(local.strip("*")) and not is_starred(address)


def _operator(holder: Holder) -> None:
    if holder.tenant is not None:
        raise HTTPException(404, "Not found.")


def _waiting_for(recipient: str, *, until: datetime | None = None) -> ReplayOrder:
    """Return the order of the e-mails that wait for an address.

    Raises:
        HTTPException: 422, it is none, or a pattern: a stranger may have written to `*@` a domain here.
    """
    order = checked(ReplayOrder(reason=InboundReason.NO_ROUTE.value, recipient=recipient or "none", until=until))
    if not _is_one(order.recipient or ""):
        raise HTTPException(422, "This is a pattern for many addresses; add it with `mailroom address add`.")
    return order


def _order(form: Mapping[str, list[str]]) -> ReplayOrder:
    """Return the order of a posted preview.

    Raises:
        HTTPException: 422, it is not as the preview made it.
    """
    reason, recipient, until = (field(form, name) or None for name in _FIELDS)
    try:
        action = ReplayAction(field(form, "action"))
        before = read_time(until) if until else None
    except ValueError:
        raise HTTPException(422, "The form is not complete; go back to the quarantine and choose again.") from None
    ids = tuple(form.get("id", ()))[:_LINES]
    if any("\x00" in text for text in (*ids, reason or "", recipient or "")):
        raise HTTPException(422, "The form is not complete; go back to the quarantine and choose again.")
    order = ReplayOrder(action=action, ids=ids, reason=reason, recipient=recipient, until=before)
    return checked(order)
