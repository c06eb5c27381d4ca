"""Writes the trail: for each route below, who used it on what, when its response begins.

    route ──> response begins ──> entry stored ──> response sent
                                     └── a look whose entry cannot be stored is not shown: 503

Of archived documents that a look shows, the archive's journal gets an entry each, by the same rule. What was changed is changed by then: if its entry cannot be stored, it is logged as an error with its ids. What has no route, or no
id in its path, is written where it is done: signing in and out, the commands; people and new keys, in the transaction of the change.
"""

import logging
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailroom.api.problems import answer_to
from mailroom.api.services import Services, services_of
from mailroom.archive.access import Look, Reader, looking
from mailroom.domain.errors import MailroomError
from mailroom.domain.trail import What
from mailroom.ports.api_keys import Holder
from mailroom.ports.trail import NewEntry

log = logging.getLogger(__name__)

#: In a request's state: the tenant that an operator names in a form.
NAMED_TENANT = "named_tenant"
#: In a request's state: what it reads of the archive.
_LOOK = "look"
#: What shows the text of a mail, which is in the database: the raw e-mail counts as read.
_SHOWS_MAIL = frozenset({What.ITEM_OPENED, What.HTML_SHOWN, What.SOURCE_SHOWN})
#: How a query says yes.
_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_LOOKS = {
    "/items/{item_id}": What.ITEM_OPENED,
    "/items/{item_id}/attachments/{number}": What.FILE_DOWNLOADED,
    "/items/{item_id}/attachments/{number}/members/{member}": What.FILE_DOWNLOADED,
    "/items/{item_id}/raw": What.RAW_DOWNLOADED,
    "/items/{item_id}/files.zip": What.ZIP_DOWNLOADED,
    "/messages/{message_id}/content.eml": What.SENT_MAIL_SHOWN,
}
#: By method and path, as `mailroom.api.scopes`. HEAD, which shows no content, is not written.
WRITTEN: Mapping[str, What] = MappingProxyType(
    {
        **{f"GET {path}": what for path, what in _LOOKS.items()},
        **{f"GET /v1{path}": what for path, what in _LOOKS.items()},
        "GET /items/{item_id}/html": What.HTML_SHOWN,
        "GET /items/{item_id}/source": What.SOURCE_SHOWN,
        "GET /items/{item_id}/print": What.ITEM_OPENED,
        "GET /items/{item_id}/attachments/{number}/preview": What.FILE_SHOWN,
        "GET /items/{item_id}/attachments/{number}/members/{member}/preview": What.FILE_SHOWN,
        "GET /messages/{message_id}": What.SENT_MAIL_SHOWN,
        "GET /messages/{message_id}/html": What.SENT_MAIL_SHOWN,
        "GET /v1/messages/{message_id}/content": What.SENT_MAIL_SHOWN,
        "POST /items/{item_id}/done": What.ITEM_MARKED,
        "POST /items/{item_id}/undo": What.ITEM_MARKED,
        "PATCH /v1/items/{item_id}": What.ITEM_MARKED,
        "POST /v1/inbound/{email_id}/replay": What.REPLAYED,
        "POST /v1/addresses": What.ADDRESS_ADDED,
        "POST /quarantine/address": What.ADDRESS_ADDED,
        "PATCH /v1/addresses": What.ADDRESS_CHANGED,
        "DELETE /v1/addresses": What.ADDRESS_REMOVED,
        "POST /batches/{batch_id}/resend": What.BATCH_RESENT,
        "POST /messages/{message_id}/resend": What.MESSAGE_RESENT,
        "PATCH /v1/batches/{batch_id}": What.BATCH_CHANGED,
        "POST /v1/batches/{batch_id}/cancel": What.BATCH_CANCELLED,
        "POST /v1/batches/{batch_id}/resume": What.BATCH_RESUMED,
        "POST /v1/batches/{batch_id}/resend": What.BATCH_RESENT,
        "POST /v1/messages/{message_id}/resend": What.MESSAGE_RESENT,
        "POST /v1/suppressions": What.SUPPRESSION_ADDED,
        "DELETE /v1/suppressions": What.SUPPRESSION_REMOVED,
        "PUT /v1/quotas": What.QUOTA_CHANGED,
        "POST /v1/senders": What.SENDER_ADDED,
        "DELETE /v1/senders": What.SENDER_REMOVED,
        "PUT /v1/streams": What.STREAM_CHANGED,
        "POST /v1/breakers/{breaker_id}/close": What.BREAKER_CLOSED,
        "POST /webhooks/{webhook_id}/replay": What.WEBHOOK_REPLAYED,
        "POST /webhooks/{webhook_id}/enable": What.WEBHOOK_ENABLED,
        "POST /v1/webhooks": What.WEBHOOK_ADDED,
        "DELETE /v1/webhooks/{webhook_id}": What.WEBHOOK_REMOVED,
        "POST /v1/webhooks/{webhook_id}/enable": What.WEBHOOK_ENABLED,
        "POST /v1/webhooks/{webhook_id}/replay": What.WEBHOOK_REPLAYED,
        "POST /keys/{key_id}/revoke": What.KEY_REVOKED,
        "POST /keys/{key_id}/rotate": What.KEY_ROTATED,
        "POST /v1/keys/{key_id}/revoke": What.KEY_REVOKED,
        "POST /v1/keys/{key_id}/rotate": What.KEY_ROTATED,
    }
)


class TrailWriter:
    """ASGI middleware, inside that which finds the holder's faults and outside the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application, and write before its response begins."""
        is_refused = False

        async def send_written(message: Message) -> None:
            nonlocal is_refused
            if message["type"] == "http.response.start" and (entry := _entry(scope, message["status"])):
                refusal = await _written(scope, entry)
                if refusal is not None:
                    is_refused = True
                    await refusal(scope, receive, send)
            if not is_refused:
                await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        look = scope.setdefault("state", {})[_LOOK] = Look(partial(_reader, scope))
        with looking(look):
            await self._app(scope, receive, send_written)


async def _written(scope: Scope, entry: NewEntry) -> ASGIApp | None:
    """Write an entry; return the response to give instead of what could not be written."""
    request = Request(scope)
    services = services_of(request)
    try:
        if entry.what.is_look:
            await run_in_threadpool(_write_access, services, scope["state"][_LOOK], entry.what)
        if services.trail is not None:
            await run_in_threadpool(services.trail.write, entry)
    except MailroomError as error:
        if entry.what.is_look:
            return answer_to(request, error)
        _report(entry, error)
    return None


def _write_access(services: Services, look: Look, what: What) -> None:
    """Journal the access to the archived documents that a response shows and that no read has journalled yet."""
    mail = [look.mail] if look.mail and what in _SHOWS_MAIL else []
    entries = look.entries([*mail, *look.files])
    if entries and services.journal is not None:
        services.journal.append_all(entries)
        look.entered(entries)


def _reader(scope: Scope) -> Reader:
    """Return who reads in this request, by a pseudonym, and what for: the trail's word, if it has one for the route."""
    holder: Holder | None = scope["state"].get("holder")
    what = WRITTEN.get(_route(scope))
    purpose = what.value if what else "request"
    if holder is None:
        return Reader("link", purpose)
    return Reader(f"user:{holder.person_id}" if holder.person_id else f"key:{holder.key_id or 'sql'}", purpose)


def write_change(services: Services, holder: Holder, what: What, of: str) -> None:
    """Write what the holder has changed, by its new id; if it cannot be stored, that is logged as an error with the ids."""
    if services.trail is None:
        return
    entry = holder.entry(what, tenant=holder.tenant, of=of)
    try:
        services.trail.write(entry)
    except MailroomError as error:
        _report(entry, error)


def _report(entry: NewEntry, error: MailroomError) -> None:
    ids = (entry.of, entry.person_id, entry.key_id)
    log.error("not written into the trail: %s of %s by person %s or key %s: %s", entry.what, *ids, error)


def _entry(scope: Scope, status: int) -> NewEntry | None:
    """Return what this response is about, or None: nothing was shown or done, or it is not written."""
    what = WRITTEN.get(_route(scope))
    holder: Holder | None = scope.get("state", {}).get("holder")
    if what is None or holder is None or not (200 <= status < 300 or status == 303) or _is_dry(scope):
        return None
    parameters: dict[str, Any] = scope.get("path_params", {})
    of = "/".join(str(value) for value in parameters.values()) or None
    return holder.entry(what, tenant=holder.tenant or _named_tenant(scope), of=of)


def _route(scope: Scope) -> str:
    return f"{scope['method']} {getattr(scope.get('route'), 'path', '')}"


def _is_dry(scope: Scope) -> bool:
    """Return whether a change was only shown."""
    return Request(scope).query_params.get("dry_run", "").lower() in _TRUE


def _named_tenant(scope: Scope) -> str | None:
    """Return the tenant that an operator names for a change; None without one. What the route accepted is a tenant's name."""
    if named := scope.get("state", {}).get(NAMED_TENANT):
        return str(named)
    if not scope["path"].startswith("/v1/"):
        return None
    return Request(scope).query_params.get("tenant") or None
