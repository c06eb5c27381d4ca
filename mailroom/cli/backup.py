"""Back up Mailroom's database: one file in pg_dump's custom format, and FILE.json that describes it.

\b
    mailroom backup /backups/mailroom-2026-11-29.dump
    mailroom restore /backups/mailroom-2026-11-29.dump --dry-run

Mailroom may keep running. An existing file is never replaced. The backup has no bytes of mails: these are in the inbound
bucket and in the archive. Prefect has its own database; docs/operations.md has the run-book for both, also for RDS.
"""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from typing import Annotated

import typer

from mailroom.adapters.postgres.operations.dumps import dump
from mailroom.cli._app import AsJson, say
from mailroom.cli._backups import Backup, about_file, restores_of, revision_of
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import load_owner_url, use_stack_environment

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command(help=__doc__)
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
    as_json: AsJson = False,
) -> None:
    """Back up Mailroom's database."""
    about = about_file(file)
    for one in (file, about):
        if one.exists():
            raise ConfigurationError(f"{one} already exists; choose another file, a backup is never replaced")
    if not file.parent.is_dir():
        raise ConfigurationError(f"{file.parent} is not a folder; create it first")
    use_stack_environment()
    opened = Opened()
    url, restores = load_owner_url(), restores_of(opened)
    restores.start()
    made = Backup(
        made_at=datetime.now(UTC),
        revision=revision_of(opened.engine),
        counter=restores.counter(),
        installation=restores.name(),
    )
    with _Progress(file):
        dump(url, file)
    about.write_text(made.as_text())
    # Anything sent from now on has a higher counter than the dump.
    restores.start()
    size = file.stat().st_size
    if as_json:
        say(json.dumps(json.loads(made.as_text()) | {"file": str(file), "bytes": size}))
    else:
        say(f"{file}: {size:,} bytes, schema {made.revision}, counter {made.counter}; inspect it with")
        say(f"  mailroom restore {file} --dry-run")


class _Progress:
    """Shows the dump's size on stderr, if that is a terminal; pg_dump reports no progress."""

    def __init__(self, file: Path) -> None:
        self._part, self._over = file.with_name(f"{file.name}.part"), Event()
        self._thread = Thread(target=self._show, name="progress", daemon=True)

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
            print(file=sys.stderr)

    def _show(self) -> None:
        while not self._over.wait(0.5):
            size = self._part.stat().st_size if self._part.exists() else 0
            print(f"\r{size / 1e6:,.1f} MB written ", end="", file=sys.stderr, flush=True)
