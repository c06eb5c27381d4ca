"""The JSON routes of sending limits: suppressed addresses, quotas, and sender addresses."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder
from mailroom.api.paging import Cursor, Limit, decode_place, encode_place
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppOutbound, AppServices
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.outbound import address_of, known_tenant, new_tenant, sender_tenant
from mailroom.api.v1.requests import NewAllowance, NewSender, NewSuppression
from mailroom.api.v1.responses.outbound import (
    QuotaResponse,
    SendersResponse,
    SuppressedResponse,
    SuppressionsResponse,
    quota_response,
    suppression_answer,
)
from mailroom.domain.delivery.streams import TRANSACTIONAL, Scope, stream_name
from mailroom.domain.outbound.content_rules import sender_pattern
from mailroom.domain.outbound.quotas import Allowance
from mailroom.ports.api_keys import Holder
from mailroom.ports.suppressions import Suppression

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

Address = Annotated[str, Query(max_length=320)]
InScope = Annotated[Scope | None, Query(description="Only entries that cover this")]
OfStream = Annotated[str | None, Query(max_length=63, description="Only entries that cover this stream alone")]


@router.get("/suppressions")
def list_suppressions(
    holder: ApiHolder,
    sending: AppOutbound,
    address: Address | None = None,
    tenant: Tenant = None,
    scope: InScope = None,
    stream: OfStream = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> SuppressionsResponse:
    """List suppressed addresses, ordered by address; a tenant's key sees its tenant's, an administrator's all."""
    wanted = None if address is None else address_of(address)
    entries = sending.suppressions.all(
        tenant_for(holder, tenant),
        address=wanted,
        after=decode_place(cursor),
        limit=limit + 1,
        with_global=holder.tenant is None,
        scope=scope,
        stream=_searchable(stream),
    )
    last = entries[limit - 1] if len(entries) > limit else None
    items = [suppression_answer(one) for one in entries[:limit]]
    return SuppressionsResponse(items=items, next=encode_place(last.place) if last else None)


@router.post("/suppressions", status_code=201)
def suppress(
    services: AppServices, holder: ApiHolder, sending: AppOutbound, new: NewSuppression, tenant: Tenant = None
) -> SuppressedResponse:
    """Suppress addresses for a tenant; an administrator who names none suppresses them for all tenants.

    With a `stream` an entry covers that stream. Without, an `unsubscribe` covers all but transactional mail, any other all.
    """
    owner, now = tenant_for(holder, tenant), services.now()
    if owner is not None and holder.tenant is None:
        new_tenant(owner)
    stream = None if new.stream is None else _suppressible(new.stream, owner)
    added = sending.suppressions.add(
        [
            Suppression(
                address=address_of(address),
                reason=new.reason,
                tenant=owner,
                since=now,
                expires_at=new.expires_at,
                stream=stream,
            )
            for address in new.addresses
        ]
    )
    return SuppressedResponse(added=added)


@router.delete("/suppressions", status_code=204)
def release(
    holder: ApiHolder,
    sending: AppOutbound,
    address: Address,
    tenant: Tenant = None,
    scope: InScope = None,
    stream: OfStream = None,
) -> None:
    """Remove an address from the suppressions: all of its entries, or those of one scope or stream."""
    owner, one = tenant_for(holder, tenant), address_of(address)
    if not sending.suppressions.remove(owner, one, scope=scope, stream=_searchable(stream)):
        raise HTTPException(404, "This address is not suppressed.")


@router.get("/quotas")
def show_quota(services: AppServices, holder: ApiHolder, sending: AppOutbound, tenant: Tenant = None) -> QuotaResponse:
    """Return a tenant's quota and use for this hour, day and month."""
    owner, now = known_tenant(holder, tenant), services.now()
    return quota_response(owner, sending.quotas.allowance(owner), sending.quotas.used(owner, now=now), now)


@router.put("/quotas")
def set_quota(
    services: AppServices, holder: ApiHolder, sending: AppOutbound, new: NewAllowance, tenant: Tenant = None
) -> QuotaResponse:
    """Set a tenant's quota; for administrators."""
    _administrator(holder)
    owner, now = sender_tenant(holder, tenant), services.now()
    sending.quotas.allow(owner, Allowance(new.hour, new.day, new.month))
    return quota_response(owner, sending.quotas.allowance(owner), sending.quotas.used(owner, now=now), now)


@router.get("/senders")
def list_senders(holder: ApiHolder, sending: AppOutbound, tenant: Tenant = None) -> SendersResponse:
    """List the addresses that a tenant may send from."""
    owner = known_tenant(holder, tenant)
    return SendersResponse(tenant=owner, patterns=sending.senders.patterns(owner))


@router.post("/senders", status_code=201)
def allow_sender(holder: ApiHolder, sending: AppOutbound, new: NewSender, tenant: Tenant = None) -> SendersResponse:
    """Allow a tenant to send from an address or `@domain`, and then only from allowed ones; for administrators."""
    _administrator(holder)
    owner = sender_tenant(holder, tenant)
    sending.senders.allow(owner, _pattern(new.pattern))
    return SendersResponse(tenant=owner, patterns=sending.senders.patterns(owner))


@router.delete("/senders", status_code=204)
def forbid_sender(holder: ApiHolder, sending: AppOutbound, pattern: Address, tenant: Tenant = None) -> None:
    """Remove an address or `@domain` that a tenant may send from; for administrators."""
    _administrator(holder)
    if not sending.senders.forbid(known_tenant(holder, tenant), _pattern(pattern)):
        raise HTTPException(404, "Sender not found for this tenant.")


def _searchable(stream: str | None) -> str | None:
    return None if stream is None else _stream(stream)


def _suppressible(stream: str, tenant: str | None) -> str:
    """Return the stream of a new entry.

    Raises:
        HTTPException: 422, it is not valid, belongs to no tenant, or is one that no entry of a stream covers.
    """
    if tenant is None:
        raise HTTPException(422, "A stream belongs to a tenant: an entry with a stream names a tenant.")
    if _stream(stream) == TRANSACTIONAL:
        raise HTTPException(422, "Transactional mail is withheld by an entry for all mail only: leave out the stream.")
    return stream


def _stream(written: str) -> str:
    try:
        return stream_name(written)
    except ValueError as error:
        raise HTTPException(422, f"This is no stream: {error}.") from None


def _administrator(holder: Holder) -> None:
    if holder.tenant is not None:
        raise HTTPException(403, "Only an administrator can change this; ask the operator of this installation.")


def _pattern(written: str) -> str:
    try:
        return sender_pattern(written)
    except ValueError as error:
        raise HTTPException(422, f"A sender must be an address or @domain: {error}.") from None
