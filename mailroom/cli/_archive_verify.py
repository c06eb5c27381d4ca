"""`mailroom archive verify`: what is verified, and what people read of the report."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from mailroom.adapters.aws.archive_buckets import auditors_client
from mailroom.adapters.aws.clients import client_as
from mailroom.adapters.postgres.schema_upgrade import schema_status
from mailroom.adapters.seal_key import trusted_keys
from mailroom.audit.archive_documents import FIRST, SECOND, Place
from mailroom.audit.archive_report import ArchiveReport, Outcome, Result, family_of
from mailroom.audit.archive_rows import Scope
from mailroom.audit.archive_seals import SealTrust
from mailroom.audit.verify import Installation, UnknownSubjectError
from mailroom.audit.verify import verify as look
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import tenant_named
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import Settings, load_settings, use_stack_environment

_WITNESS = "witness"


def verify(
    subject: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A document (`tenant/sha256`) or an e-mail's id; by default everything."),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Everything of this tenant.")] = None,
    listing: Annotated[
        bool, typer.Option("--listing", help="Compare listings and rows only: read no bytes, manifests or locks.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Prove that what is archived is what was received: objects, journals, seals and e-mails, check by check.

    It shares no code with the processing of mail, uses the auditor's credentials, only reads, and may run beside production.
    Each check that does not pass is a line: result, check, id, what to do; docs/archive.md explains each check.
    NOT_YET_SEALED: no seal covers it yet. NOT_THERE_YET: it may be under way. NOTED: entries were put back, or entered twice.

    \b
    Exit codes:
      0  nothing failed
      1  a check failed
      2  there is no such document or e-mail
    """
    use_stack_environment()
    settings, scope = load_settings(), scope_of(subject, tenant)
    if (fault := schema_status(settings.database_url.get_secret_value()).fault) is not None:
        raise ConfigurationError(str(fault))
    report = ArchiveReport(emit=lambda one: None if as_json else _show_result(one), progress=_progress)
    installation = installation_of(settings)
    try:
        look(installation, scope, report, now=datetime.now(UTC), reading=not listing)
    except UnknownSubjectError:
        print(f"mailroom: {subject!r} is neither in the database nor in the archive", file=sys.stderr)
        raise typer.Exit(2) from None
    say(json.dumps(report.as_json(), indent=1)) if as_json else _show(report, is_listing=listing)
    if not report.is_intact:
        raise typer.Exit(1)


def scope_of(subject: str | None, tenant: str | None) -> Scope:
    """Return what the arguments name.

    Raises:
        ConfigurationError: they name nothing that can be verified.
    """
    if subject is None:
        return Scope(None if tenant is None else tenant_named(tenant))
    if tenant is not None:
        raise ConfigurationError("give an id or --tenant, not both")
    if "/" in subject:
        return Scope(documents=(subject,))
    try:
        return Scope(emails=(str(UUID(subject)),))
    except ValueError:
        raise ConfigurationError(f"{subject!r} is neither `tenant/sha256` nor the id of an e-mail") from None


def installation_of(settings: Settings) -> Installation:
    """Return the database, the places of copies and the witness."""
    places = [place(settings, FIRST), *([place(settings, SECOND)] if settings.archive_copy_bucket else [])]
    witness = place(settings, _WITNESS) if settings.witness_bucket else None
    keys = trusted_keys(settings.seal_key.get_secret_value(), settings.seal_keys_before)
    return Installation(settings.database_url.get_secret_value(), places, SealTrust(witness, keys))


def place(settings: Settings, name: str) -> Place:
    """Return a place of copies, or of the witness, read with the auditor's credentials."""
    one = settings
    if name == _WITNESS:
        profile, region = one.archive_auditor_profile, one.region_of_witness
        return Place(name, client_as(profile, "s3", region=region, owner=one.owner_of_witness), one.witness_bucket)
    bucket = one.archive_copy_bucket if name == SECOND else one.archive_bucket
    return Place(name, auditors_client(one, of_copies=name == SECOND), bucket)


def _show_result(one: Result) -> None:
    _progress("")
    say(str(one))


def _show(report: ArchiveReport, *, is_listing: bool) -> None:
    _progress("")
    for name in report.checks():
        counts = ", ".join(f"{report.counts[name, one]} {one}" for one in Outcome if report.counts[name, one])
        say(f"{family_of(name):<8} {name:<18} {counts}")
    if is_listing:
        say("no bytes, manifests or locks were read: leave out --listing to verify those too")
    failed = sum(times for (_, outcome), times in report.counts.items() if outcome is Outcome.FAIL)
    say(f"{failed} failures: docs/archive.md says what to do about each" if failed else "nothing failed")


def _progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{line:<60}\r", end="", file=sys.stderr, flush=True)
