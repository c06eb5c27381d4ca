"""Process e-mails again: by id, by state, reason and age, by a processor that failed, or the dead letters.

Each step is idempotent: nothing is archived twice, and existing inbox items stay. For a filed e-mail, only processors
that failed run again, and what is held of it is decided again. --release files what a policy or the limit of a sender holds.
--list shows what there is, by reason; --dry-run lists the e-mails, says what would be touched, and changes nothing.
A replay that is interrupted goes on in the HTTP service, where its page shows how far it is.
"""

import json
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.cli._replay_lines import Shown, list_reasons, say_preview
from mailroom.cli._times import since as time_of
from mailroom.domain.errors import ConfigurationError, Reason, TransientError
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import REPLAYABLE, Entry, State
from mailroom.domain.inbound.replaying import ReplayAction, ReplayState
from mailroom.inbound.address_book import read_pattern
from mailroom.inbound.lease import stale_s
from mailroom.inbound.replaying import Replayer
from mailroom.ports.replays import ReplayOrder
from mailroom.settings import use_stack_environment

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command(epilog="Reasons: " + ", ".join(InboundReason) + "; docs/reasons.md has a sentence for each.")
def replay(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID...]", help="Ids of the e-mails, of any kind that `mailroom trace` takes."),
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="quarantined, failed, or processing (by a worker that died).")
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option(help="Only e-mails with this reason, such as no_route; the word of up to 0.1.0 works too."),
    ] = None,
    recipient: Annotated[
        str | None, typer.Option(help="Only e-mails for this address, or @domain, by their envelope.")
    ] = None,
    processor: Annotated[
        str | None, typer.Option(help="Filed e-mails for which this processor failed, such as webhook.")
    ] = None,
    since: Annotated[str | None, typer.Option(help="Received since: 2026-11-21T08:00, or 2h, 3d.")] = None,
    most: Annotated[int, typer.Option(help="Replay at most this many.", min=1)] = 1000,
    release: Annotated[
        bool, typer.Option("--release", help="File what a policy or the limit of a sender holds; never a virus.")
    ] = False,
    dlq: Annotated[bool, typer.Option("--dlq", help="Move all dead letters of the inbound queue back to it.")] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="Only list the reasons, with how many e-mails each has.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be replayed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Process e-mails again: by id, by state, reason and age, by a processor that failed, or the dead letters."""
    wanted = _Wanted(ids or [], state, reason, recipient, processor, since, most)
    opened = Opened()
    if list_:
        wanted.refuse_with("--list", dlq=dlq)
        list_reasons(opened.store.replays.groups(None), as_json=as_json)
        return
    wanted.check(dlq=dlq, release=release)
    if dlq:
        _redrive(opened, dry_run=dry_run, as_json=as_json)
        return
    action = ReplayAction.RELEASE if release else ReplayAction.REPLAY
    entries = _chosen(opened, wanted, action)
    shown = Shown(opened, entries, as_json=as_json)
    order = ReplayOrder(action=action, ids=tuple(one.id for one in entries), reason=reason, recipient=recipient)
    if not entries:
        shown.nothing()
    elif dry_run:
        shown.all()
        say_preview(opened, order)
    else:
        _replay(opened, order, shown)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The options that select e-mails."""

    ids: list[str]
    state: str | None
    reason: str | None
    recipient: str | None
    processor: str | None
    since: str | None
    most: int

    def check(self, *, dlq: bool, release: bool) -> None:
        """Refuse options that select nothing, or that contradict each other."""
        chosen = any((self.state, self.reason, self.processor, self.recipient))
        if dlq:
            self.refuse_with("--dlq moves all dead letters; it", dlq=False)
        if self.ids and (chosen or self.since):
            raise ConfigurationError(
                "give either ids, or --state, --reason, --recipient, --processor and --since, not both"
            )
        if self.processor and (self.state or self.reason or self.recipient or release):
            raise ConfigurationError(
                "--processor selects filed e-mails; it cannot be combined with --state, --reason, --recipient or --release"
            )
        if not (self.ids or dlq or chosen):
            raise ConfigurationError(
                "give ids, --state quarantined|failed|processing, --reason R, --recipient A, --processor P or --dlq; "
                "--dry-run shows what would be replayed, --list what there is"
            )

    def refuse_with(self, option: str, *, dlq: bool) -> None:
        """Refuse every selection beside an option that takes none."""
        if dlq or any((self.ids, self.state, self.reason, self.recipient, self.processor, self.since)):
            raise ConfigurationError(f"{option} cannot be combined with ids or other filters")


def _chosen(opened: Opened, wanted: _Wanted, action: ReplayAction) -> list[Entry]:
    """Return the e-mails that the options select."""
    since = time_of(wanted.since)
    if wanted.ids:
        return [_or_withheld(opened, _by_id(opened, any_id)) for any_id in wanted.ids]
    if wanted.processor:
        ids = opened.processings.failed_emails(wanted.processor, since=since, limit=wanted.most)
        return [_by_id(opened, email_id) for email_id in ids]
    if wanted.state == State.PROCESSING:
        if wanted.reason or wanted.recipient or since or action is ReplayAction.RELEASE:
            raise ConfigurationError("--state processing cannot be combined with other filters, or --release")
        # An e-mail that a living worker has leased is left to it.
        return opened.ledger.silent(before=datetime.now(UTC) - timedelta(seconds=stale_s()), limit=wanted.most)
    order = ReplayOrder(
        action=action,
        states=(_state(wanted.state),) if wanted.state else (),
        reason=wanted.reason,
        recipient=_pattern(wanted.recipient) if wanted.recipient else None,
        since=since,
        most=wanted.most,
    )
    found = opened.store.replays.sample(None, order, limit=wanted.most)
    # Those that were filed for others come last.
    ids = [one.id for one in sorted(found, key=lambda one: one.state is State.FILED)]
    return [_or_withheld(opened, _by_id(opened, one)) for one in ids]


def _replay(opened: Opened, order: ReplayOrder, shown: Shown) -> None:
    """Replay the e-mails, and print what became of each at its turn."""
    store = opened.store
    replayer = Replayer(store.replays, store.ledger, opened.runs, store.processings)
    begun = store.replays.begin(None, order, by="mailroom replay", now=datetime.now(UTC))
    try:
        while (now := store.replays.find(None, begun.id)) and now.states.get(ReplayState.WAITING):
            steps = replayer.advance(now=datetime.now(UTC), replay_id=begun.id)
            shown.steps(steps)
            if not any(step.state is not ReplayState.WAITING for step in steps):
                # The rest is taken by the HTTP service, or waits for a worker that has it.
                break
    except TransientError as error:
        raise TransientError(
            f"{error}; what is left goes on by itself in the HTTP service: /quarantine/replays/{begun.id}"
        ) from None
    shown.others(store.replays.mails(None, begun.id, states=list(ReplayState), limit=order.most))
    if begun.elsewhere:
        print(f"{begun.elsewhere} e-mails are in another replay, and left to it", file=sys.stderr)
    if shown.refused:
        raise typer.Exit(1)


def _or_withheld(opened: Opened, entry: Entry) -> Entry:
    """Return the entry; of a filed one that is held as one of too many, with that reason."""
    if entry.state is not State.FILED:
        return entry
    held = opened.store.sender_limit(0).withheld(since=None, limit=1, email_id=entry.id)
    return replace(entry, reason=Reason.TOO_MANY.value) if held else entry


def _by_id(opened: Opened, any_id: str) -> Entry:
    entry = opened.ledger.find(any_id)
    if entry is None:
        raise ConfigurationError(f"no e-mail has the id {any_id}; see `mailroom trace --help` for the kinds of ids")
    return entry


def _pattern(written: str) -> str:
    try:
        return read_pattern(written)
    except ValueError as error:
        raise ConfigurationError(f"--recipient: {error}") from None


def _state(word: str) -> State:
    if word not in REPLAYABLE:
        raise ConfigurationError(f"--state must be {', '.join(REPLAYABLE)} or processing, not {word}")
    return State(word)


def _redrive(opened: Opened, *, dry_run: bool, as_json: bool) -> None:
    """Move the dead letters back to their queue, and print how many; the worker receives them as any message."""
    use_stack_environment()
    settings = opened.settings
    letters = opened.dead_letters(settings.inbound_queue_url)
    there = len(letters)
    moved = 0 if dry_run or not there else letters.redrive(_show_progress)
    if as_json:
        say(json.dumps({"dead_letters": there, "moved": moved}))
    elif not there:
        say("no dead letters")
    else:
        say(
            f"{there} dead letters would be moved back to the queue"
            if dry_run
            else f"{moved} dead letters moved back to the queue"
        )


def _show_progress(moved: int, there: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{moved} of {there}", end="" if moved < there else "\n", file=sys.stderr, flush=True)
