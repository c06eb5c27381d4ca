"""Circuit breakers: list the open ones, and close one to resume what it stopped."""

import json
from datetime import UTC, datetime
from getpass import getuser
from typing import Annotated

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.breakers import Broken

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False, no_args_is_help=True)

_MOST = 1000


@app.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    closed: Annotated[bool, typer.Option("--closed", help="Include closed breakers.")] = False,
    as_json: AsJson = False,
) -> None:
    """List open breakers, what they stop and why."""
    breakers = Opened().store.breakers.all(tenant, only_open=not closed, limit=_MOST)
    if as_json:
        say(json.dumps([one.as_json() for one in breakers], indent=1))
        return
    for one in breakers:
        say(f"{one.id}  {_sentence(one)}")
    if not breakers:
        say("no open breakers")


@app.command()
def close(
    breaker_id: Annotated[
        str, typer.Argument(metavar="ID", help="The breaker's id, as `mailroom breakers list` shows it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Close a breaker: the runs that it paused are resumed. Earlier bounces and complaints no longer count."""
    opened = Opened()
    one = opened.store.breakers.close(breaker_id, by=getuser(), now=datetime.now(UTC))
    if one is None:
        raise ConfigurationError(f"{breaker_id}: no such breaker; see `mailroom breakers list`")
    resumed = sum(opened.runs.resume(run_id) for run_id in one.runs)
    if as_json:
        say(json.dumps(one.as_json() | {"resumed": resumed}))
    else:
        say(f"closed; {resumed} of {len(one.runs)} runs resumed")


def _sentence(one: Broken) -> str:
    what = f"batch {one.batch_id} of {one.tenant}" if one.batch_id else f"all of {one.tenant}"
    tally = f"of {one.tally.sent} sent {one.tally.bounced} bounced, {one.tally.complained} reported as spam"
    if one.answer:
        tally = f"{one.tally.sent} in a row with {one.answer}"
    ended = f"; closed by {one.closed_by}" if one.closed_at else ""
    return f"{what}: {one.trip} ({one.trip.sentence}), {tally}; {len(one.runs)} runs paused{ended}"
