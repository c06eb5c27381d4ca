"""Process e-mails again: by id, by state, reason and age, by a processor that failed, or the dead letters.

Each step is idempotent: nothing is archived twice, and existing inbox items stay. For a filed e-mail, only processors
that failed run again, and what was held of it as `too_many` is filed. --dry-run lists the e-mails and changes nothing.
"""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.cli._times import since as time_of
from mailroom.domain.errors import ConfigurationError, MailroomError, Reason
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import REPLAYABLE, Entry, State
from mailroom.inbound.lease import stale_s
from mailroom.ports.runs import Run
from mailroom.settings import use_stack_environment

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command(epilog="Reasons: " + ", ".join(InboundReason) + "; docs/reasons.md has a sentence for each.")
def replay(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID...]", help="Ids of the e-mails, of any kind that `mailroom trace` takes."),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="quarantined, failed, or processing (by a worker that died).")
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(help="Only e-mails with this reason, such as no_route; the word of up to 0.1.0 works too."),
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="Filed e-mails for which this processor failed, such as webhook.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Received since: 2026-11-21T08:00, or 2h, 3d.")] = None,
    most: Annotated[int, typer.Option(help="Replay at most this many.", min=1)] = 1000,
    dlq: Annotated[bool, typer.Option("--dlq", help="Move all dead letters of the inbound queue back to it.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be replayed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Process e-mails again: by id, by state, reason and age, by a processor that failed, or the dead letters."""
    _check(ids, dlq=dlq, state=state, reason=reason, processor=processor, since=since)
    opened = Opened()
    if dlq:
        _redrive(opened, dry_run=dry_run, as_json=as_json)
        return
    failed = 0
    if ids:
        entries = [_or_withheld(opened, _by_id(opened, any_id)) for any_id in ids]
    elif processor:
        ids = opened.processings.failed_emails(processor, since=time_of(since), limit=most)
        entries = [_by_id(opened, email_id) for email_id in ids]
    else:
        entries = _selected(opened, state, reason, time_of(since), most)
        if state is None and reason == Reason.TOO_MANY:
            entries += _withheld(opened, time_of(since), most - len(entries))
    for entry in entries:
        filed = entry.state is State.FILED and entry.reason != Reason.TOO_MANY
        left = opened.processings.failed(entry.id) if filed else []
        try:
            run = None if dry_run or (filed and not left) else _run_again(opened, entry)
        except MailroomError as error:
            failed += 1
            print(f"{entry.ref.message_id}  could not be replayed: {error}", file=sys.stderr)
            continue
        _show(entry, run, left, dry_run=dry_run, as_json=as_json)
    if not entries and not as_json:
        say("nothing to replay")
    if failed:
        raise typer.Exit(1)


def _check(
    ids: list[str] | None,
    *,
    dlq: bool,
    state: str | None,
    reason: str | None,
    processor: str | None,
    since: str | None,
) -> None:
    """Refuse options that select nothing, or that contradict each other."""
    chosen = any((state, reason, processor))
    if dlq and (ids or chosen or since):
        raise ConfigurationError("--dlq moves all dead letters; it cannot be combined with ids or other filters")
    if ids and (chosen or since):
        raise ConfigurationError("give either ids, or --state, --reason, --processor and --since, not both")
    if processor and (state or reason):
        raise ConfigurationError("--processor selects filed e-mails; it cannot be combined with --state or --reason")
    if not (ids or dlq or chosen):
        raise ConfigurationError(
            "give ids, --state quarantined|failed|processing, --reason R, --processor P or --dlq; "
            "--dry-run shows what would be replayed"
        )


def _selected(opened: Opened, state: str | None, reason: str | None, since: datetime | None, most: int) -> list[Entry]:
    if state == State.PROCESSING:
        if reason or since:
            raise ConfigurationError("--state processing cannot be combined with --reason or --since")
        # An e-mail that a living worker has leased is left to it.
        return opened.ledger.silent(before=datetime.now(UTC) - timedelta(seconds=stale_s()), limit=most)
    states = [_state(state)] if state else list(REPLAYABLE)
    return opened.ledger.select(states=states, reason=reason, since=since, limit=most)


def _withheld(opened: Opened, since: datetime | None, most: int, email_id: str | None = None) -> list[Entry]:
    """Return filed e-mails that are held for some of their tenants as too many of one sender, with that reason."""
    limit = opened.store.sender_limit(0)
    ids = limit.withheld(since=since, limit=most, email_id=email_id) if most > 0 else []
    return [replace(_by_id(opened, one), reason=Reason.TOO_MANY.value) for one in ids]


def _redrive(opened: Opened, *, dry_run: bool, as_json: bool) -> None:
    """Move the dead letters back to their queue, and print how many; the worker receives them as any message."""
    use_stack_environment()
    settings = opened.settings
    letters = opened.dead_letters(settings.inbound_queue_url)
    there = len(letters)
    moved = 0 if dry_run or not there else letters.redrive(_show_progress)
    if as_json:
        say(json.dumps({"dead_letters": there, "moved": moved}))
    elif not there:
        say("no dead letters")
    else:
        say(
            f"{there} dead letters would be moved back to the queue"
            if dry_run
            else f"{moved} dead letters moved back to the queue"
        )


def _show_progress(moved: int, there: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{moved} of {there}", end="" if moved < there else "\n", file=sys.stderr, flush=True)


def _by_id(opened: Opened, any_id: str) -> Entry:
    entry = opened.ledger.find(any_id)
    if entry is None:
        raise ConfigurationError(f"no e-mail has the id {any_id}; see `mailroom trace --help` for the kinds of ids")
    return entry


def _or_withheld(opened: Opened, entry: Entry) -> Entry:
    held = _withheld(opened, None, 1, entry.id) if entry.state is State.FILED else []
    return held[0] if held else entry


def _run_again(opened: Opened, entry: Entry) -> Run:
    """Schedule the e-mail's own run; if Prefect no longer has it, a new one."""
    if entry.state is State.FILED and entry.reason == Reason.TOO_MANY:
        opened.store.sender_limit(0).release(entry.id, now=datetime.now(UTC))
    if entry.run_id is not None:
        try:
            return opened.runs.retry(entry.run_id)
        except LookupError:
            pass
    run = opened.runs.start(entry.ref)
    # Getting a run that exists and never ran does not schedule it.
    return run if run.state == "Scheduled" else opened.runs.retry(run.id)


def _show(entry: Entry, run: Run | None, left: list[str], *, dry_run: bool, as_json: bool) -> None:
    explained = InboundReason.explain(entry.reason)
    what = f"{', '.join(left)} failed" if left else explained["reason_code"]
    if as_json:
        facts: dict[str, str | None] = {"id": entry.id, "message_id": entry.ref.message_id, "state": entry.state}
        facts |= {"reason": InboundReason.old_word(entry.reason), **explained}
        say(json.dumps(facts | {"failed": left, "replayed": run is not None, "run_url": run.url if run else None}))
    elif entry.state is State.FILED and not left and entry.reason != Reason.TOO_MANY:
        say(f"{entry.ref.message_id}  already filed; nothing to do")
    elif dry_run:
        say(f"{entry.ref.message_id}  {entry.state} ({what}) would be replayed")
    elif run is not None:
        say(f"{entry.ref.message_id}  {entry.state} ({what}) replayed: {run.url}")


def _state(word: str) -> State:
    if word not in REPLAYABLE:
        raise ConfigurationError(f"--state must be {', '.join(REPLAYABLE)} or processing, not {word}")
    return State(word)
