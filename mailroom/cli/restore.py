"""Restore Mailroom's database from a backup. Waiting batches are held, so that nothing is sent twice.

\b
    mailroom restore FILE --dry-run      show what would be replaced
    mailroom restore FILE                restore; stop workers and HTTP service first

Replaces everything in the database. A batch that was waiting at the time of the backup may have been sent since: it
becomes `held`, and is not sent until you resume or cancel it (`mailroom batch --help`). E-mail received since is filed
again from S3. With --mark-only nothing is restored: use it after the database was restored by other means (a snapshot, a
point in time); it holds all waiting batches. docs/operations.md has the run-book.
"""

import json
import sys
from contextlib import nullcontext
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer

from mailroom import wiring
from mailroom.adapters.postgres.operations.dumps import check_dump, schema_aside
from mailroom.adapters.postgres.operations.dumps import restore as put_back
from mailroom.adapters.postgres.schema import this_code
from mailroom.adapters.postgres.schema_upgrade import upgrade
from mailroom.cli._app import AsJson, say
from mailroom.cli._backups import (
    Backup,
    contents_of,
    journal,
    others_at_work,
    read_backup,
    restores_of,
    revision_of,
)
from mailroom.cli._installation import Opened
from mailroom.domain.archive.journal import OperationsKind
from mailroom.domain.errors import ConfigurationError, PermanentError
from mailroom.ports.holds import HoldReason
from mailroom.settings import load_database_url, load_owner_url, use_stack_environment

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command(help=__doc__)
def restore(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The file that `mailroom backup` wrote.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be replaced.")] = False,
    beneath: Annotated[
        bool,
        typer.Option(
            "--beneath-running-processes", help="Restore even if other processes are connected to the database."
        ),
    ] = False,
    mark_only: Annotated[
        bool,
        typer.Option("--mark-only", help="Only hold the waiting batches, after a restore by other means."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore Mailroom's database."""
    if (file is None) != mark_only:
        raise ConfigurationError("give either a FILE that `mailroom backup` wrote, or --mark-only")
    use_stack_environment()
    opened = Opened()
    if file is None:
        _mark(opened, dry_run=dry_run, as_json=as_json)
        return
    url, about = load_owner_url(), read_backup(file)
    check_dump(url, file)
    # Only the owner sees who else is connected.
    owner = wiring.engine_of(url, wiring.COMMAND)
    others, there = others_at_work(owner), contents_of(owner)
    _refuse_newer(about)
    _show(file, about, there, others)
    if dry_run:
        if as_json:
            say(json.dumps({"restored": False, "replaces": there, "connected": others} | json.loads(about.as_text())))
        return
    if others and not beneath:
        raise ConfigurationError(
            f"other processes are connected to the database: {', '.join(others)}; stop workers and HTTP service "
            "(`mailroom down`, or your orchestrator), or give --beneath-running-processes"
        )
    before = revision_of(owner)
    owner.dispose()
    opened.engine.dispose()
    # Tables of a newer schema that the dump lacks would stay otherwise.
    with schema_aside(url) if before and before != about.revision else nullcontext():
        put_back(url, file)
    upgrade(url, load_database_url())
    _finish(opened, file, as_json=as_json)
    made = {"made_at": about.made_at.astimezone(UTC).isoformat(), "revision": about.revision, "counter": about.counter}
    journal(opened, OperationsKind.RESTORED, **made)


def _finish(opened: Opened, file: Path, *, as_json: bool) -> None:
    """Hold what waits. After a kill before this, the next process that starts does it: it detects the restored database."""
    restores_of(opened).recognise(because=f"mailroom restore {file.name}")
    held = _held(opened)
    if as_json:
        say(json.dumps({"restored": True, "held": held, "contains": contents_of(opened.engine)}))
        return
    say(f"restored; {held['messages']:,} messages of {held['batches']:,} batches are held")
    for line in (
        "next steps:",
        "  1. mailroom archive recover-journal --dry-run      if journals are sealed: put back what was sealed since the backup",
        "  2. start workers and HTTP service; e-mail received since the backup is filed again from S3 automatically",
        "  3. mailroom batch list --held              resume or cancel each; events from the provider settle some "
        "automatically",
        "  4. mailroom batch resume ID | cancel ID    messages sent after the backup are not in this database: check "
        "with the provider",
        "  5. mailroom check",
    ):
        say(line)


def _held(opened: Opened) -> dict[str, int]:
    """Return how much is held, by this command or by a process that was running during the restore."""
    count = opened.store.outbox.held_count().get(HoldReason.RESTORED)
    return {"batches": count.batches if count else 0, "messages": count.messages if count else 0}


def _mark(opened: Opened, *, dry_run: bool, as_json: bool) -> None:
    restores = restores_of(opened)
    if dry_run:
        waiting = restores.waiting()
        say(
            json.dumps({"marked": False, "messages": waiting})
            if as_json
            else f"{waiting:,} waiting messages would be held"
        )
        return
    restores.recognise(because="mailroom restore --mark-only")
    journal(opened, OperationsKind.RESTORED)
    held = _held(opened)
    if as_json:
        say(json.dumps({"marked": True, "messages": held["messages"]}))
    else:
        say(f"{held['messages']:,} messages of {held['batches']:,} batches are held; see `mailroom batch list --held`")


def _refuse_newer(about: Backup) -> None:
    if about.revision > this_code().newest:
        raise PermanentError(
            f"the backup has schema {about.revision}, newer than this Mailroom's {this_code().newest}: install the "
            "newer Mailroom"
        )


def _show(file: Path, about: Backup, there: dict[str, int], others: list[str]) -> None:
    replaced = ", ".join(f"{count:,} {what}" for what, count in there.items()) or "nothing"
    lines = [
        f"{file}: made {about.made_at:%Y-%m-%d %H:%M:%S} UTC, schema {about.revision}, counter {about.counter}",
        f"replaces {replaced}",
    ]
    if others:
        lines.append(f"connected: {', '.join(others)}")
    for line in lines:
        print(line, file=sys.stderr)
