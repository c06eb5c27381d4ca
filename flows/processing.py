"""What processors do with a filed mail, each step a task of the mail's run."""

from datetime import UTC, datetime
from typing import Any

from mailroom.domain.errors import MailroomError
from mailroom.inbound.processing import FiledMail
from mailroom.inbound.processors import known_processors
from mailroom.ports import Inbound
from tasks.inbound import processing
from tasks.steps import blocking


async def process_filed(mail: FiledMail, inbound: Inbound) -> None:
    """Do the steps of one processor, once; what fails for good is noted, and the mail stays filed."""
    if inbound.processings is None or await blocking(inbound.processings.is_done, mail.email_id, mail.key):
        return
    steps = known_processors().get(mail.processor)
    state, facts = "done", dict[str, Any]()
    if steps is None:
        state, facts = "failed", {"kind": "not_installed"}
    try:
        for step in steps or ():
            facts |= await processing(f"{mail.processor}: {step.name}")(mail, step.run, inbound)
    except MailroomError as error:
        state, facts = "failed", {"kind": type(error).__name__, **error.facts}
    end, now = inbound.processings.end, datetime.now(UTC)
    await blocking(end, mail.email_id, mail.key, state, now=now, facts=facts)
