"""The reconciliation: every hour, settles what is left over, and proves that nothing is lost."""

from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.artifacts import acreate_markdown_artifact
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.variables import Variable

from blocks.support.reconciling import Reconciling, open_reconciling
from flows.support.events import EventName, emit
from flows.support.reconciling_report import as_markdown
from mailroom.audit.mails import Patience
from mailroom.audit.report import FORGOTTEN, INBOUND, OUTBOUND, UNKNOWN_OBJECT, Report
from mailroom.domain.inbound.notifications import can_be_announced
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.inbound.sweeping import BACKLOG
from mailroom.ports.reconciliations import Reconciliation
from tasks.reconcile import compare, match_parked, note, prove, renew_holds
from tasks.send_batch import settle
from tasks.sweep_inbound import announce_all, waiting

#: The key of the archive's bucket after which the next reconciliation continues to compare.
_COMPARED_TO = "mailroom_archive_compared_to"


@flow(name="reconcile", persist_result=False)
async def reconcile(hours: int = 26, stuck_after_minutes: int = 60, archive_versions: int = 100_000) -> RunState:
    """Settle unknown outcomes, match parked events, queue unknown objects again, and prove that nothing is lost.

    The proof is that of `mailroom check`, which shares no code with the processing of mail. The message of the run says
    what was found; a difference also emits the event `mailroom.reconcile.difference`, and the artifact lists its ids.

    Args:
        hours: Check the mail of the last hours; 0 checks all mail.
        stuck_after_minutes: Report mail in progress without a change for longer than this.
        archive_versions: Compare about this many versions of the archive with their receipts; the next run continues
            from there. 0 compares all to the end.
    """
    begun = datetime.now(UTC)
    since = begun - timedelta(hours=hours) if hours else None
    work = await open_reconciling()
    _, settled = await settle(work.outbound)
    matched = await match_parked(work.events)
    patience = Patience(begun, timedelta(minutes=stuck_after_minutes), since)
    report = await prove(work.prove, patience)
    await compare_archive(report, patience, archive_versions, work)
    if work.renew_holds is not None:
        await renew_holds(work.renew_holds)
    announced = await announce_unknown(report, work)
    proof = await conclude(report, begun, work)
    await acreate_markdown_artifact(
        as_markdown(report, proof, settled=settled, matched=matched, announced=announced),
        key="reconciliation",
        description=f"{sum(proof.differences.values())} differences",
    )
    return Completed(message=sentence(proof))


async def compare_archive(report: Report, patience: Patience, most: int, work: Reconciling) -> None:
    """Add differences in the archive from where the last run stopped, and store where this one did."""
    if work.compare is None:
        return
    comparison, until = await compare(work.compare, patience, str(await Variable.aget(_COMPARED_TO, default="")), most)
    report.add(comparison)
    await Variable.aset(_COMPARED_TO, until, overwrite=True)


async def announce_unknown(report: Report, work: Reconciling) -> int:
    """Queue objects without a ledger line, as the sweep does; not while many messages wait."""
    inbound = work.inbound
    unknown = [one.subject for one in report.violations if one.kind in (UNKNOWN_OBJECT, FORGOTTEN)]
    keys = [key for key in unknown if can_be_announced(key)]
    if not keys or await waiting(inbound) > BACKLOG:
        return 0
    await announce_all([ObjectRef(inbound.bucket, key) for key in keys], inbound)
    return len(keys)


async def conclude(report: Report, begun: datetime, work: Reconciling) -> Reconciliation:
    """Store the result for the metrics, and emit an event for differences."""
    proof = Reconciliation(
        begun_at=begun,
        ended_at=datetime.now(UTC),
        differences={side: report.differences(side) for side in (INBOUND, OUTBOUND)},
        counts=dict(report.counts),
    )
    await note(proof, work.reconciliations)
    if not report.is_clean:
        emit(EventName.DIFFERENCE, "reconciliation", facts=proof.differences, run_id=flow_run.get_id())
    return proof


def sentence(proof: Reconciliation) -> str:
    """Return the result of a proof as the message of the run's last state."""
    wrong = sum(proof.differences.values())
    if wrong:
        return ", ".join(f"{count} {side}" for side, count in proof.differences.items()) + " differences"
    return f"{proof.counts.get('e-mails', 0)} e-mails, {proof.counts.get('messages', 0)} messages: nothing lost"
