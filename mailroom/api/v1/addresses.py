"""The JSON routes of receiving addresses: list, add in bulk, change, remove. Changes are for administrators."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, Field

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder
from mailroom.api.paging import Cursor, Limit, decode_place, encode_place
from mailroom.api.problems import PROBLEM, answer_error
from mailroom.api.services import AppServices, Services
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.outbound import sender_tenant
from mailroom.domain.inbound.routing import INBOX, Address
from mailroom.inbound.address_book import (
    MOST_ADDED,
    read_address,
    read_pattern,
    read_processor,
    read_user,
    what_happens,
    what_is_next,
)
from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.json_model import JsonModel
from mailroom.ports.addresses import Addresses, KnownAddress
from mailroom.ports.api_keys import Holder

router = APIRouter(prefix="/v1", tags=["inbound"], responses=PROBLEM, route_class=KnownQuery)

Written = Annotated[str, Query(min_length=1, max_length=320, description="The address, as listed")]
DryRun = Annotated[bool, Query(description="Only return what would happen")]

_WRITTEN = "name@domain, name-*@domain, @domain, *@*.domain for subdomains, or prefix/"


class NewAddress(_RequestModel):
    """One receiving address."""

    address: str = Field(max_length=320, description=_WRITTEN)
    user: str | None = Field(
        default=None, max_length=200, description="Whose inbox it fills; by default the local part"
    )
    processor: str = Field(default=INBOX, max_length=200, description="How its mail is processed after filing")


class NewAddresses(_RequestModel):
    """Addresses to add, all or none."""

    addresses: Annotated[list[NewAddress], Field(min_length=1, max_length=MOST_ADDED)]


class AddressChange(_RequestModel):
    """What to change of an address; null leaves it."""

    user: str | None = Field(default=None, max_length=200)
    processor: str | None = Field(default=None, max_length=200)


class AddressResponse(JsonModel):
    """A receiving address."""

    address: str = Field(validation_alias="pattern", description=_WRITTEN)
    tenant: str
    user: str
    processor: str
    created_at: datetime


class AddressesResponse(BaseModel):
    """A page of receiving addresses; `next` is the `cursor` of the next page."""

    items: list[AddressResponse]
    next: str | None


class AddedAddress(BaseModel):
    """One address of a request to add: new, or there before, and then unchanged."""

    address: str
    user: str
    processor: str
    added: bool = Field(description="False: this tenant has it already, with this user and processor")


class AddedResponse(BaseModel):
    """The addresses of a request to add, in its order; with `dry_run` nothing was added."""

    tenant: str
    added: int
    dry_run: bool
    addresses: list[AddedAddress]


class MailOfAddressResponse(JsonModel):
    """The mail of an address that is changed or removed, and what happens to it."""

    address: str
    items: int = Field(description="Items filed in its inboxes: they stay, and can be read")
    under_way: int = Field(description="E-mails received and not filed yet: they are routed when they are processed")
    quarantined: int = Field(description="E-mails for it that wait for a person: they are routed again when replayed")
    counted_all: bool = Field(description="False: there are more e-mails than were counted")
    what_happens: list[str] = Field(description="The same as sentences, and where its mail goes from now on")


class ChangedResponse(BaseModel):
    """An address after a change, or as it would be with `dry_run`."""

    dry_run: bool
    before: AddressResponse
    after: AddressResponse
    mail: MailOfAddressResponse


class RemovedResponse(BaseModel):
    """The address that was removed, or with `dry_run` would be, with its mail."""

    tenant: str
    dry_run: bool
    mail: MailOfAddressResponse


@router.get("/addresses")
def list_addresses(
    services: AppServices,
    holder: ApiHolder,
    address: Written | None = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> AddressesResponse:
    """List receiving addresses, ordered by address; a tenant's key sees its tenant's, an administrator's all."""
    owner, wanted, after = tenant_for(holder, tenant), _pattern(address), decode_place(cursor)
    place = (after[0], after[1]) if after else None
    known = _book(services).page(owner, pattern=wanted, after=place, limit=limit + 1)
    last = known[limit - 1] if len(known) > limit else None
    items = [AddressResponse.model_validate(one) for one in known[:limit]]
    return AddressesResponse(items=items, next=encode_place((last.pattern, last.tenant, "")) if last else None)


@router.post(
    "/addresses",
    status_code=201,
    response_model=AddedResponse,
    responses={200: {"model": AddedResponse, "description": "What would be added, with dry_run"}},
)
def add_addresses(
    request: Request,
    response: Response,
    services: AppServices,
    holder: ApiHolder,
    new: NewAddresses,
    tenant: Tenant = None,
    dry_run: DryRun = False,
) -> AddedResponse | Response:
    """Add receiving addresses of one tenant, all or none; one that the tenant has already stays as it is. For administrators.

    The tenant is created if it is new. Mail that came before is not filed for them: replay what is quarantined as `no_route`.
    """
    _administrator(holder)
    owner = sender_tenant(holder, tenant)
    read, faults = _read(new.addresses, owner)
    if faults:
        return answer_error(request, 422, "Invalid addresses; nothing was added.", errors=faults)
    there = _book(services).find(owner, [one.pattern for one in read])
    missing = {one.pattern for one in read} - there.keys()
    added = missing if dry_run else {pattern for pattern, _ in _book(services).add_all(read)}
    response.status_code = 200 if dry_run else 201
    addresses = [_added(one, there.get(one.pattern), one.pattern in added) for one in read]
    return AddedResponse(tenant=owner, added=len(added), dry_run=dry_run, addresses=addresses)


@router.patch("/addresses")
def change_address(
    services: AppServices,
    holder: ApiHolder,
    change: AddressChange,
    address: Written,
    tenant: Tenant = None,
    dry_run: DryRun = False,
) -> ChangedResponse:
    """Change user or processor of an address, for mail that is routed from now on. For administrators.

    Items that were filed stay as they are. `dry_run` returns how much mail is on its way.
    """
    _administrator(holder)
    owner, pattern, book = sender_tenant(holder, tenant), _pattern(address) or "", _book(services)
    user, processor = _changed(change)
    before = book.find(owner, [pattern]).get(pattern)
    if before is None:
        raise HTTPException(404, "This tenant has no such address.")
    [mail] = _mail(book, owner, [pattern])
    if dry_run:
        after = KnownAddress(pattern, owner, user or before.user, processor or before.processor, before.created_at)
    elif (changed := book.change(owner, pattern, user=user, processor=processor)) is not None:
        after = changed
    else:
        raise HTTPException(404, "This tenant has no such address.")
    old, new = AddressResponse.model_validate(before), AddressResponse.model_validate(after)
    return ChangedResponse(dry_run=dry_run, before=old, after=new, mail=mail)


@router.delete("/addresses")
def remove_address(
    services: AppServices, holder: ApiHolder, address: Written, tenant: Tenant = None, dry_run: DryRun = False
) -> RemovedResponse:
    """Remove an address. For administrators.

    Items that were filed stay. E-mails on their way are routed when they are processed, by the addresses that are there then;
    `dry_run` returns how many there are, and where mail goes afterwards.
    """
    _administrator(holder)
    owner, pattern, book = sender_tenant(holder, tenant), _pattern(address) or "", _book(services)
    [mail] = _mail(book, owner, [pattern])
    mail.what_happens.append(what_is_next(pattern, [pattern], book, tenant=owner))
    if not (book.find(owner, [pattern]) if dry_run else book.remove(owner, [pattern])):
        raise HTTPException(404, "This tenant has no such address.")
    return RemovedResponse(tenant=owner, dry_run=dry_run, mail=mail)


def _book(services: Services) -> Addresses:
    if services.addresses is None:
        raise HTTPException(404, "This installation has no directory of addresses.")
    return services.addresses


def _administrator(holder: Holder) -> None:
    if holder.tenant is not None:
        raise HTTPException(403, "Only an administrator can change this; ask the operator of this installation.")


def _pattern(written: str | None) -> str | None:
    try:
        return None if written is None else read_pattern(written)
    except ValueError as error:
        raise HTTPException(422, f"Invalid address: {error}.") from None


def _read(addresses: Sequence[NewAddress], tenant: str) -> tuple[list[Address], list[dict[str, object]]]:
    """Return the addresses, and the faults by their places."""
    read, faults, seen = list[Address](), list[dict[str, object]](), set[str]()
    for at, one in enumerate(addresses):
        try:
            found = read_address(one.address, tenant, user=one.user, processor=one.processor)
            if found.pattern in seen:
                raise ValueError("this address is in the request twice")
        except ValueError as error:
            faults.append({"where": ["body", "addresses", str(at)], "what": str(error)})
            continue
        seen.add(found.pattern)
        read.append(found)
    return read, faults


def _added(one: Address, there: KnownAddress | None, added: bool) -> AddedAddress:
    user, processor = (there.user, there.processor) if there and not added else (one.user, one.processor)
    return AddedAddress(address=one.pattern, user=user, processor=processor, added=added)


def _changed(change: AddressChange) -> tuple[str | None, str | None]:
    try:
        processor = None if change.processor is None else read_processor(change.processor)
        return read_user(change.user), processor
    except ValueError as error:
        raise HTTPException(422, f"Invalid change: {error}.") from None


def _mail(book: Addresses, tenant: str, patterns: Sequence[str]) -> list[MailOfAddressResponse]:
    found = book.mail_of(tenant, patterns)
    return [
        MailOfAddressResponse(
            address=one,
            items=found[one].items,
            under_way=found[one].under_way,
            quarantined=found[one].quarantined,
            counted_all=found[one].counted_all,
            what_happens=what_happens(found[one]),
        )
        for one in patterns
    ]
