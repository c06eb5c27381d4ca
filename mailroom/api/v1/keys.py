"""The JSON routes of API keys: add, list, revoke, rotate."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder
from mailroom.api.key_making import Unusable, add_key, rotate_key, unknown_key
from mailroom.api.paging import Cursor, Limit, decode, encode
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.outbound import new_tenant
from mailroom.domain.api_keys import EVERYTHING, MOST_NAME, MOST_SCOPES, SCOPES
from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.json_model import JsonModel
from mailroom.outbound.json_time import Time
from mailroom.ports.api_keys import LONGEST_OVERLAP, OVERLAP, KeyState

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=PROBLEM, route_class=KnownQuery)

_OVERLAP_S, _LONGEST_S = (int(span.total_seconds()) for span in (OVERLAP, LONGEST_OVERLAP))
_INSTALLATION = "A key of the installation, which may do everything for every tenant; with an administrator's key"


class NewApiKey(_RequestModel):
    """A key to add."""

    name: Annotated[str, Field(max_length=MOST_NAME, description="Who uses it, as lists and histories show it")]
    scopes: Annotated[
        list[Annotated[str, Field(max_length=400)]],
        Field(max_length=MOST_SCOPES, description=f"What it may do: {SCOPES}. A key of the installation needs none"),
    ] = Field(default_factory=list)
    ends_at: Time | None = Field(default=None, description="When it ends; null is never")
    installation: Annotated[bool, Field(description=_INSTALLATION)] = False


class Rotation(_RequestModel):
    """How a key is rotated."""

    overlap_s: Annotated[
        int, Field(ge=0, le=_LONGEST_S, description="Seconds for which the old key works beside the new one; 0: none")
    ] = _OVERLAP_S


class KeyResponse(JsonModel):
    """A key, without its secret."""

    id: str
    name: str
    tenant: str | None = Field(description="Null: a key of the installation")
    scopes: list[str]
    state: KeyState
    starts: str | None = Field(description="The first characters of the key; null for one that was made by SQL")
    created_at: datetime
    made_by: str | None = Field(description="The name of the key that made it, or `cli`")
    ends_at: datetime | None
    last_used_at: datetime | None = Field(description="Recorded at most once a minute")
    revoked_at: datetime | None
    revoked_by: str | None
    replaced_by: str | None = Field(description="The id of the key that it was rotated to")


class NewKeyResponse(KeyResponse):
    """The new key with its secret, which is returned only here."""

    key: str


class KeysResponse(BaseModel):
    """A page of keys."""

    items: list[KeyResponse]
    next: str | None


@router.post("", status_code=201)
def create_key(services: AppServices, holder: ApiHolder, new: NewApiKey, tenant: Tenant = None) -> NewKeyResponse:
    """Add a key of a tenant. Only this response has the key itself; it works at once.

    A key makes no key that does more or lasts longer than itself. With an administrator's key `tenant` names the tenant, or
    `installation` is true.
    """
    owner = tenant_for(holder, tenant)
    if (owner is None) is not new.installation:
        raise Unusable("installation", "name a tenant by the parameter tenant, or set installation to true, not both")
    line, secret = add_key(
        services,
        holder,
        name=new.name,
        scopes=new.scopes or (EVERYTHING if new.installation else ()),
        tenant=None if owner is None else new_tenant(owner),
        ends_at=new.ends_at,
    )
    return NewKeyResponse(**KeyResponse.model_validate(line).model_dump(), key=secret)


@router.get("")
def list_keys(
    services: AppServices, holder: ApiHolder, tenant: Tenant = None, cursor: Cursor = None, limit: Limit = 50
) -> KeysResponse:
    """List keys, the newest first, with those that ended or were revoked. The keys themselves are not stored."""
    page = services.keys.all(tenant_for(holder, tenant), after=decode(cursor), limit=limit)
    return KeysResponse(items=[KeyResponse.model_validate(line) for line in page.lines], next=encode(page.next))


@router.get("/{key_id}")
def show_key(services: AppServices, holder: ApiHolder, key_id: str) -> KeyResponse:
    """Return one key."""
    line = services.keys.find(holder.tenant, key_id)
    if line is None:
        raise unknown_key()
    return KeyResponse.model_validate(line)


@router.post("/{key_id}/revoke")
def revoke_key(services: AppServices, holder: ApiHolder, key_id: str) -> KeyResponse:
    """Revoke a key: it is refused from the next request on, and never works again. The call may be repeated."""
    line = services.keys.revoke(holder.tenant, key_id, by=holder.name)
    if line is None:
        raise unknown_key()
    return KeyResponse.model_validate(line)


@router.post("/{key_id}/rotate", status_code=201)
def rotate(services: AppServices, holder: ApiHolder, key_id: str, how: Rotation | None = None) -> NewKeyResponse:
    """Add a key with the same name and scopes, and end this one after the overlap, by default in 24 hours.

    Only this response has the new key itself. A key that lasts for a time is followed by one that lasts as long. 409: the key is
    not active, or was rotated before.
    """
    overlap = timedelta(seconds=(how or Rotation()).overlap_s)
    line, _, secret = rotate_key(services, holder, key_id, overlap)
    return NewKeyResponse(**KeyResponse.model_validate(line).model_dump(), key=secret)
