"""The rows of the status page, from the facts of the database, the queues and the orchestrator.

The limits are those of the alarms (docs/operations.md): what rings there is bad here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from importlib import metadata

from mailroom.domain.readable import lasted, when
from mailroom.operations.status import Level, Source, StatusRow
from mailroom.ports.scheduler import ScheduledDeployment, Scheduler
from mailroom.ports.status import InstallationFacts, StatusFacts

#: As the flow `watch` has it.
_AGED = timedelta(minutes=15)
#: A worker's heartbeat comes every 15 seconds.
_SILENT = timedelta(seconds=60)
#: The flow `reconcile` runs every hour.
_PROOF_OLD = timedelta(hours=3)
_LATE = timedelta(minutes=5)
_QUERY_TIME = timedelta(seconds=1)
_ENDED_BADLY = frozenset({"Failed", "Crashed", "TimedOut"})

RECEIVING, SENDING, PROOFS, WORKERS, QUEUES, SCHEDULES = (
    "Receiving",
    "Sending",
    "Proofs and alarms",
    "Workers and versions",
    "Queues",
    "Schedules",
)


def sources(
    facts: StatusFacts,
    *,
    dead_letters: Mapping[str, Callable[[], int]],
    scheduler: Scheduler | None,
) -> dict[str, Source]:
    """Return the sources of a look; `dead_letters` counts those of each queue."""
    found: dict[str, Source] = {"Database": partial(_of_database, facts)}
    for queue, count in dead_letters.items():
        found[f"Queue {queue}"] = partial(_of_queue, queue, count)
    if scheduler is not None:
        found["Prefect"] = partial(_of_scheduler, scheduler)
    return found


def _of_database(facts: StatusFacts, now: datetime) -> Sequence[StatusRow]:
    found = facts.facts(now=now, within=_QUERY_TIME)
    return [*_receiving(found, now), *_sending(found, now), *_proofs(found, now), *_workers(found, now)]


def _receiving(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    aged = found.oldest_unfiled is not None and now - found.oldest_unfiled > _AGED
    took = f"95 of 100 filed within {lasted(found.filing_time)}" if found.filing_time is not None else "none filed"
    rows = [
        _row(RECEIVING, "Mail", f"{found.last_hour:,} in the last hour, {found.last_day:,} in the last day"),
        _row(RECEIVING, "Filing in the last hour", took),
        _row(
            RECEIVING,
            "Oldest not finished",
            "none" if found.oldest_unfiled is None else f"waits for {lasted(now - found.oldest_unfiled)}",
            Level.BAD if aged else Level.GOOD,
            since=found.oldest_unfiled,
            what_to_do="see that a worker runs and is not paused; `mailroom trace ID` says where it is"
            if aged
            else None,
        ),
        _row(
            RECEIVING,
            "Quarantine",
            f"{found.quarantined:,} not filed, {found.quarantined_lately:,} of them in the last day",
            Level.LOOK if found.quarantined_lately else Level.GOOD,
            what_to_do="look at the reasons, then replay, release or leave them" if found.quarantined_lately else None,
            link="/quarantine",
        ),
    ]
    if found.replays_left:
        rows.append(_row(RECEIVING, "Replays", f"{found.replays_left:,} e-mails are left", link="/quarantine"))
    return rows


def _sending(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    aged = found.oldest_due is not None and now - found.oldest_due > _AGED
    rows = [
        _row(
            SENDING,
            "Waiting",
            f"{found.waiting_messages:,} messages of {found.waiting_batches:,} batches",
            link="/batches",
        ),
        _row(
            SENDING,
            "Oldest due",
            "none" if found.oldest_due is None else f"due for {lasted(now - found.oldest_due)}",
            Level.BAD if aged else Level.GOOD,
            since=found.oldest_due,
            what_to_do="see that a worker runs, and the provider's limits; `mailroom trace ID` says where it is"
            if aged
            else None,
        ),
    ]
    rows += [
        _row(
            SENDING,
            f"Held: {reason.value.replace('_', ' ')}",
            f"{count.messages:,} messages of {count.batches:,} batches: {reason.sentence}",
            Level.BAD,
            what_to_do=reason.remedy,
            link="/batches",
        )
        for reason, count in found.held.items()
    ]
    rows += [
        _row(
            SENDING,
            f"Paused: {pause.provider}",
            f"{pause.reason.sentence}; one message is tried again at {pause.until:%H:%M} UTC",
            Level.BAD,
            since=pause.since,
            what_to_do=pause.reason.remedy,
        )
        for pause in found.pauses
    ]
    if found.breakers:
        remedy = "look at the list that was used, then close them"
        rows.append(
            _row(SENDING, "Breakers", f"{found.breakers:,} are open", Level.BAD, what_to_do=remedy, link="/breakers")
        )
    return rows


def _proofs(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    rows = [
        _row(
            PROOFS,
            f"Skipped by {loop}",
            f"{count:,} rows cannot be used",
            Level.BAD,
            what_to_do="docs/operations.md, `row_skipped`: each is named in the event and the log",
        )
        for loop, count in found.skipped.items()
    ]
    proof = found.proof
    if proof is None:
        remedy = "`mailroom check`, or wait for the flow `reconcile`"
        return [*rows, _row(PROOFS, "Last proof", "none yet that nothing is lost", Level.LOOK, what_to_do=remedy)]
    wrong, old = sum(proof.differences.values()), now - proof.ended_at > _PROOF_OLD
    value = f"{wrong:,} differences" if wrong else "nothing is lost, nothing was sent twice"
    remedy = "`mailroom check` names each difference" if wrong else "see why the flow `reconcile` does not run"
    level = Level.BAD if wrong else Level.LOOK if old else Level.GOOD
    needs = remedy if wrong or old else None
    return [*rows, _row(PROOFS, "Last proof", value, level, since=proof.ended_at, what_to_do=needs)]


def _workers(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    alive = [one for one in found.workers if now - one.beat_at <= _SILENT]
    rows = [
        _row(
            WORKERS,
            one.name,
            f"works on {one.in_hand:,} e-mails"
            + (f"; paused: {one.paused_by} is unavailable" if one.paused_by else "")
            + (f"; held: {one.held_by}" if one.held_by else ""),
            Level.BAD if one.paused_by else Level.LOOK if one.held_by else Level.GOOD,
            since=one.beat_at,
            what_to_do=f"{one.paused_by} must answer again; the worker goes on by itself" if one.paused_by else None,
        )
        for one in alive
    ]
    rows += [
        _row(WORKERS, one.name, "no heartbeat", Level.LOOK, since=one.beat_at, what_to_do="see whether it was stopped")
        for one in found.workers
        if one not in alive
    ]
    if not alive:
        remedy = "start one: `mailroom worker`; until then nothing is received or sent"
        rows.append(_row(WORKERS, "Workers", "none is running", Level.BAD, what_to_do=remedy))
    return [*rows, _row(WORKERS, "Version", f"Mailroom {_version()}, database schema {found.schema}")]


def _of_queue(queue: str, count: Callable[[], int], _now: datetime) -> Sequence[StatusRow]:
    dead = count()
    remedy = "mend the cause first, then " + (
        "`mailroom replay --dlq`" if queue == "inbound" else "move them back by the redrive of SQS"
    )
    value = f"{dead:,} messages were given up" if dead else "no dead letters"
    level = Level.BAD if dead else Level.GOOD
    return [_row(QUEUES, f"Dead letters: {queue}", value, level, what_to_do=remedy if dead else None)]


def _of_scheduler(scheduler: Scheduler, now: datetime) -> Sequence[StatusRow]:
    rows = [_scheduled(one, now) for one in scheduler.deployments()]
    if rows:
        return rows
    remedy = "run `python -m deployments.ensure`"
    return [_row(SCHEDULES, "Schedules", "none is registered", Level.BAD, what_to_do=remedy)]


def _scheduled(one: ScheduledDeployment, now: datetime) -> StatusRow:
    level, remedy = Level.GOOD, None
    if one.paused:
        level, remedy = Level.LOOK, "resume the deployment in the Prefect UI when it is wanted again"
    elif one.next_at is None:
        level, remedy = Level.BAD, "see that Prefect's scheduler runs; docs/operations.md"
    elif now - one.next_at > _LATE:
        level, remedy = Level.BAD, "see that a worker runs and its work pool is not paused"
    elif one.last_state in _ENDED_BADLY:
        level, remedy = Level.LOOK, "look at the run in the Prefect UI"
    last = f"last {when(one.last_at)}, {one.last_state}" if one.last_at else "no run yet"
    said = f": {one.last_message}" if one.last_message and one.name == "watch" else ""
    ahead = "paused" if one.paused else f"next {when(one.next_at)}" if one.next_at else "no run ahead"
    return _row(SCHEDULES, one.name, f"{last}{said}; {ahead}", level, what_to_do=remedy)


def _row(
    group: str,
    name: str,
    value: str,
    level: Level = Level.GOOD,
    *,
    since: datetime | None = None,
    what_to_do: str | None = None,
    link: str | None = None,
) -> StatusRow:
    return StatusRow(group=group, name=name, level=level, value=value, since=since, what_to_do=what_to_do, link=link)


@cache
def _version() -> str:
    try:
        return metadata.version("mailroom")
    except metadata.PackageNotFoundError:
        return "unknown"
