"""The JSON routes of streams: what an unsubscribe from a tenant's mail covers, and what the unsubscribe page says."""

from typing import Annotated

from fastapi import APIRouter, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import Field

from mailroom.api.auth import ApiHolder
from mailroom.api.problems import PROBLEM
from mailroom.api.services import AppOutbound, OutboundServices
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.outbound import known_tenant, sender_tenant
from mailroom.domain.delivery.streams import MOST_GROUPS, MOST_NAME, MOST_STREAMS, MOST_TEXT, Scope, UnsubscribePolicy
from mailroom.domain.delivery.streams import policy_faults as faults_of
from mailroom.outbound.batch_body import _RequestModel
from mailroom.outbound.json_model import JsonModel
from mailroom.ports.unsubscribing import Unsubscribing

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

_COVERS = "What an unsubscribe covers that says nothing of it: `stream` (its message's) or `not_transactional`"
_TRANSACTIONAL = "Streams beside `transactional` whose mail no unsubscribe withholds"
_NAME = "The sender's name on the unsubscribe page; empty is the name in From"
_TEXT = "A text of the tenant's own on that page: plain, with line breaks"
_GROUPS = "Unsubscribe groups of the provider by their number, each with the stream that it stands for"


class NewStreamPolicy(_RequestModel):
    """What an unsubscribe from this tenant's mail covers, and what its page says; what is left out is as by default."""

    covers: Scope = Field(default=Scope.STREAM, description=_COVERS)
    transactional: list[str] = Field(default_factory=list, max_length=MOST_STREAMS, description=_TRANSACTIONAL)
    name: Annotated[str, Field(max_length=MOST_NAME, description=_NAME)] = ""
    text: Annotated[str, Field(max_length=MOST_TEXT, description=_TEXT)] = ""
    groups: dict[str, str] = Field(default_factory=dict, max_length=MOST_GROUPS, description=_GROUPS)


class StreamPolicyResponse(JsonModel):
    """What an unsubscribe from this tenant's mail covers, and what its page says."""

    tenant: str
    covers: Scope = Field(description=_COVERS)
    transactional: list[str] = Field(description=_TRANSACTIONAL)
    name: str = Field(description=_NAME)
    text: str = Field(description=_TEXT)
    groups: dict[str, str] = Field(description=_GROUPS)


@router.get("/streams")
def show_streams(holder: ApiHolder, sending: AppOutbound, tenant: Tenant = None) -> StreamPolicyResponse:
    """What an unsubscribe from a tenant's mail covers, and what its page says."""
    owner = known_tenant(holder, tenant)
    return _answer(owner, _unsubscribing(sending).policy(owner))


@router.put("/streams")
def set_streams(
    holder: ApiHolder, sending: AppOutbound, new: NewStreamPolicy, tenant: Tenant = None
) -> StreamPolicyResponse:
    """Set all of it; what the request leaves out is as by default. It applies at once, also to those who left before."""
    owner = sender_tenant(holder, tenant)
    policy = UnsubscribePolicy(
        covers=new.covers,
        transactional=tuple(dict.fromkeys(new.transactional)),
        name=new.name.strip(),
        text=new.text.replace("\r\n", "\n").strip(),
        groups=new.groups,
    )
    if faults := faults_of(policy):
        raise RequestValidationError([{"loc": ("body", where), "msg": what} for where, what in faults])
    kept = _unsubscribing(sending)
    kept.set_policy(owner, policy)
    return _answer(owner, kept.policy(owner))


def _answer(tenant: str, policy: UnsubscribePolicy) -> StreamPolicyResponse:
    return StreamPolicyResponse(
        tenant=tenant,
        covers=policy.covers,
        transactional=list(policy.transactional),
        name=policy.name,
        text=policy.text,
        groups=dict(policy.groups),
    )


def _unsubscribing(sending: OutboundServices) -> Unsubscribing:
    if sending.unsubscribing is None:
        raise HTTPException(404, "This installation has no streams.")
    return sending.unsubscribing
