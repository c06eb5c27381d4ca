"""The JSON route of the trail."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder
from mailroom.api.paging import Cursor, Limit, decode, encode
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppServices
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.outbound.json_model import JsonModel

router = APIRouter(prefix="/v1/trail", tags=["trail"], responses=PROBLEM, route_class=KnownQuery)

PersonId = Annotated[str | None, Query(max_length=100, description="Only what the person with this id saw and did")]


class TrailEntryResponse(JsonModel):
    """What a person or a key saw or did."""

    id: str
    at: datetime
    what: str = Field(description="A word such as item_opened or signed_in; later releases write more")
    who: str = Field(description="A person's address, a key's name, or `cli` for the command")
    person_id: str | None
    key_id: str | None
    tenant: str | None = Field(description="Whose thing it is; null: the installation's")
    of: str | None = Field(description="The id of what it was, for a file followed by a slash and its number")


class TrailResponse(BaseModel):
    """A page of the trail."""

    items: list[TrailEntryResponse]
    next: str | None


@router.get("")
def list_trail(
    services: AppServices,
    holder: ApiHolder,
    tenant: Tenant = None,
    person: PersonId = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> TrailResponse:
    """List who saw and did what, the newest first. It is never changed, and has no content of a mail."""
    if services.trail is None:
        raise HTTPException(404, "This installation keeps no trail.")
    owner = tenant_for(holder, tenant)
    page = services.trail.entries(owner, person_id=person, after=decode(cursor), limit=limit)
    return TrailResponse(items=[TrailEntryResponse.model_validate(one) for one in page.lines], next=encode(page.next))
