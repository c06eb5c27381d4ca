"""An example of a recurring send: a schedule submits the batch in a file, once for each scheduled time."""

import hashlib
from asyncio import to_thread
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from pydantic import ValidationError

from blocks.outbound import SubmissionPorts, open_outbound, open_submission
from mailroom.domain.errors import Unacceptable
from mailroom.domain.tenants import tenant_name
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.batch_body import NewBatch
from mailroom.outbound.submission import refuse_unlinked, submit
from mailroom.ports.outbox import SubmissionKey


@flow(name="send-recurring", persist_result=False)
async def send_recurring(request: str, tenant: str = "default") -> RunState:
    """Submit the batch in a file; a run of `send-batch` sends it.

    The file stays on the worker's machine, so Prefect stores no address. The scheduled time is the idempotency key: a
    Retry, or a second run for the same time, submits nothing twice.

    A run that was due before a restore of the database fails, because the batch may already have been sent; a Quick run
    sends it.

    Args:
        request: A JSON file on the worker's machine: the body of `POST /v1/batches`, with `from`.
        tenant: The tenant to send for.
    """
    try:
        tenant_name(tenant)
    except ValueError as error:
        return Failed(message=f"the parameter tenant of this schedule: {error}")
    body = await to_thread(Path(request).read_bytes)
    period = flow_run.scheduled_start_time.isoformat(timespec="seconds")
    key = SubmissionKey(f"{Path(request).stem}@{period}", hashlib.sha256(body).hexdigest())
    outbound, way_in, now = await open_outbound(), await open_submission(), datetime.now(UTC)
    if await to_thread(_may_be_forgotten, way_in, tenant, key, due_at=flow_run.scheduled_start_time):
        return Failed(
            message="due before the database was restored, so it may already have been sent; start a Quick "
            "run to send it"
        )
    try:
        batch_request = NewBatch.model_validate_json(body).request("")
        tracked = outbound.tracker is not None or outbound.provider.capabilities.tracks
        refuse_unlinked(batch_request, unsubscribe=outbound.leave_url is not None, tracked=tracked)
        accepted = await to_thread(
            submit,
            batch_request,
            tenant=tenant,
            key=key,
            now=now,
            new_id=lambda: str(uuid4()),
            outbox=way_in.outbox,
            attachments=AttachmentResolver(tenant, archive=outbound.archive, uploads=None),
            senders=way_in.senders,
            terms=await to_thread(way_in.terms.known, now=now),
        )
    except ValidationError:
        return Failed(message="the file is not a valid body of POST /v1/batches")
    except Unacceptable as error:
        return Failed(message=f"the batch is invalid: {len(error.faults)} errors")
    again = ", already submitted before" if accepted.repeated else ""
    return Completed(message=f"batch {accepted.batch_id}: {accepted.messages} messages{again}")


def _may_be_forgotten(way_in: SubmissionPorts, tenant: str, key: SubmissionKey, *, due_at: datetime) -> bool:
    """Return whether a batch with this key may have been submitted before a restore of the database."""
    restored_at = way_in.outbox.restored_at()
    return restored_at is not None and due_at < restored_at and way_in.outbox.answered(tenant, key) is None
