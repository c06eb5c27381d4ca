"""Send messages again that were rejected, failed, were suppressed, or are unknown: by id, or those of a batch.

Each is a new attempt of the same message, in the same history. What the provider has accepted is never sent again, nor what is
still suppressed, nor anything of a batch that was cancelled, is held or has expired; the command says how many and why.

\b
    mailroom resend --batch ID --dry-run             what would go again, and what not and why
    mailroom resend --batch ID --reason refused      those of a batch that the provider refused
    mailroom resend --batch ID --status failed       those that failed
    mailroom resend ID ID                            two messages; `mailroom trace ID` shows why they were not sent
    mailroom resend ID --may-duplicate               also if its outcome is unknown: it may arrive twice
"""

import json
import sys
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated, Any

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.outbound.resending import RESENDABLE
from mailroom.outbound.resend_json import resent_response
from mailroom.ports.resends import ResendGroup

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

_STATUSES = ", ".join(status for status in Status if status in RESENDABLE)


@app.command(
    help=__doc__,
    epilog=f"Statuses: {_STATUSES}. Reasons: docs/reasons.md lists them, and the dry run those of a batch.",
)
def resend(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID...]", help="Ids of messages.")] = None,
    batch: Annotated[str | None, typer.Option(metavar="ID", help="Messages of this batch.")] = None,
    status: Annotated[list[str] | None, typer.Option(help=f"Only these: {_STATUSES}; repeatable.")] = None,
    reason: Annotated[list[str] | None, typer.Option(help="Only these, such as refused; repeatable.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would come of it.")] = False,
    may_duplicate: Annotated[
        bool, typer.Option("--may-duplicate", help="Also messages whose outcome is unknown: they may arrive twice.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    if bool(ids) == bool(batch):
        raise ConfigurationError("say which: ids of messages, or --batch ID; --dry-run shows what would go")
    if ids and (status or reason):
        raise ConfigurationError("--status and --reason choose among the messages of a --batch; give ids alone")
    how: dict[str, Any] = {"may_duplicate": may_duplicate, "dry_run": dry_run, "by": getuser()}
    how["now"] = datetime.now(UTC)
    if batch:
        _resend_batch(batch, _statuses(status or []), _reasons(reason or []), how, as_json=as_json)
    else:
        _resend_messages(ids or [], how, as_json=as_json)


def _resend_batch(
    batch: str, statuses: list[Status], reasons: list[str], how: dict[str, Any], *, as_json: bool
) -> None:
    resent = Opened().store.outbox.resend_batch(None, batch, statuses=statuses, reasons=reasons, **how)
    if resent is None:
        raise ConfigurationError(f"{batch}: there is no such batch; see `mailroom batch list`")
    if as_json:
        say(resent_response(resent, dry_run=how["dry_run"]).model_dump_json(indent=1))
        return
    for group in resent.groups:
        say(_line(group, dry_run=how["dry_run"]))
    if not resent.groups:
        say("nothing of this batch can be sent again" + (" with these filters" if statuses or reasons else ""))
    elif how["dry_run"]:
        say(f"{resent.messages:,} would be sent again, {resent.withheld:,} not: a dry run")
    else:
        say(f"{resent.messages:,} are sent again, {resent.withheld:,} are not; follow them: `mailroom trace {batch}`")


def _resend_messages(ids: list[str], how: dict[str, Any], *, as_json: bool) -> None:
    outbox, failed = Opened().store.outbox, 0
    for message_id in ids:
        resent = outbox.resend_message(None, message_id, **how)
        if resent is None:
            failed += 1
            hint = "it names no message; of a batch: `mailroom resend --batch ID`"
            print(f"{message_id}  {hint}", file=sys.stderr)
            continue
        failed += resent.withheld
        if as_json:
            values = resent_response(resent, dry_run=how["dry_run"]).model_dump(mode="json")
            say(json.dumps(values | {"id": message_id, "batch_id": resent.batch_id}))
        else:
            say(f"{message_id}  {_line(resent.groups[0], dry_run=how['dry_run'])}")
    if failed:
        raise typer.Exit(1)


def _line(group: ResendGroup, *, dry_run: bool) -> str:
    what = f"{group.messages:,} {group.status} ({group.reason or 'no reason'})"
    if group.obstacle is not None:
        verb = "would not be sent" if dry_run else "not sent"
        return f"{what}: {verb} again, {group.obstacle.sentence}. What to do: {group.obstacle.remedy}"
    twice = "; may arrive twice" if group.status is Status.UNKNOWN else ""
    return f"{what}: {'would be sent' if dry_run else 'sent'} again{twice}"


def _statuses(given: list[str]) -> list[Status]:
    if wrong := sorted(set(given) - RESENDABLE):
        raise ConfigurationError(f"--status is one of {_STATUSES}, not {wrong[0]}: only these can be sent again")
    return [Status(status) for status in given] or sorted(RESENDABLE)


def _reasons(given: list[str]) -> list[str]:
    if wrong := [reason for reason in given if OutboundReason.read(reason) is None]:
        raise ConfigurationError(f"--reason {wrong[0]}: there is no such reason; docs/reasons.md lists them")
    return given
