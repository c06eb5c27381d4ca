"""`mailroom archive rebuild`: Mailroom's database, lost, from the archive."""

import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from sqlalchemy import Engine

from mailroom.adapters.recovery import rebuilding
from mailroom.archive.rebuilding import Rebuilding, Rebuilt, survey
from mailroom.archive.rebuilding import rebuild as rebuild_from
from mailroom.cli._app import AsJson, say
from mailroom.cli._backups import others_at_work
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import load_owner_url, use_stack_environment
from mailroom.wiring import COMMAND, engine_of, parser

_SHOWN = 20


def rebuild(
    yes: Annotated[bool, typer.Option("--yes", help="Rebuild. Workers and HTTP service are stopped first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what the archive has; change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild Mailroom's database from the archive, after it was lost and there is no backup.

    The database is new and migrated (`mailroom migrate`), and has no mail. Mails, recipients, items, deposits and receipts come
    from the archive's journals and manifests; tenants, addresses, people, hashes of keys, senders and suppressions from the
    newest export that MAILROOM_SEAL_KEY signed. Batches and messages to send are not rebuilt: nothing is sent twice. It may be
    stopped at any time and run again. docs/archive.md has the run-book.
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
    ports = ports_of(opened, owner)
    done = survey(ports) if dry_run else rebuild_from(ports, now=lambda: datetime.now(UTC), progress=_progress)
    if as_json:
        say(json.dumps(asdict(done) | {"rebuilt": yes}, default=datetime.isoformat))
        return
    _show(done, dry_run=dry_run)


def ports_of(opened: Opened, owner: Engine) -> Rebuilding:
    """Return the ports of a rebuild of this installation."""
    settings = opened.settings
    return rebuilding(
        opened.archive_s3,
        owner,
        bucket=settings.archive_bucket,
        second=opened.second,
        lock_mode=settings.archive_lock_mode,
        key=settings.seal_key.get_secret_value(),
        before=settings.seal_keys_before,
        archive=opened.stored_archive,
        parser=parser(),
        recognise=partial(opened.restores.recognise, because="mailroom archive rebuild"),
    )


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


def show_left(done: Rebuilt) -> None:
    """Print the e-mails that are not put back."""
    for email_id in done.left[:_SHOWN]:
        say(f"left to sweep-inbound: {email_id}")
    if len(done.left) > _SHOWN:
        say(f"and {len(done.left) - _SHOWN:,} more")


def _show(done: Rebuilt, *, dry_run: bool) -> None:
    tables = ", ".join(f"{count:,} {name}" for name, count in sorted(done.tables.items())) or "nothing"
    say(f"export {done.export} of {done.exported_at:%Y-%m-%d %H:%M} UTC: {tables}")
    for journal, last in sorted(done.journals.items()):
        say(f"journal {journal}: {last:,} entries; what came after entry {last:,} is not known")
    if dry_run:
        say(f"{done.mails:,} e-mails would be put back")
        return
    say(f"{done.mails:,} e-mails with {done.items:,} items are put back")
    if done.different:
        say(
            f"{done.different:,} items differ from what the journal says, for this release reads their e-mails otherwise"
        )
    show_left(done)
    for line in (
        "next steps:",
        "  1. set webhooks and endpoints of tenants again: their secrets are in no archive",
        "  2. start workers and HTTP service; sweep-inbound files what was under way, or came after the last entry",
        "  3. mailroom check",
    ):
        say(line)
