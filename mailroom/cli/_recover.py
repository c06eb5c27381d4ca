"""`mailroom archive recover-journal`: the sealed entries that a restored, older database lacks, from the archive."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from mailroom.archive.recovering import Recovered, recover
from mailroom.cli._app import AsJson, say
from mailroom.cli._backups import others_at_work
from mailroom.cli._installation import Opened
from mailroom.cli._rebuild import ports_of, show_left
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import load_owner_url, use_stack_environment
from mailroom.wiring import COMMAND, engine_of

_SHOWN = 50


def recover_journal(
    yes: Annotated[bool, typer.Option("--yes", help="Recover. Workers and HTTP service are stopped first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which entries; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put sealed entries of the journals that the database lacks back from the archive, and the e-mails that they name.

    For a database that was restored from a backup: until they are back, its journals are not sealed (alarm `seals behind`). Run
    it after `mailroom restore`, before workers start. Entries that the database has in their place are shown, and follow them,
    marked `again`: if you do not know where they come from, somebody altered the journal. `mailroom archive verify` has a line
    about each recovery from then on. It may be stopped at any time and run again.
    """
    if yes == dry_run:
        raise ConfigurationError("give either --dry-run or --yes")
    use_stack_environment()
    opened, owner = Opened(), engine_of(load_owner_url(), COMMAND)
    others = others_at_work(owner)
    if others and yes:
        raise ConfigurationError(
            f"other processes are connected to the database: {', '.join(others)}; stop workers and HTTP service first"
        )
    done = recover(ports_of(opened, owner), now=lambda: datetime.now(UTC), dry_run=dry_run, progress=_progress)
    if as_json:
        say(json.dumps(asdict(done) | {"recovered": yes}, default=datetime.isoformat))
        return
    _show(done, dry_run=dry_run)


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


def _show(done: Recovered, *, dry_run: bool) -> None:
    verb = "would be" if dry_run else "are"
    for name, put in sorted(done.journals.items()):
        say(f"journal {name}: entries {put.first:,} to {put.last:,} {verb} put back")
        for one in put.again[:_SHOWN]:
            say(f"  entry {one.seq} of the database, {one.kind} {one.subject or ''}: no seal has it; it follows them")
        if len(put.again) > _SHOWN:
            say(f"  and {len(put.again) - _SHOWN:,} more")
    if not done.journals:
        say("the database has all entries that were sealed")
    if dry_run:
        return
    say(f"{done.mails.mails:,} e-mails with {done.mails.items:,} items are put back")
    show_left(done.mails)
    say("next: start workers and HTTP service; the flow `seal` continues, `sweep-inbound` files the rest")
