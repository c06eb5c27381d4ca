"""The rows of the status page, from the facts of the database, the queues and the orchestrator.

The limits are those of the alarms (docs/operations.md): what rings there is bad here.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, partial
from importlib import metadata

from mailroom.domain.readable import shown
from mailroom.domain.texts import Text, as_text, lasted
from mailroom.operations.status import Level, Source, StatusRow
from mailroom.ports.inbox_reader import WorkerLine
from mailroom.ports.scheduler import ScheduledDeployment, Scheduler
from mailroom.ports.status import InstallationFacts, StatusFacts

#: As the flow `watch` has it.
_AGED = timedelta(minutes=15)
#: A worker's heartbeat comes every 15 seconds.
_SILENT = timedelta(seconds=60)
#: The flow `reconcile` runs every hour.
_PROOF_OLD = timedelta(hours=3)
_LATE = timedelta(minutes=5)
#: The flow `audit` reads every byte within this time, and a day for the run that is under way.
_CYCLE = timedelta(days=31)
_QUERY_TIME = timedelta(seconds=1)
_ENDED_BADLY = frozenset({"Failed", "Crashed", "TimedOut"})

RECEIVING, SENDING, PROOFS, WORKERS, QUEUES, SCHEDULES = (
    Text("Receiving"),
    Text("Sending"),
    Text("Proofs and alarms"),
    Text("Workers and versions"),
    Text("Queues"),
    Text("Schedules"),
)


def sources(
    facts: StatusFacts,
    *,
    dead_letters: Mapping[str, Callable[[], int]],
    scheduler: Scheduler | None,
) -> dict[str, Source]:
    """Return the sources of a look; `dead_letters` counts those of each queue."""
    found: dict[str, Source] = {Text("Database"): partial(_of_database, facts)}
    for queue, count in dead_letters.items():
        found[Text("Queue %(name)s", name=queue)] = partial(_of_queue, queue, count)
    if scheduler is not None:
        found[Text("Prefect")] = partial(_of_scheduler, scheduler)
    return found


def _of_database(facts: StatusFacts, now: datetime) -> Sequence[StatusRow]:
    found = facts.facts(now=now, within=_QUERY_TIME)
    return [*_receiving(found, now), *_sending(found, now), *_proofs(found, now), *_workers(found, now)]


def _receiving(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    aged = found.oldest_unfiled is not None and now - found.oldest_unfiled > _AGED
    took, day = found.filing_time, found.last_day
    rows = [
        _row(
            RECEIVING,
            Text("Mail"),
            Text("%(hour)s in the last hour, %(day)s in the last day", hour=found.last_hour, day=day),
        ),
        _row(
            RECEIVING,
            Text("Filing in the last hour"),
            Text("none filed") if took is None else Text("95 of 100 filed within %(time)s", time=lasted(took)),
        ),
        _row(
            RECEIVING,
            Text("Oldest not finished"),
            Text("none")
            if found.oldest_unfiled is None
            else Text("waits for %(time)s", time=lasted(now - found.oldest_unfiled)),
            Level.BAD if aged else Level.GOOD,
            since=found.oldest_unfiled,
            what_to_do=Text("see that a worker runs and is not paused; `mailroom trace ID` says where it is")
            if aged
            else None,
        ),
        _row(
            RECEIVING,
            Text("Quarantine"),
            Text(
                "%(all)s not filed, %(late)s of them in the last day",
                all=found.quarantined,
                late=found.quarantined_lately,
            ),
            Level.LOOK if found.quarantined_lately else Level.GOOD,
            what_to_do=Text("look at the reasons, then replay, release or leave them")
            if found.quarantined_lately
            else None,
            link="/quarantine",
        ),
    ]
    if found.replays_left:
        left = Text.counted("%(count)s e-mail is left", "%(count)s e-mails are left", found.replays_left)
        rows.append(_row(RECEIVING, Text("Replays"), left, link="/quarantine"))
    return rows


def _sending(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    aged = found.oldest_due is not None and now - found.oldest_due > _AGED
    rows = [
        _row(
            SENDING,
            Text("Waiting"),
            _messages(found.waiting_messages, found.waiting_batches),
            link="/batches",
        ),
        _row(
            SENDING,
            Text("Oldest due"),
            Text("none") if found.oldest_due is None else Text("due for %(time)s", time=lasted(now - found.oldest_due)),
            Level.BAD if aged else Level.GOOD,
            since=found.oldest_due,
            what_to_do=Text("see that a worker runs, and the provider's limits; `mailroom trace ID` says where it is")
            if aged
            else None,
        ),
    ]
    rows += [
        _row(
            SENDING,
            Text("Held: %(reason)s", reason=as_text(reason.value.replace("_", " "))),
            Text(
                "%(messages)s: %(sentence)s",
                messages=_messages(count.messages, count.batches),
                sentence=as_text(reason.sentence),
            ),
            Level.BAD,
            what_to_do=as_text(reason.remedy),
            link="/batches",
        )
        for reason, count in found.held.items()
    ]
    rows += [
        _row(
            SENDING,
            Text("Paused: %(name)s", name=pause.provider),
            Text(
                "%(sentence)s; one message is tried again at %(time)s",
                sentence=as_text(pause.reason.sentence),
                time=pause.until,
            ),
            Level.BAD,
            since=pause.since,
            what_to_do=as_text(pause.reason.remedy),
        )
        for pause in found.pauses
    ]
    if found.breakers:
        remedy = Text("look at the list that was used, then close them")
        opened = Text.counted("%(count)s is open", "%(count)s are open", found.breakers)
        rows.append(_row(SENDING, Text("Breakers"), opened, Level.BAD, what_to_do=remedy, link="/breakers"))
    return rows


def _proofs(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    rows = [
        _row(
            PROOFS,
            Text("Skipped by %(name)s", name=loop),
            Text.counted("%(count)s row cannot be used", "%(count)s rows cannot be used", count),
            Level.BAD,
            what_to_do=Text("docs/operations.md, `row_skipped`: each is named in the event and the log"),
        )
        for loop, count in found.skipped.items()
    ]
    rows += _archive(found, now)
    proof = found.proof
    if proof is None:
        remedy = Text("`mailroom check`, or wait for the flow `reconcile`")
        none_yet = Text("none yet that nothing is lost")
        return [*rows, _row(PROOFS, Text("Last proof"), none_yet, Level.LOOK, what_to_do=remedy)]
    wrong, old = sum(proof.differences.values()), now - proof.ended_at > _PROOF_OLD
    value = (
        Text.counted("%(count)s difference", "%(count)s differences", wrong)
        if wrong
        else Text("nothing is lost, nothing was sent twice")
    )
    remedy = (
        Text("`mailroom check` names each difference") if wrong else Text("see why the flow `reconcile` does not run")
    )
    level = Level.BAD if wrong else Level.LOOK if old else Level.GOOD
    needs = remedy if wrong or old else None
    return [*rows, _row(PROOFS, Text("Last proof"), value, level, since=proof.ended_at, what_to_do=needs)]


def _archive(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    """Return the archive's row: documents with damage, and since when every copy has been read again."""
    oldest = found.oldest_verified
    if found.incidents:
        value = Text.counted("%(count)s document has damage", "%(count)s documents have damage", found.incidents)
        remedy = Text("docs/archive.md, damage: the alarm names each; `mailroom archive verify ID` says what is wrong")
        return [_row(PROOFS, Text("Archive"), value, Level.BAD, what_to_do=remedy)]
    if oldest is None:
        return []
    is_late = now - oldest > _CYCLE
    value = Text("every copy was read within %(time)s", time=lasted(now - oldest))
    late = Text("see whether the flow `audit` runs, and what its last run says about MAILROOM_ARCHIVE_AUDIT_MB")
    level = Level.LOOK if is_late else Level.GOOD
    return [_row(PROOFS, Text("Archive"), value, level, since=oldest, what_to_do=late if is_late else None)]


def _workers(found: InstallationFacts, now: datetime) -> list[StatusRow]:
    alive = [one for one in found.workers if now - one.beat_at <= _SILENT]
    rows = [
        _row(
            WORKERS,
            one.name,
            _doing(one),
            Level.BAD if one.paused_by else Level.LOOK if one.held_by else Level.GOOD,
            since=one.beat_at,
            what_to_do=Text("%(what)s must answer again; the worker goes on by itself", what=one.paused_by)
            if one.paused_by
            else None,
        )
        for one in alive
    ]
    rows += [
        _row(
            WORKERS,
            one.name,
            Text("no heartbeat"),
            Level.LOOK,
            since=one.beat_at,
            what_to_do=Text("see whether it was stopped"),
        )
        for one in found.workers
        if one not in alive
    ]
    if not alive:
        remedy = Text("start one: `mailroom worker`; until then nothing is received or sent")
        rows.append(_row(WORKERS, Text("Workers"), Text("none is running"), Level.BAD, what_to_do=remedy))
    known = Text("Mailroom %(version)s, database schema %(schema)s", version=version(), schema=found.schema)
    rows.append(_row(WORKERS, Text("Version"), known))
    if found.may_change_journals:
        what, remedy = (
            Text("can change the archive's journals"),
            Text("give it a login of its own: see docs/archive.md"),
        )
        rows.append(_row(WORKERS, Text("Login of the database"), what, Level.LOOK, what_to_do=remedy))
    return rows


def _doing(one: WorkerLine) -> Text:
    doing = Text.counted("works on %(count)s e-mail", "works on %(count)s e-mails", one.in_hand)
    if one.paused_by:
        doing = Text("%(doing)s; paused: %(what)s is unavailable", doing=doing, what=one.paused_by)
    return Text("%(doing)s; held: %(why)s", doing=doing, why=one.held_by) if one.held_by else doing


def _of_queue(queue: str, count: Callable[[], int], _now: datetime) -> Sequence[StatusRow]:
    dead = count()
    remedy = (
        Text("mend the cause first, then `mailroom replay --dlq`")
        if queue == "inbound"
        else Text("mend the cause first, then move them back by the redrive of SQS")
    )
    given_up = Text.counted("%(count)s message was given up", "%(count)s messages were given up", dead)
    value = given_up if dead else Text("no dead letters")
    level = Level.BAD if dead else Level.GOOD
    return [_row(QUEUES, Text("Dead letters: %(name)s", name=queue), value, level, what_to_do=remedy if dead else None)]


def _of_scheduler(scheduler: Scheduler, now: datetime) -> Sequence[StatusRow]:
    rows = [_scheduled(one, now) for one in scheduler.deployments()]
    if rows:
        return rows
    remedy = Text("run `python -m deployments.ensure`")
    return [_row(SCHEDULES, SCHEDULES, Text("none is registered"), Level.BAD, what_to_do=remedy)]


def _scheduled(one: ScheduledDeployment, now: datetime) -> StatusRow:
    level, remedy = Level.GOOD, None
    if one.paused:
        level, remedy = Level.LOOK, Text("resume the deployment in the Prefect UI when it is wanted again")
    elif one.next_at is None:
        level, remedy = Level.BAD, Text("see that Prefect's scheduler runs; docs/operations.md")
    elif now - one.next_at > _LATE:
        level, remedy = Level.BAD, Text("see that a worker runs and its work pool is not paused")
    elif one.last_state in _ENDED_BADLY:
        level, remedy = Level.LOOK, Text("look at the run in the Prefect UI")
    return _row(
        SCHEDULES, one.name, Text("%(last)s; %(ahead)s", last=_last(one), ahead=_ahead(one)), level, what_to_do=remedy
    )


def _last(one: ScheduledDeployment) -> Text:
    if one.last_at is None:
        return Text("no run yet")
    # The state is Prefect's word, as its own pages have it.
    last = Text("last %(time)s, %(state)s", time=one.last_at, state=one.last_state)
    if one.last_message and one.name == "watch":
        return Text("%(last)s: %(message)s", last=last, message=shown(one.last_message))
    return last


def _ahead(one: ScheduledDeployment) -> Text:
    if one.paused:
        return Text("paused")
    return Text("next %(time)s", time=one.next_at) if one.next_at else Text("no run ahead")


def _messages(messages: int, batches: int) -> Text:
    of = Text.counted("%(count)s batch", "%(count)s batches", batches)
    return Text.counted("%(count)s message of %(batches)s", "%(count)s messages of %(batches)s", messages, batches=of)


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
def version() -> str:
    """Return the installed version."""
    try:
        return metadata.version("mailroom")
    except metadata.PackageNotFoundError:
        return "unknown"
