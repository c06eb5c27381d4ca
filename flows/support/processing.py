"""Runs processors on a filed mail, each step as a task of the mail's run."""

from datetime import UTC, datetime
from typing import Any

from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed, Failed

from flows.support.reporting import done_now
from mailroom.domain.errors import MailroomError
from mailroom.domain.inbound.reasons import InboundReason, inbound_reason
from mailroom.domain.inbound.received_email import Entry
from mailroom.inbound.processing import FiledMail
from mailroom.inbound.processors import known_processors
from mailroom.ports.inbound import Inbound
from tasks.receive_email import processing, recall_filed
from tasks.support.steps import blocking


async def process_filed(mail: FiledMail, inbound: Inbound) -> bool:
    """Run the steps of one processor, once, and return whether they succeeded.

    A permanent failure is recorded, and the mail stays filed.
    """
    if inbound.processings is None or await blocking(inbound.processings.is_done, mail.email_id, mail.key):
        return True
    steps = known_processors().get(mail.processor)
    state, facts = "done", dict[str, Any]()
    if steps is None:
        state, facts = "failed", {"reason": InboundReason.NOT_INSTALLED.value}
    try:
        for step in steps or ():
            facts |= await processing(f"{mail.processor}: {step.name}")(mail, step.run, inbound)
    except MailroomError as error:
        state, facts = "failed", {"reason": inbound_reason(error).value, **error.facts}
    end, now = inbound.processings.end, datetime.now(UTC)
    await blocking(end, mail.email_id, mail.key, state, now=now, facts=facts)
    return state == "done"


async def process_again(entry: Entry, inbound: Inbound) -> RunState:
    """Run failed processors again on a filed mail: what a Retry or a replay of its run does."""
    failed = await blocking(inbound.processings.failed, entry.id) if inbound.processings else []
    if not failed:
        return Completed(message="filed already")
    mails = await recall_filed(entry, failed, inbound)
    done = [mail.key for mail in mails if await process_filed(mail, inbound)]
    await done_now(done)
    if again := [key for key in failed if key not in done]:
        return Failed(message=f"filed already; failed again: {', '.join(again)}")
    return Completed(message=f"filed already; done now: {', '.join(done)}")
