"""Prove that no e-mail was lost, filed or sent twice: compares S3, SQL, archive and queue with independent code.

What runs by itself is looked at too: every active schedule has runs ahead, and no part has logged an ERROR or a traceback
that is not known. Each violation is one line: what, which id, what to do. Only reads; may run beside production. The exit code is 1 when
anything is wrong.
"""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import boto3
import typer

from mailroom.adapters.aws.archive_buckets import archive_faults
from mailroom.adapters.postgres.roles import powers_of
from mailroom.adapters.postgres.schema_upgrade import schema_status
from mailroom.audit.batches import read_submissions
from mailroom.audit.check import Places
from mailroom.audit.check import check as look
from mailroom.audit.logs import KNOWN, check_logs, read_known
from mailroom.audit.mails import Patience
from mailroom.audit.owners import of_account
from mailroom.audit.report import Report
from mailroom.audit.schedules import check_schedules
from mailroom.audit.sent_mails import read_manifest
from mailroom.cli._app import AsJson, say
from mailroom.cli._times import duration, since
from mailroom.domain.errors import ConfigurationError, TransientError
from mailroom.settings import Settings, data_folder, load_settings, running_stack, use_stack_environment

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def check(
    received_since: Annotated[
        str | None, typer.Option("--since", help="Only e-mails received since: 2h, 3d, a time.")
    ] = None,
    stuck_after: Annotated[
        str, typer.Option(help="Report an e-mail in progress for longer than this: 0s, 15m, 2h.")
    ] = "1h",
    deep: Annotated[bool, typer.Option("--deep", help="Read every deposit, not only a sample.")] = False,
    manifest: Annotated[
        Path | None, typer.Option(help="File of the e-mails that were sent, as a drill writes it.", exists=True)
    ] = None,
    batches: Annotated[
        Path | None, typer.Option(help="File of batches and the messages received, as a drill writes it.", exists=True)
    ] = None,
    logs: Annotated[
        Path | None,
        typer.Option(help="Folder of logs to read; by default the embedded stack's, if it runs here.", exists=True),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(help="File of log lines that are expected, as a drill declares them (TOML).", exists=True),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that no e-mail was lost, filed or sent twice: compares S3, SQL, archive and queue with independent code."""
    limit = duration(stuck_after)
    if limit is None or limit > timedelta(days=36_500):
        raise ConfigurationError(f"--stuck-after {stuck_after}: use 0s, 15m or 2h")
    use_stack_environment()
    settings = load_settings()
    places = Places(
        database_url=settings.database_url.get_secret_value(),
        inbound_bucket=settings.inbound_bucket,
        archive_bucket=settings.archive_bucket,
        inbound_queue_url=settings.inbound_queue_url,
    )
    report = Report(emit=lambda violation: None if as_json else say(str(violation)), progress=_progress)
    # Rows of a schema that does not fit prove nothing about mail; schedules and logs are checked all the same.
    if (fault := schema_status(places.database_url).fault) is not None:
        report.violate("schema", "database", str(fault))
    else:
        look(
            places,
            s3=of_account(boto3.client("s3", region_name=settings.region_of_buckets), settings.owner_of_buckets),
            sqs=boto3.client("sqs", region_name=settings.region_of_queue(settings.inbound_queue_url)),
            archive_s3=of_account(_auditor(settings), settings.owner_of_archive),
            report=report,
            patience=Patience(now=datetime.now(UTC), limit=limit, since=since(received_since)),
            deep=deep,
            sent=read_manifest(manifest) if manifest else (),
            submissions=read_submissions(batches) if batches else None,
        )
    _check_buckets(settings, report)
    if power := powers_of(places.database_url):
        what = f"the application's login {power}, and can change its own journals: give it one of its own, see docs/archive.md"
        report.violate("too many rights", "database", what)
    check_schedules(settings.prefect_api_url, report)
    if folder := logs or _stack_logs():
        # A drill's own list first: what it logs more often than usual is no fault.
        check_logs(folder, [*(read_known(known) if known else []), *read_known(KNOWN)], report)
    say(json.dumps(report.as_json(), indent=1)) if as_json else _show(report)
    if not report.is_clean:
        raise typer.Exit(1)


def _check_buckets(settings: Settings, report: Report) -> None:
    """Report what is wrong with the archive's buckets; AWS that is away hides none of the other findings."""
    try:
        for wrong in archive_faults(settings):
            report.violate("archive bucket", wrong.bucket, str(wrong))
    except TransientError as error:
        report.violate("archive bucket", settings.archive_bucket, f"not looked at: {error}")


def _auditor(settings: Settings) -> Any:
    """Return a client of the archive's bucket, with the auditor's credentials if there are any."""
    session: Any = boto3.session.Session(profile_name=settings.archive_auditor_profile or None)
    return session.client("s3", region_name=settings.region_of_archive)


def _stack_logs() -> Path | None:
    """Return the embedded stack's log directory; None if another installation is checked."""
    folder = data_folder() / "logs"
    return folder if running_stack() and "MAILROOM_DATABASE_URL" not in os.environ and folder.is_dir() else None


def _show(report: Report) -> None:
    say(", ".join(f"{count} {what}" for what, count in report.counts.items()))
    if report.oldest_in_flight:
        say(f"the oldest e-mail in progress last had a heartbeat at {report.oldest_in_flight:%Y-%m-%d %H:%M:%S} UTC")
    wrong = ", ".join(f"{times} {kind}" for kind, times in report.wrong.items())
    say(f"wrong: {wrong}" if wrong else "nothing lost, no duplicates")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line} ", end="", file=sys.stderr, flush=True)
