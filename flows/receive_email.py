"""One run of `receive-email` for each e-mail that SES received."""

import asyncio
from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.exceptions import Abort
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from blocks.inbound import open_inbound
from flows.support.processing import process_again, process_filed
from flows.support.reporting import Progress, report
from mailroom.domain.errors import MailroomError, Quarantined, TakenOver
from mailroom.domain.inbound.reasons import InboundReason, inbound_reason
from mailroom.domain.inbound.received_email import Entry, ObjectRef, State
from mailroom.inbound.filing import items_for
from mailroom.inbound.lease import held_lease, lease_at
from mailroom.inbound.processing import filed_mails
from mailroom.ports.inbound import Inbound
from tasks.receive_email import (
    acknowledge,
    archive,
    create_inbox_item,
    decrypt,
    fetch,
    keep_envelope,
    parse,
    recall_envelope,
    record_report,
    reopen_filed,
    route,
)
from tasks.support.steps import blocking


# Prefect would build a pydantic model for each run to validate three strings; ObjectRef validates them.
@flow(name="receive-email", persist_result=False, validate_parameters=False)
async def receive_email(bucket: str, key: str, version: str = "") -> RunState:
    """Fetch, decrypt, archive, parse and file one received e-mail.

    Completed means filed. Failed means quarantined, with the reason as the message, or an error after which the queue
    delivers the e-mail again. Retry is safe in both cases: each step is idempotent. The message of a Completed run names
    the processors that failed: Retry runs only these again.

    Args:
        bucket: The bucket that SES wrote to.
        key: The raw e-mail's key: prefix and SES message id.
        version: Its version, where the bucket has versions.
    """
    inbound = await open_inbound()
    try:
        entry = await begin(ref := ObjectRef(bucket, key, version), inbound)
        if entry.state is State.FILED and entry.envelope is None and (await reopen_filed(entry, inbound)).envelope:
            entry = await begin(ref, inbound)
        if entry.state is State.FILED:
            return await process_again(entry, inbound)
        async with held_lease(entry, inbound.ledger):
            return await receive(Progress(entry), inbound)
    except TakenOver as error:
        if error.facts["run_id"] == flow_run.get_id():
            raise Abort("another worker continues this run") from None
        return Failed(message="another run is processing this e-mail")


async def begin(ref: ObjectRef, inbound: Inbound) -> Entry:
    """Lease the e-mail, so that no other worker processes it; filing and closing require its attempt number."""
    now = datetime.now(UTC)
    run_id = flow_run.get_id()
    return await blocking(inbound.ledger.begin, ref, now=now, run_id=run_id, claim=lease_at(now))


async def receive(mail: Progress, inbound: Inbound) -> RunState:
    """Process one e-mail, record in the ledger how it ended, and report."""
    try:
        await file_email(mail, inbound)
    except TakenOver:
        raise
    except Quarantined as stop:
        await mail.close(State.QUARANTINED, inbound, reason=stop.reason, facts=stop.facts)
    except asyncio.CancelledError:
        await asyncio.shield(mail.close(State.FAILED, inbound, reason=InboundReason.INTERRUPTED, facts={}))
        raise
    except Exception as error:
        facts = error.facts if isinstance(error, MailroomError) else {}
        await mail.close(State.FAILED, inbound, reason=inbound_reason(error), facts=facts)
        await report(mail, inbound)
        raise
    await report(mail, inbound)
    if mail.outcome is State.FILED:
        failed = f"; failed: {', '.join(mail.failed)}" if mail.failed else ""
        return Completed(message=f"filed{failed}")
    return Failed(message=f"{mail.outcome}: {mail.reason}")


async def open_email(mail: Progress, inbound: Inbound) -> bytes:
    """Return the raw e-mail, with its envelope if one is known; of one that cannot be decrypted the envelope is archived."""
    try:
        # No other reference to the sealed object is held: it can be as large as the mail.
        raw = await decrypt(mail.entry, await fetch(mail.entry, inbound), inbound)
    except Quarantined as stop:
        mail.entry = await envelope_known(mail.entry, None, inbound)
        await keep_envelope(mail.entry, stop.reason, inbound)
        raise
    mail.entry = await envelope_known(mail.entry, raw, inbound)
    return raw


async def envelope_known(entry: Entry, raw: bytes | None, inbound: Inbound) -> Entry:
    """Return the ledger line with its envelope; only a line without one asks the archive."""
    return entry if entry.envelope else await recall_envelope(entry, raw, inbound)


async def file_email(mail: Progress, inbound: Inbound) -> None:
    """Route, archive, parse and file one e-mail, and record in `mail` how far it came."""
    raw = await open_email(mail, inbound)
    mail.routing = await route(mail.entry, raw, inbound)
    # The raw e-mail first: a fault of the parser may then cost a display, never a document. The manifest archived with it
    # makes its loss from the ledger harmless.
    mail.kept = await archive(mail.entry, mail.routing, raw, inbound, described=mail.manifests)
    if mail.routing.stop:
        raise Quarantined(mail.routing.stop)
    if mail.routing.report:
        facts = await record_report(mail.routing.report, inbound)
        mail.outcome = await acknowledge(mail.entry, inbound, facts=facts)
        return
    parsed = await parse(raw, inbound)
    if parsed.attachments:
        mail.kept |= await archive(mail.entry, mail.routing, parsed.attachments, inbound, described=mail.manifests)
    items = items_for(parsed, raw, mail.routing, mail.kept, mail.manifests)
    mail.items = await create_inbox_item(mail.entry, items, inbound)
    for filed in filed_mails(mail.entry, mail.routing, parsed, raw, items=mail.items, kept=mail.kept):
        if not await process_filed(filed, inbound):
            mail.failed.append(filed.key)
    mail.outcome = await acknowledge(mail.entry, inbound)
