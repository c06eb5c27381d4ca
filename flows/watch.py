"""The watch: every five minutes it checks for faults, and emits them as events."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prefect import flow
from prefect.client.schemas.objects import State as RunState
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.variables import Variable

from blocks.watch import Watching, open_watching
from flows.support.events import EventName, emit
from flows.support.zombies import find_silent_runs
from mailroom.domain.times import bounded
from mailroom.operations.monitoring import due_findings
from tasks.watch import count_dead, count_held, leased_runs, oldest, seals_behind, stepped_over

#: The emitted findings with their times; one that lasts is emitted again each hour.
_EMITTED = "mailroom_told"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault. `subject` is what the event is about; `run_id` the run that it concerns."""

    fact: EventName
    subject: str
    facts: Mapping[str, str | int] = field(default_factory=dict)
    run_id: str | None = None


@flow(name="watch", persist_result=False)
async def watch(
    queue_age_minutes: int = 15, silent_minutes: int = 10, long_silent_minutes: int = 60, seal_hours: int = 3
) -> RunState:
    """Report dead letters, old queues, rows that loops skip, held batches, late seals, and runs that no worker is processing.

    Args:
        queue_age_minutes: Report what has waited for longer than this.
        silent_minutes: Report a run of an e-mail that is Running without a heartbeat for longer than this.
        long_silent_minutes: The same for other runs, in which one step may take long.
        seal_hours: Report an entry without a seal, and a seal without its token or at no witness, for longer than this.
    """
    now, watching = datetime.now(UTC), await open_watching()
    findings = [
        *await dead_letters(watching),
        *await aged(watching, now, timedelta(minutes=queue_age_minutes)),
        *await skipped(watching),
        *await held(watching),
        *await late_seals(watching, now, timedelta(hours=seal_hours)),
        *await zombies(watching, now, timedelta(minutes=silent_minutes), timedelta(minutes=long_silent_minutes)),
    ]
    values = await emit_due({f"{one.fact} {one.subject}": one for one in findings}, now)
    emit(EventName.WATCHED, "watch", facts={"findings": len(findings)})
    return Completed(message=f"{len(findings)} findings, {values} of them reported now")


async def dead_letters(watching: Watching) -> list[Finding]:
    """Return the queues that have dead letters."""
    counts = await count_dead(watching.dead_letters)
    return [Finding(EventName.DEAD_LETTERS, f"queue.{name}", {"messages": count}) for name, count in counts.items()]


async def aged(watching: Watching, now: datetime, limit: timedelta) -> list[Finding]:
    """Return the sides (inbound, outbound) whose oldest entry has waited for longer than `limit`."""
    since = await oldest(watching.watch, now)
    ages = {side: now - at for side, at in since.items() if now - at > limit}
    return [
        Finding(EventName.QUEUE_AGED, f"queue.{side}", {"seconds": int(age.total_seconds())})
        for side, age in ages.items()
    ]


async def skipped(watching: Watching) -> list[Finding]:
    """Return the loops that skip rows which they cannot use; the first rows are named by kind and id."""
    return [
        Finding(
            EventName.ROW_SKIPPED,
            f"loop.{one.loop}",
            {"rows": one.rows, "named": "; ".join(f"{subject}: {why}" for subject, why in one.named)},
        )
        for one in await stepped_over(watching.watch)
    ]


async def held(watching: Watching) -> list[Finding]:
    """Return the reasons for which batches are held; a held batch is not sent until a person decides."""
    counts = await count_held(watching.watch)
    return [
        Finding(EventName.BATCHES_HELD, f"held.{reason}", {"batches": count.batches, "messages": count.messages})
        for reason, count in counts.items()
    ]


async def late_seals(watching: Watching, now: datetime, limit: timedelta) -> list[Finding]:
    """Return what seals lack for longer than `limit`: entries a seal, seals a token or the witness."""
    since = await seals_behind(watching.seals)
    return [
        Finding(EventName.SEALS_BEHIND, f"seals.{what}", {"seconds": int((now - at).total_seconds())})
        for what, at in since.items()
        if now - at > limit
    ]


async def zombies(watching: Watching, now: datetime, limit: timedelta, longer: timedelta) -> list[Finding]:
    """Return runs that are Running without a worker: neither their e-mail nor their steps show a heartbeat."""
    silent = await find_silent_runs(now, limit, longer, but=str(flow_run.get_id()))
    alive = await leased_runs(watching.watch, silent, now - limit) if silent else set()
    return [Finding(EventName.ZOMBIE, f"run.{run}", run_id=run) for run in silent if run not in alive]


async def emit_due(findings: Mapping[str, Finding], now: datetime) -> int:
    """Emit the findings that are new or were last emitted an hour ago, and return their number."""
    before = _emitted_before(str(await Variable.aget(_EMITTED, default="{}")))
    due, after = due_findings(findings.keys(), before, now=now)
    for name in sorted(due):
        one = findings[name]
        emit(one.fact, one.subject, facts=one.facts, run_id=one.run_id)
    if after != before:
        values = {name: at.isoformat() for name, at in after.items()}
        await Variable.aset(_EMITTED, json.dumps(values), overwrite=True)
    return len(due)


def _emitted_before(noted: str) -> dict[str, datetime]:
    """Return the emitted findings with their times; an unreadable variable counts as empty, and all are emitted again."""
    try:
        return {name: bounded(datetime.fromisoformat(at)) for name, at in json.loads(noted).items()}
    except (ValueError, TypeError, AttributeError):
        return {}
