"""Which scope each route and page needs: the one table. A route that is not in it is refused, whatever the key.

    key ──> its scopes (403) ──> the inbox that the path names (404 where the key may not read it) ──> the route

Scopes are explained in `mailroom.domain.api_keys`; what belongs to another tenant is not decided here (`mailroom.api.access`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from fastapi import FastAPI, HTTPException, Request
from starlette.concurrency import run_in_threadpool

from mailroom.api.addresses import compared
from mailroom.api.auth import holder_of, page_holder
from mailroom.api.pages.reader import read_as
from mailroom.api.services import Services, services_of
from mailroom.delivery.provider_events.registered import HOOKS
from mailroom.domain.api_keys import ADMINISTER, ARCHIVE, INBOX, SEND, inboxes_of, may_read
from mailroom.domain.people import Role
from mailroom.ports.api_keys import Holder
from mailroom.ports.archive import Archive


@dataclass(frozen=True, slots=True)
class Need:
    """The scopes of which a key needs one, besides `administer`, which always suffices; `is_open` needs no key.

    `is_personal` is of everybody who is signed in; for a key it does not exist.
    """

    scopes: tuple[str, ...] = ()
    is_open: bool = False
    is_personal: bool = False

    @property
    def words(self) -> list[str]:
        """Return the scopes as a person writes them, the narrowest first."""
        return [f"{INBOX}ADDRESS" if scope == INBOX else scope for scope in (*self.scopes, ADMINISTER)]

    def is_met(self, holder: Holder) -> bool:
        """Return whether the holder has one of the scopes, or is a person where that is what counts."""
        if self.is_personal:
            return holder.person_id is not None
        held = {INBOX if scope.startswith(INBOX) else scope for scope in holder.scopes}
        return self.is_open or not held.isdisjoint({*self.scopes, ADMINISTER})


#: Counts, links of mails, and hooks, which authenticate their callers by other means.
OPEN = Need(is_open=True)
TO_SEND, TO_ADMINISTER = Need((SEND,)), Need()
#: What a person settles for themselves alone.
PERSONAL = Need(is_personal=True)
#: One inbox; the path names it, or an item in it.
TO_READ = Need((INBOX,))
#: The archived bytes and receipts of an item.
TO_FETCH = Need((INBOX, ARCHIVE))
#: The states of received e-mails, without an address.
TO_FOLLOW = Need((ARCHIVE,))

#: By method and path. HEAD is as GET.
NEEDS: Mapping[str, Need] = MappingProxyType(
    {
        # Of operators and their tools.
        "GET /healthz": OPEN,
        "GET /readyz": OPEN,
        "GET /metrics": OPEN,
        "GET /docs": OPEN,
        "GET /openapi.json": OPEN,
        "GET /static/mailroom.css": OPEN,
        # Signing in and out, which a person does without a session.
        "GET /sign-in": OPEN,
        "POST /sign-in": OPEN,
        "GET /sign-in/{secret}": OPEN,
        "POST /sign-in/{secret}": OPEN,
        "GET /sign-in-with-a-key": OPEN,
        "GET /sign-in-with-openid": OPEN,
        "GET /sign-in-with-openid/callback": OPEN,
        "POST /sign-out": OPEN,
        "POST /sign-out/everywhere": OPEN,
        "GET /static/keys.js": OPEN,
        # Of recipients and providers.
        "GET /u/{token}": OPEN,
        "POST /u/{token}": OPEN,
        "GET /c/{token}": OPEN,
        "GET /o/{token}.gif": OPEN,
        "POST /hooks/inbound": OPEN,
        "POST /hooks/ses": OPEN,
        **{f"POST /hooks/{name}": OPEN for name in HOOKS},
        # Received mail.
        "GET /": TO_READ,
        "GET /inboxes": TO_READ,
        "GET /inboxes/{address:path}": TO_READ,
        "GET /v1/inboxes/{address:path}/items": TO_READ,
        "GET /items/{item_id}": TO_FETCH,
        "GET /items/{item_id}/html": TO_FETCH,
        "GET /items/{item_id}/print": TO_FETCH,
        "POST /items/{item_id}/done": TO_READ,
        "POST /items/{item_id}/undo": TO_READ,
        "PATCH /v1/items/{item_id}": TO_READ,
        "GET /items/{item_id}/source": TO_FETCH,
        "GET /items/{item_id}/attachments/{number}": TO_FETCH,
        "GET /items/{item_id}/attachments/{number}/members/{member}": TO_FETCH,
        "GET /items/{item_id}/attachments/{number}/preview": TO_FETCH,
        "GET /items/{item_id}/attachments/{number}/members/{member}/preview": TO_FETCH,
        "GET /items/{item_id}/raw": TO_FETCH,
        "GET /items/{item_id}/files.zip": TO_FETCH,
        "GET /v1/items/{item_id}": TO_FETCH,
        "GET /v1/items/{item_id}/attachments/{number}": TO_FETCH,
        "GET /v1/items/{item_id}/attachments/{number}/members/{member}": TO_FETCH,
        "GET /v1/items/{item_id}/raw": TO_FETCH,
        "GET /v1/items/{item_id}/files.zip": TO_FETCH,
        "GET /v1/inbound": TO_FOLLOW,
        "GET /status": TO_ADMINISTER,
        "GET /v1/status": TO_ADMINISTER,
        "GET /v1/inbound/reasons": TO_FOLLOW,
        "POST /v1/inbound/replay": TO_ADMINISTER,
        "GET /v1/inbound/replays": TO_ADMINISTER,
        "GET /v1/inbound/replays/{replay_id}": TO_ADMINISTER,
        "GET /quarantine": TO_FOLLOW,
        "GET /quarantine/replay": TO_ADMINISTER,
        "POST /quarantine/replay": TO_ADMINISTER,
        "GET /quarantine/replays/{replay_id}": TO_ADMINISTER,
        "GET /quarantine/address": TO_ADMINISTER,
        "POST /quarantine/address": TO_ADMINISTER,
        "POST /v1/inbound/{email_id}/replay": TO_ADMINISTER,
        "GET /v1/addresses": TO_ADMINISTER,
        "POST /v1/addresses": TO_ADMINISTER,
        "PATCH /v1/addresses": TO_ADMINISTER,
        "DELETE /v1/addresses": TO_ADMINISTER,
        # Batches and messages.
        "GET /batches": TO_SEND,
        "GET /batches/{batch_id}": TO_SEND,
        "POST /batches/{batch_id}/resend": TO_SEND,
        "GET /messages/{message_id}": TO_SEND,
        "GET /messages/{message_id}/html": TO_SEND,
        "GET /messages/{message_id}/content.eml": TO_SEND,
        "POST /messages/{message_id}/resend": TO_SEND,
        "GET /recipients": TO_SEND,
        "GET /parked": TO_SEND,
        "GET /v1/batches": TO_SEND,
        "POST /v1/batches": TO_SEND,
        "GET /v1/batches/{batch_id}": TO_SEND,
        "PATCH /v1/batches/{batch_id}": TO_SEND,
        "POST /v1/batches/{batch_id}/cancel": TO_SEND,
        "POST /v1/batches/{batch_id}/resume": TO_SEND,
        "POST /v1/batches/{batch_id}/resend": TO_SEND,
        "GET /v1/messages": TO_SEND,
        "GET /v1/messages/{message_id}": TO_SEND,
        "GET /v1/messages/{message_id}/activities": TO_SEND,
        "GET /v1/messages/{message_id}/content": TO_SEND,
        "GET /v1/messages/{message_id}/content.eml": TO_SEND,
        "POST /v1/messages/{message_id}/resend": TO_SEND,
        # Recipients and limits. Adding a suppression withholds mail; removing one sends to people who left.
        "GET /suppressions": TO_SEND,
        "GET /v1/suppressions": TO_SEND,
        "POST /v1/suppressions": TO_SEND,
        "DELETE /v1/suppressions": TO_ADMINISTER,
        "GET /v1/quotas": TO_SEND,
        "PUT /v1/quotas": TO_ADMINISTER,
        "GET /senders": TO_SEND,
        "GET /v1/senders": TO_SEND,
        "POST /v1/senders": TO_ADMINISTER,
        "DELETE /v1/senders": TO_ADMINISTER,
        "GET /v1/streams": TO_SEND,
        "PUT /v1/streams": TO_ADMINISTER,
        "GET /breakers": TO_SEND,
        "GET /v1/breakers": TO_SEND,
        "POST /v1/breakers/{breaker_id}/close": TO_ADMINISTER,
        # Webhooks. A new one gets every event of the tenant's messages.
        "GET /webhooks": TO_SEND,
        "GET /webhooks/{webhook_id}": TO_SEND,
        "POST /webhooks/{webhook_id}/replay": TO_ADMINISTER,
        "POST /webhooks/{webhook_id}/enable": TO_ADMINISTER,
        "GET /v1/webhooks": TO_SEND,
        "GET /v1/webhooks/{webhook_id}": TO_SEND,
        "GET /v1/webhooks/{webhook_id}/attempts": TO_SEND,
        "POST /v1/webhooks": TO_ADMINISTER,
        "DELETE /v1/webhooks/{webhook_id}": TO_ADMINISTER,
        "POST /v1/webhooks/{webhook_id}/enable": TO_ADMINISTER,
        "POST /v1/webhooks/{webhook_id}/replay": TO_ADMINISTER,
        # Keys.
        "GET /keys": TO_ADMINISTER,
        "POST /keys": TO_ADMINISTER,
        "POST /keys/{key_id}/revoke": TO_ADMINISTER,
        "POST /keys/{key_id}/rotate": TO_ADMINISTER,
        # People, and what was seen and done.
        "GET /settings": PERSONAL,
        "POST /settings": PERSONAL,
        "GET /people": TO_ADMINISTER,
        "POST /people": TO_ADMINISTER,
        "POST /people/{person_id}/inboxes": TO_ADMINISTER,
        "POST /people/{person_id}/role": TO_ADMINISTER,
        "POST /people/{person_id}/remove": TO_ADMINISTER,
        "GET /trail": TO_ADMINISTER,
        "GET /v1/trail": TO_ADMINISTER,
        "GET /v1/keys": TO_ADMINISTER,
        "POST /v1/keys": TO_ADMINISTER,
        "GET /v1/keys/{key_id}": TO_ADMINISTER,
        "POST /v1/keys/{key_id}/revoke": TO_ADMINISTER,
        "POST /v1/keys/{key_id}/rotate": TO_ADMINISTER,
    }
)


class ScopeMissing(HTTPException):
    """The key is valid and may not do this: 403, with the scopes of which it needs one; or the person may not."""

    def __init__(self, needs: list[str], holder: Holder | None = None) -> None:
        what = f"This key has no scope for this request: it needs {' or '.join(needs)}."
        if holder is not None and holder.role is not None:
            what = f"You are signed in as {holder.name}, {holder.role}, who may not see or do this."
            if holder.role is Role.MEMBER and not holder.scopes:
                what = (
                    f"You are signed in as {holder.name}. No inbox was given to you yet; ask an administrator for one."
                )
        super().__init__(403, what)
        self.members: dict[str, Any] = {"needs": needs}


def need_of(method: str, path: str) -> Need | None:
    """Return what a route needs, by its method and its path with the names of its parameters; None if it is not listed."""
    return NEEDS.get(f"{'GET' if method == 'HEAD' else method} {path}")


async def admit(request: Request) -> None:
    """Return if the request's key may use its route. Every router depends on it, before all of its own dependencies.

    Raises:
        HTTPException: 401 without a valid key, 403 without the scope or where the route is not listed, 404 for an inbox that the
            key may not read.
    """
    need = need_of(request.method, getattr(request.scope.get("route"), "path", ""))
    if need is not None and need.is_open:
        return
    services, holder = services_of(request), getattr(request.state, "holder", None)
    if holder is None:
        holder = request.state.holder = await run_in_threadpool(_holder, request, services)
    read_as(holder)
    if need is None:
        raise HTTPException(403, "This route is not open to any key yet; report it to the operator.")
    if not need.is_met(holder):
        if need.is_personal:
            raise HTTPException(404, "A key has no settings; sign in as a person.")
        raise ScopeMissing(need.words, holder)
    if INBOX in need.scopes and reads_some(holder):
        await run_in_threadpool(_refuse_other_inboxes, request, services, holder, need)


def describe_scopes(app: FastAPI) -> None:
    """Have the OpenAPI document say of each operation which scopes suffice."""
    made, by_path = app.openapi, {re.sub(r":\w+\}", "}", route): need for route, need in NEEDS.items()}

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            for path, operations in made()["paths"].items():
                for method, operation in operations.items():
                    need = by_path.get(f"{method.upper()} {path}")
                    if need is not None and not need.is_open:
                        words = " or ".join(f"`{scope}`" for scope in need.words)
                        operation["description"] = f"{operation.get('description', '')}\n\nScope: {words}.".strip()
        return made()

    app.openapi = document  # type: ignore[method-assign]


def reads_some(holder: Holder) -> bool:
    """Return whether the key may read only the inboxes that its scopes name."""
    return ADMINISTER not in holder.scopes


def inboxes_for(holder: Holder) -> tuple[str, ...] | None:
    """Return the addresses and patterns of the inboxes that the key may read; None for all of its tenant's."""
    return inboxes_of(holder.scopes) if reads_some(holder) else None


def archive_for(holder: Holder, archive: Archive) -> Archive:
    """Return the archive from which a batch of this key may attach documents: to send one is to read it.

    Without the scope `archive` or `administer`, each use of it raises `ScopeMissing`.
    """
    return archive if TO_FOLLOW.is_met(holder) else cast(Archive, _ClosedArchive())


class _ClosedArchive:
    def __getattr__(self, name: str) -> Any:
        raise ScopeMissing(TO_FOLLOW.words)


def _holder(request: Request, services: Services) -> Holder:
    if request.scope["path"].startswith("/v1/"):
        return holder_of(services, request.headers.get("authorization", ""))
    return page_holder(request, services)


def _refuse_other_inboxes(request: Request, services: Services, holder: Holder, need: Need) -> None:
    """Return if the path names no inbox, or one that the key may read; others are as inboxes and items that do not exist.

    An archivist has every item of a route that the scope `archive` opens, and of no other.

    Raises:
        HTTPException: 404.
    """
    if "address" in request.path_params:
        inbox = compared(request.path_params["address"])
        if inbox is None or not may_read(holder.scopes, inbox):
            raise HTTPException(404, "Inbox not found.")
    if "item_id" in request.path_params and ARCHIVE not in {*holder.scopes}.intersection(need.scopes):
        filed_to = services.reader.inbox_of(holder.tenant, request.path_params["item_id"])
        if filed_to is None or not may_read(holder.scopes, filed_to):
            raise HTTPException(404, "Item not found.")
