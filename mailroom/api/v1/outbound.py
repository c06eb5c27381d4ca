"""The JSON routes that submit batches, and show batches and messages."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Request
from pydantic import StringConstraints
from starlette.responses import JSONResponse, Response

from mailroom.api.access import tenant_for
from mailroom.api.addresses import compared
from mailroom.api.auth import ApiHolder
from mailroom.api.paging import Cursor, Limit, decode, encode
from mailroom.api.problems import PROBLEM, answer_error
from mailroom.api.scopes import archive_for
from mailroom.api.services import AppOutbound, AppServices, Services
from mailroom.api.slots import SMALL_BYTES
from mailroom.api.v1.batch_list import OfStream, Since, Until
from mailroom.api.v1.inbound import Tenant
from mailroom.api.v1.known_query import KnownQuery
from mailroom.api.v1.requests import NewTime, body_schema
from mailroom.api.v1.responses.outbound import (
    AcceptedResponse,
    ActivitiesResponse,
    AlreadySentResponse,
    CancelledResponse,
    MessagesResponse,
    PreviewResponse,
    RescheduledResponse,
    ResumedResponse,
    fault_values,
    preview_response,
)
from mailroom.api.v1.trial import FilledMailResponse, PreviewNumber, TestTo, Trial, filled_response, trial_sent
from mailroom.domain.delivery.tenant_webhooks import facts_for_tenants
from mailroom.domain.errors import Conflict, Fault, Unacceptable
from mailroom.domain.outbound.message import LIMITS, WAITING, Status
from mailroom.domain.tenants import NOBODY, tenant_name
from mailroom.domain.texts import Text, as_text
from mailroom.outbound import submission
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.batch_body import NewBatch
from mailroom.outbound.batch_json import (
    ActivityResponse,
    BatchResponse,
    MessageResponse,
    batch_response,
    message_response,
)
from mailroom.outbound.batch_reader import Misshapen, read_batch
from mailroom.outbound.random_ids import random_ids
from mailroom.outbound.submission import expected_end, refuse_unlinked, submit
from mailroom.ports.api_keys import Holder
from mailroom.ports.message_reader import MessageFilter
from mailroom.ports.outbox import SubmissionKey

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

#: The tenant of an administrator's batch without a `tenant`.
DEFAULT_TENANT = "default"
_UNSENDABLE = "The batch is invalid and was not accepted; see errors."
_KEY = r"^[!-~]{1,256}$"

IdempotencyKey = Annotated[
    str | None,
    Header(
        pattern=_KEY,
        description="A repeated request with the same key and body returns the same response and sends nothing",
    ),
]
#: PostgreSQL accepts no NUL in a text; a name has 100 characters at most, and a value 1,000.
Word = Annotated[str, StringConstraints(pattern=r"^[^\x00=][^\x00]*$", max_length=1_101)]
DryRun = Annotated[bool, Query(description="Return a preview; store and send nothing")]


@router.post(
    "/batches",
    status_code=202,
    response_model=AcceptedResponse,
    responses={200: {"model": PreviewResponse | FilledMailResponse, "description": "With dry_run, or with preview"}},
    openapi_extra=body_schema(NewBatch),
)
async def submit_batch(
    request: Request,
    services: AppServices,
    holder: ApiHolder,
    sending: AppOutbound,
    idempotency_key: IdempotencyKey = None,
    dry_run: DryRun = False,
    preview: PreviewNumber = None,
    test_to: TestTo = None,
    tenant: Tenant = None,
) -> Response:
    """Submit a batch. It is validated and stored as a whole before the response, and sent in the background.

    With `dry_run`, `preview` or `test_to` it is not submitted: they return what would come of it, show one mail of it, and send
    one mail of it to its author.
    """
    trial = Trial(preview, test_to)
    if dry_run and trial:
        raise HTTPException(422, "Use one of dry_run, preview and test_to; preview may say whose mail test_to sends.")
    owner = sender_tenant(holder, tenant)
    # Its size limit is in `mailroom.api.bodies`. One growing buffer: joining chunks would need the memory twice.
    body = bytearray()
    async for piece in request.stream():
        body += piece
    slots = services.small_slots if len(body) <= SMALL_BYTES else services.slots
    return await slots.run(
        owner, partial(_submit, request, services, holder, owner, body, idempotency_key, dry_run, trial)
    )


def _submit(
    request: Request,
    services: Services,
    holder: Holder,
    tenant: str,
    body: bytearray,
    key: str | None,
    dry_run: bool,
    trial: Trial,
) -> Response:
    sending = services.sending
    if sending is None:
        raise HTTPException(404, "Sending is not enabled on this installation.")
    settings = services.settings
    try:
        requested = read_batch(body, settings.sender)
        # The provider may not track; without the setting there would be nothing to sign links with.
        refuse_unlinked(requested, unsubscribe=bool(settings.link_url), tracked=bool(settings.tracking_url))
    except Misshapen as error:
        return _refuse(request, error.faults, "Invalid request; see errors.")
    except Unacceptable as error:
        return _refuse(request, error.faults)
    services = replace(services, archive=archive_for(holder, services.archive))
    attachments = AttachmentResolver(tenant, archive=services.archive, uploads=sending.uploads)
    now = services.now()
    if dry_run:
        seen = submission.preview(
            requested,
            tenant=tenant,
            now=now,
            new_id=random_ids(),
            attachments=attachments,
            suppressions=sending.suppressions,
            quotas=sending.quotas,
            senders=sending.senders,
            served=sending.served,
            terms=sending.terms.known(now=now),
            with_global=holder.tenant is None,
        )
        return Response(preview_response(tenant, seen, now).model_dump_json(), media_type="application/json")
    came = SubmissionKey(key, hashlib.sha256(body).hexdigest()) if key is not None else None
    try:
        if trial.only_shown:
            return filled_response(requested, trial, services=services, sending=sending, holder=holder, tenant=tenant)
        if trial:
            kept = trial_sent(requested, trial, services=services, sending=sending, tenant=tenant, key=came)
        else:
            kept = submit(
                requested,
                tenant=tenant,
                key=came,
                now=now,
                new_id=random_ids(),
                outbox=sending.outbox,
                attachments=attachments,
                senders=sending.senders,
                served=sending.served,
                terms=sending.terms.known(now=now),
            )
    except Unacceptable as error:
        return _refuse(request, error.faults)
    except Conflict:
        return answer_error(
            request, 409, "This Idempotency-Key was already used with a different body; use a new key for a new batch."
        )
    sending.submitted.set()
    answer = AcceptedResponse(
        id=kept.batch_id,
        batch_id=kept.batch_id,
        messages=kept.messages,
        duplicates=list(kept.duplicates),
        url=f"/v1/batches/{kept.batch_id}",
    )
    headers = {"Location": answer.url} | ({"Idempotent-Replayed": "true"} if kept.repeated else {})
    return JSONResponse(answer.model_dump(), 202, headers)


@router.get("/batches/{batch_id}")
def show_batch(services: AppServices, holder: ApiHolder, sending: AppOutbound, batch_id: str) -> BatchResponse:
    """Return one batch: the number of messages in each status, and when the next one is due."""
    line = sending.message_reader.batch(holder.tenant, batch_id)
    if line is None:
        raise HTTPException(404, "Batch not found.")
    now, done_at = services.now(), None
    if line.next_at is not None:
        waiting = sum(line.statuses.get(status, 0) for status in WAITING)
        terms, starts_at = sending.terms.known(now=now), max(line.next_at, now)
        done_at = expected_end(line.tenant, waiting, starts_at, quotas=sending.quotas, terms=terms)
    return batch_response(line, done_at)


@router.post("/batches/{batch_id}/cancel", response_model_exclude_defaults=True)
def cancel_batch(services: AppServices, holder: ApiHolder, sending: AppOutbound, batch_id: str) -> CancelledResponse:
    """Cancel the unsent messages of a batch, and return which were sent or may have been."""
    cancelled = sending.outbox.cancel(holder.tenant, batch_id, now=services.now())
    if cancelled is None:
        raise HTTPException(404, "Batch not found.")
    gone = [AlreadySentResponse(id=one.message_id, to=one.recipient, status=one.status) for one in cancelled.gone]
    return CancelledResponse(id=batch_id, cancelled=cancelled.cancelled, held=cancelled.held, gone=gone)


@router.post("/batches/{batch_id}/resume")
def resume_batch(services: AppServices, holder: ApiHolder, sending: AppOutbound, batch_id: str) -> ResumedResponse:
    """Send the held messages of a batch, each at its time. The call may be repeated."""
    resumed = sending.outbox.resume(holder.tenant, batch_id, by=holder.name, now=services.now())
    if resumed is None:
        raise HTTPException(404, "Batch not found.")
    sending.submitted.set()
    return ResumedResponse(id=batch_id, resumed=resumed)


@router.patch("/batches/{batch_id}")
def reschedule_batch(
    services: AppServices, holder: ApiHolder, sending: AppOutbound, batch_id: str, new: NewTime
) -> RescheduledResponse:
    """Reschedule the unsent messages of a batch; a past time means now."""
    line = sending.message_reader.batch(holder.tenant, batch_id)
    if line is None:
        raise HTTPException(404, "Batch not found.")
    now = services.now()
    if line.expires_at is not None and line.expires_at <= max(new.send_at, now):
        raise HTTPException(422, "The batch expires before this time; choose an earlier one.")
    if new.send_at > LIMITS.latest_start(now):
        raise HTTPException(422, f"A batch can be scheduled at most {LIMITS.schedule_days} days ahead.")
    try:
        moved = sending.outbox.reschedule(holder.tenant, batch_id, new.send_at, now=now)
    except Conflict:
        raise HTTPException(409, f"The batch is held ({', '.join(line.held)}); resume or cancel it first.") from None
    if not moved:
        raise HTTPException(409, "The batch has no waiting messages.")
    sending.submitted.set()
    return RescheduledResponse(id=batch_id, send_at=new.send_at, messages=moved)


@router.get("/messages")
def list_messages(
    holder: ApiHolder,
    sending: AppOutbound,
    recipient: Annotated[str | None, Query(max_length=320)] = None,
    batch: Annotated[str | None, Query(max_length=64)] = None,
    status: Annotated[list[Status] | None, Query(description="May be given more than once")] = None,
    reference: Annotated[
        str | None, Query(pattern=r"^[!-~]{1,200}$", description="The reference given at submission, in full")
    ] = None,
    metadata: Annotated[
        list[Word] | None,
        Query(max_length=10, description="An entry of its metadata, NAME=VALUE; given more than once: all of them"),
    ] = None,
    since: Since = None,
    until: Until = None,
    stream: OfStream = None,
    tenant: Tenant = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> MessagesResponse:
    """List messages, newest first."""
    page = sending.message_reader.messages(
        tenant_for(holder, tenant),
        recipient=None if recipient is None else address_of(recipient),
        batch_id=batch,
        statuses=status or [],
        after=decode(cursor),
        limit=limit,
        wanted=MessageFilter(reference=reference, metadata=metadata or (), since=since, until=until, stream=stream),
    )
    return MessagesResponse(items=[message_response(line) for line in page.lines], next=encode(page.next))


@router.get("/messages/{message_id}")
def show_message(holder: ApiHolder, sending: AppOutbound, message_id: str) -> MessageResponse:
    """Return one message with its current status."""
    line = sending.message_reader.message(holder.tenant, message_id)
    if line is None:
        raise HTTPException(404, "Message not found.")
    return message_response(line)


@router.get("/messages/{message_id}/activities")
def list_activities(holder: ApiHolder, sending: AppOutbound, message_id: str) -> ActivitiesResponse:
    """List the events of one message, in order."""
    lines = sending.message_reader.activities(holder.tenant, message_id)
    if lines is None:
        raise HTTPException(404, "Message not found.")
    items = [ActivityResponse.model_validate(line) for line in lines]
    if holder.tenant is not None:
        items = [one.model_copy(update={"facts": facts_for_tenants(one.facts)}) for one in items]
    return ActivitiesResponse(items=items)


def sender_tenant(holder: Holder, requested: str | None) -> str:
    """Return the tenant for a write: an administrator may name one, a tenant's key has only its own.

    Raises:
        HTTPException: 404 for another tenant, 422 for an invalid name.
    """
    return new_tenant(tenant_for(holder, requested) or DEFAULT_TENANT)


def known_tenant(holder: Holder, requested: str | None) -> str:
    """Return the tenant for a read or removal: as `sender_tenant`, but also for a name that earlier releases accepted.

    Raises:
        HTTPException: 404 for another tenant, 422 for an invalid name.
    """
    tenant = tenant_for(holder, requested) or DEFAULT_TENANT
    return tenant if tenant == NOBODY else new_tenant(tenant)


def new_tenant(name: str) -> str:
    """Return `name`, if it is a valid tenant name.

    Raises:
        HTTPException: 422, it is invalid.
    """
    try:
        return tenant_name(name)
    except ValueError as error:
        raise HTTPException(422, Text("Invalid tenant: %(why)s.", why=as_text(error.args[0]))) from None


def address_of(written: str) -> str:
    """Return an address in its normalised form.

    Raises:
        HTTPException: 422, it is not an address.
    """
    address = compared(written)
    if address is None:
        raise HTTPException(422, Text("Invalid e-mail address."))
    return address


def _refuse(request: Request, faults: Sequence[Fault], detail: str = _UNSENDABLE) -> Response:
    return answer_error(request, 422, detail, errors=fault_values(faults))
