"""Batches: list them, show one, resume or cancel held ones.

A batch is held after the database was restored (`restored`: its waiting messages may have been sent after the backup), or
when its flow run was deleted from Prefect (`run_gone`). A held batch is not sent until you resume or cancel it:

\b
    mailroom batch list --held           which, why, and how many messages
    mailroom batch show ID               one batch and the status of its messages
    mailroom batch resume ID             send its held messages, each at its time
    mailroom batch resume --all --dry-run    show what would be sent; send it without --dry-run
    mailroom batch cancel ID             never send it

Events from the provider settle held messages automatically: a message that the provider has is not sent again.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.outbound.advice import paused_line
from mailroom.domain.outbound.resending import RESENDABLE
from mailroom.domain.readable import deferred_line
from mailroom.outbound.batch_json import batch_response, pause_response
from mailroom.ports.holds import HeldBatch, HoldReason
from mailroom.ports.message_reader import BatchFilter, BatchLine

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_MOST = 100_000
_LISTED = 50

BatchId = Annotated[str, typer.Argument(metavar="ID", help="The batch's id, as `mailroom batch list` shows it.")]
Reason = Annotated[HoldReason | None, typer.Option(help="Only batches held for this reason.")]


@app.command("list")
def list_(
    held: Annotated[bool, typer.Option("--held", help="Only held batches, with the reason.")] = False,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    stream: Annotated[str | None, typer.Option(help="Only batches of this stream; not with --held.")] = None,
    most: Annotated[int, typer.Option(help="Show at most this many.", min=1, max=_MOST)] = _LISTED,
    as_json: AsJson = False,
) -> None:
    """List batches, newest first; with --held the held ones, in the order in which they are due."""
    if held and stream is not None:
        raise ConfigurationError("--held lists the held batches of all streams: leave out --stream")
    opened = Opened()
    if held:
        batches = opened.store.outbox.held(tenant, limit=most)
        lines, values = [_held_line(one) for one in batches], [one.as_json() for one in batches]
    else:
        page = opened.message_reader.batches(tenant, after=None, limit=most, wanted=BatchFilter(stream=stream))
        lines, values = [_line(one) for one in page.lines], [_json(one) for one in page.lines]
    if as_json:
        say(json.dumps(values, indent=1))
        return
    for line in lines:
        say(line)
    if held and lines:
        say("send one with `mailroom batch resume ID`, or withhold it with `mailroom batch cancel ID`")
    elif not lines:
        say("no batch is held" if held else "no batches")


@app.command()
def show(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Show one batch: the status of its messages, and what it waits for: a decision, its provider, its recipients' servers."""
    line = _found(Opened(), batch_id)
    if as_json:
        say(json.dumps(_json(line), indent=1))
        return
    say(_line(line))
    if line.paused:
        say(paused_line(pause_response(line.paused).model_dump()))
    if line.deferred:
        say(f"{deferred_line(line.deferred, line.deferred_until)}; nothing to do, or `mailroom batch cancel {line.id}`")
    if any(line.engagement.values()):
        say("recipients: " + ", ".join(f"{count:,} {kind}" for kind, count in line.engagement.items()))
    for reason, count in line.held.items():
        say(
            f"held: {count:,} messages, {reason.sentence}; `mailroom batch resume {line.id}`, or `... cancel {line.id}`"
        )
    again = ", ".join(f"{count:,} {status}" for status, count in line.statuses.items() if status in RESENDABLE)
    if again:
        say(f"not sent: {again}; `mailroom resend --batch {line.id} --dry-run` shows why, and which can be sent again")


@app.command()
def resume(
    batch_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="The batch's id, as `mailroom batch list --held` shows it.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="All held batches.")] = False,
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be sent.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send held messages, each at its time, or now if that has passed. Use --dry-run first: sent mail cannot be recalled.

    After a restore, a held message may already have been sent. If this command is interrupted, run it again.
    """
    if bool(batch_id) == all_ or (batch_id and reason):
        raise ConfigurationError("give an ID, or --all with or without --reason; --dry-run shows what would be sent")
    opened = Opened()
    outbox, now = opened.store.outbox, datetime.now(UTC)
    if batch_id:
        _found(opened, batch_id)
    held = [one for one in outbox.held(None, reason=reason, limit=_MOST) if all_ or one.id == batch_id]
    if not dry_run:
        with _bar(len(held)) as step:
            for one in held:
                outbox.resume(None, one.id, by=getuser(), now=now)
                step()
    if as_json:
        values = [one.as_json() | {"resumed": not dry_run} for one in held]
        say(json.dumps(values, indent=1))
        return
    for one in held:
        say(f"{_held_line(one)}; {_then(one, now, dry_run=dry_run)}")
    if not held:
        say("nothing is held" if all_ else f"{batch_id} has no held messages")


@app.command()
def cancel(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Cancel the unsent messages of a batch, held or not; prints how many were sent or may have been."""
    cancelled = Opened().store.outbox.cancel(None, batch_id, now=datetime.now(UTC))
    if cancelled is None:
        raise ConfigurationError(f"{batch_id}: no such batch; see `mailroom batch list`")
    gone = len(cancelled.gone)
    if as_json:
        say(json.dumps({"id": batch_id, "cancelled": cancelled.cancelled, "held": cancelled.held, "gone": gone}))
        return
    say(f"{cancelled.cancelled:,} cancelled, {gone:,} were sent or may have been")
    if cancelled.held:
        say(f"{cancelled.held:,} of those cancelled were held; after a restore these may have been sent before it")


def _found(opened: Opened, batch_id: str) -> BatchLine:
    line = opened.message_reader.batch(None, batch_id)
    if line is None:
        raise ConfigurationError(f"{batch_id}: no such batch; see `mailroom batch list`")
    return line


def _json(line: BatchLine) -> dict[str, Any]:
    return batch_response(line).model_dump(mode="json", by_alias=True)


def _line(line: BatchLine) -> str:
    statuses = ", ".join(f"{count:,} {status}" for status, count in line.statuses.items())
    next_try = f"  next try {line.deferred_until:%Y-%m-%d %H:%M} UTC" if line.deferred_until else ""
    return f"{line.id}  {line.tenant}  {line.created_at:%Y-%m-%d %H:%M}  {statuses}{next_try}"


def _held_line(one: HeldBatch) -> str:
    return f"{one.id}  {one.tenant}  {one.messages:,} held since {one.held_at:%Y-%m-%d %H:%M}: {one.reason.sentence}"


def _then(one: HeldBatch, now: datetime, *, dry_run: bool) -> str:
    when = "expired" if one.expires_at and one.expires_at <= now else ""
    when = when or (f"at {one.due_at:%Y-%m-%d %H:%M} UTC" if one.due_at > now else "now")
    if when == "expired":
        return "would expire" if dry_run else "expires"
    return f"would be sent {when}" if dry_run else f"is sent {when}"


@contextmanager
def _bar(total: int) -> Iterator[Any]:
    """Yield a function that advances a progress bar on stderr; without a terminal there is none."""
    console = Console(stderr=True)
    columns = TextColumn("resuming"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)
