"""The JSON route that lists batches."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from mailroom.api.access import tenant_for
from mailroom.api.auth import ApiHolder
from mailroom.api.paging import Cursor, Limit, decode, encode
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppOutbound
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.domain.outbound.message import Status
from mailroom.outbound.batch_json import BatchResponse, batch_response
from mailroom.outbound.json_time import Time
from mailroom.ports.message_reader import BatchFilter

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

Since = Annotated[Time | None, Query(description="Submitted then or later; UTC unless an offset is given")]
Until = Annotated[Time | None, Query(description="Submitted before then; UTC unless an offset is given")]

OfStream = Annotated[
    str | None,
    Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$", description="Of this stream; `transactional` and `bulk` too"),
]


class BatchesResponse(BaseModel):
    """A page of batches. `done_at` of a list is null: `GET /v1/batches/ID` estimates it."""

    items: list[BatchResponse]
    next: str | None


@router.get("/batches")
def list_batches(
    holder: ApiHolder,
    sending: AppOutbound,
    status: Annotated[
        list[Status] | None,
        Query(description="With a message in this status; may be given more than once: in one of them"),
    ] = None,
    since: Since = None,
    until: Until = None,
    stream: OfStream = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> BatchesResponse:
    """List batches, newest first. With `status`, a page may have fewer than `limit` of them and still a next one."""
    page = sending.message_reader.batches(
        tenant_for(holder, tenant),
        after=decode(cursor),
        limit=limit,
        wanted=BatchFilter(statuses=status or (), since=since, until=until, stream=stream),
    )
    return BatchesResponse(items=[batch_response(line) for line in page.lines], next=encode(page.next))
