"""The steps of sealing. Each may be killed at any point and run again."""

from datetime import datetime

from mailroom.archive.sealing import Outcome, Sealing, give_to_witness, seal_journals, stamp_seals
from tasks.support.steps import blocking, step


@step("seal journals")
async def seal_all(ports: Sealing, now: datetime) -> Outcome:
    """Seal every journal with new entries, or without a seal of this day."""
    return await blocking(seal_journals, ports, now=now)


@step("get time stamps")
async def stamp_all(ports: Sealing, now: datetime) -> Outcome:
    """Get tokens for seals that have none."""
    return await blocking(stamp_seals, ports, now=now)


@step("give to the witness")
async def witness_all(ports: Sealing, now: datetime) -> Outcome:
    """Give the witness the seals that it does not have."""
    return await blocking(give_to_witness, ports, now=now)
