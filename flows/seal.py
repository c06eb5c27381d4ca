"""Sealing: every hour, a signed statement of each journal, its time stamp, and a copy for the witness."""

from datetime import UTC, datetime

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.states import Completed, Failed

from blocks.seals import open_sealing
from tasks.seal import seal_all, stamp_all, witness_all


@flow(name="seal", persist_result=False)
async def seal() -> RunState:
    """Seal the archive's journals, get a time stamp for each seal, and give it to the witness.

    What cannot be done is done by the next run: entries are not lost by waiting for their seal, and nothing else waits. The
    message of a failed run names each journal and why.
    """
    ports, now = await open_sealing(), datetime.now(UTC)
    sealed = await seal_all(ports, now)
    stamped = await stamp_all(ports, datetime.now(UTC))
    witnessed = await witness_all(ports, datetime.now(UTC))
    done = f"{sealed.done} seals, {stamped.done} time stamps, {witnessed.done} copies for the witness"
    failed = [*sealed.failed, *stamped.failed, *witnessed.failed]
    return Failed(message="; ".join([done, *failed[:20]])) if failed else Completed(message=done)
