"""The archive: what is wrong in its bucket, and which strangers there an operator has acknowledged.

Every hour `reconcile` compares the bucket's listing with the receipts. A version or delete marker that Mailroom did not put
there is a difference until it is removed or acknowledged here. The deposits are not touched by it: receipts name versions.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated

import typer

from mailroom.adapters.postgres.archive.findings import DAMAGES, SqlArchiveFindings
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.archive_findings import ArchiveFinding

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_MOST = 1000


@app.command()
def findings(
    all_: Annotated[bool, typer.Option("--all", help="Those too that were acknowledged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what was found wrong in the archive's bucket and what to do about it, as `reconcile` last saw it."""
    found = _findings().all(acknowledged=all_, limit=_MOST)
    if as_json:
        say(json.dumps([asdict(one) for one in found], indent=1, default=datetime.isoformat))
        return
    for one in found:
        say(_sentence(one))
    if not found:
        say("nothing wrong is known of the archive's bucket; mailroom check looks through all of it")


@app.command()
def acknowledge(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key, as `mailroom archive findings` says it.")],
    note: Annotated[str, typer.Option(help="What it is and why it may stay; kept with your name.")],
    version: Annotated[str | None, typer.Option(help="Only this version; all under the key by default.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be acknowledged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take responsibility for a stranger's version or delete marker that stays: it is no difference any more.

    Remove it instead where it can be removed; S3 says who may. Damage to a deposit cannot be acknowledged: repair it by
    replaying an e-mail that names it.
    """
    known = [one for one in _findings().all(acknowledged=False, limit=_MOST, key=key) if version in (None, one.version)]
    strangers = [one for one in known if one.kind not in DAMAGES]
    if not strangers:
        why = (
            "is damage, which cannot be acknowledged; replay an e-mail that names it"
            if known
            else "is not among the findings"
        )
        hint = "see `mailroom archive findings`; a run of reconcile (Quick run in Prefect) keeps what it finds"
        raise ConfigurationError(f"{key!r} {why}; {hint}")
    if not dry_run:
        strangers = _findings().acknowledge(key, version, by=getuser(), note=note, now=datetime.now(UTC))
    if as_json:
        say(json.dumps([asdict(one) for one in strangers], indent=1, default=datetime.isoformat))
        return
    for one in strangers:
        say(f"{'would be ' if dry_run else ''}acknowledged: {one.kind} {one.version}")


def _findings() -> SqlArchiveFindings:
    opened = Opened()
    return opened.store.archive_findings(opened.settings.archive_bucket)


def _sentence(one: ArchiveFinding) -> str:
    done = f"; acknowledged by {one.acknowledged_by}: {one.note}" if one.acknowledged_at else ""
    key = one.key if one.key.isprintable() else ascii(one.key)
    return f"{one.kind}  {key}  since {one.found_at:%Y-%m-%d %H:%M} UTC  {one.do}{done}"
