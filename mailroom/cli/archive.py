"""The archive: verify it, its rules and legal holds, what is wrong in its bucket, and the rebuild of a lost database.

Every hour `reconcile` compares the bucket's listing with the receipts. A version or delete marker that Mailroom did not
write is a finding until it is removed or acknowledged. Deposits are not affected: each receipt names its version.
"""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from getpass import getuser
from typing import Annotated

import typer

from mailroom.adapters.postgres.archive.findings import DAMAGES, SqlArchiveFindings
from mailroom.archive.proving import prove
from mailroom.audit.proofs import check_proof
from mailroom.cli import _archive_rules
from mailroom.cli._app import AsJson, say
from mailroom.cli._archive_verify import verify
from mailroom.cli._installation import Opened, tenant_named
from mailroom.cli._rebuild import rebuild
from mailroom.cli._recover import recover_journal
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.archive_findings import ArchiveFinding

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

for _command in (rebuild, _archive_rules.rules, _archive_rules.hold, _archive_rules.release, _archive_rules.holds):
    app.command()(_command)
app.add_typer(_archive_rules.rule_app, name="rule")

_MOST = 1000

app.command()(verify)
app.command()(recover_journal)


@app.command()
def findings(
    all_: Annotated[bool, typer.Option("--all", help="Include acknowledged findings.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what the last `reconcile` found wrong in the archive's bucket, and what to do."""
    rows = _findings().all(acknowledged=all_, limit=_MOST)
    if as_json:
        say(json.dumps([asdict(one) for one in rows], indent=1, default=datetime.isoformat))
        return
    for one in rows:
        say(_sentence(one))
    if not rows:
        say("no findings in the archive's bucket; `mailroom check` compares all of it")


@app.command()
def acknowledge(
    key: Annotated[str, typer.Argument(metavar="KEY", help="The key, as `mailroom archive findings` shows it.")],
    note: Annotated[str, typer.Option(help="What it is and why it may stay; stored with your name.")],
    version: Annotated[str | None, typer.Option(help="Only this version; by default all under the key.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be acknowledged.")] = False,
    as_json: AsJson = False,
) -> None:
    """Acknowledge a version or delete marker that Mailroom did not write and that stays: it is no longer a finding.

    If you can delete it in S3, do that instead. Damage to a deposit cannot be acknowledged: repair it by replaying an
    e-mail that has the deposit.
    """
    known = [one for one in _findings().all(acknowledged=False, limit=_MOST, key=key) if version in (None, one.version)]
    strangers = [one for one in known if one.kind not in DAMAGES]
    if not strangers:
        why = (
            "is damaged, which cannot be acknowledged; replay an e-mail that has it"
            if known
            else "is not among the findings"
        )
        hint = "see `mailroom archive findings`; a run of reconcile (Quick run in Prefect) updates them"
        raise ConfigurationError(f"{key!r} {why}; {hint}")
    if not dry_run:
        strangers = _findings().acknowledge(key, version, by=getuser(), note=note, now=datetime.now(UTC))
    if as_json:
        say(json.dumps([asdict(one) for one in strangers], indent=1, default=datetime.isoformat))
        return
    for one in strangers:
        say(f"{'would be ' if dry_run else ''}acknowledged: {one.kind} {one.version}")


class Stream(StrEnum):
    """A journal of a tenant."""

    LIFE = "life"
    OPERATIONS = "operations"


@app.command(name="prove")
def prove_entry(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant whose journal it is.")],
    stream: Annotated[Stream, typer.Argument(help="Its journal of documents and e-mails, or of operations.")],
    seq: Annotated[int, typer.Argument(metavar="SEQ", help="The number of the entry in the journal.")],
    as_json: AsJson = False,
) -> None:
    """Prove that an entry of a journal is in a seal: to be checked elsewhere, without this installation.

    `mailroom archive prove acme life 17 --json > proof.json`, then `python -m mailroom.audit.proofs proof.json`.
    """
    try:
        proof = prove(tenant_named(tenant), stream, seq, Opened().store.seals, now=datetime.now(UTC))
    except LookupError as error:
        raise ConfigurationError(f"{tenant} {stream} {seq}: {error}") from None
    if as_json:
        say(json.dumps(proof, ensure_ascii=False))
        return
    for one in check_proof(proof, now=datetime.now(UTC)):
        say(f"{one.status}  {one.name}  {one.detail}")


def _findings() -> SqlArchiveFindings:
    opened = Opened()
    return opened.store.archive_findings(opened.settings.archive_bucket)


def _sentence(one: ArchiveFinding) -> str:
    done = f"; acknowledged by {one.acknowledged_by}: {one.note}" if one.acknowledged_at else ""
    key = one.key if one.key.isprintable() else ascii(one.key)
    return f"{one.kind}  {key}  since {one.found_at:%Y-%m-%d %H:%M} UTC  {one.do}{done}"
