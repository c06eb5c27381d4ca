"""What each provider can do: the table of docs/operations.md; and the pauses of providers' accounts and senders."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from mailroom.adapters.providers.catalogue import PROVIDERS, table
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.pauses import Pause

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.callback(invoke_without_command=True)
def providers(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Print what each provider can do; `pauses` lists what is paused, `probe` tries it now.

    Examples:

        mailroom providers

        mailroom providers pauses

        mailroom providers probe ses/123456789012/eu-west-1 --sender acme.example
    """
    if context.invoked_subcommand is None:
        say(json.dumps({name: asdict(can) for name, can in PROVIDERS.items()}) if as_json else table())


@app.command()
def pauses(as_json: AsJson = False) -> None:
    """List paused accounts and senders: why, since when, and when one message is tried."""
    found = Opened().store.pauses.all()
    if as_json:
        say(json.dumps([one.as_json() for one in found], indent=1))
        return
    for one in found:
        say(_sentence(one, datetime.now(UTC)))
    if not found:
        say("no pauses")


@app.command()
def probe(
    identity: Annotated[str, typer.Argument(help="The account, as `mailroom providers pauses` shows it.")],
    sender: Annotated[
        str | None, typer.Option(help="The paused sender's domain; without it, the whole account.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try a paused account or sender now: one message is sent, and the others follow if it is accepted.

    For when the cause is mended; without this it is tried at the time that `pauses` shows.
    """
    domain = sender.lower() if sender else None
    batches = Opened().store.pauses.probe_now(identity, domain, now=datetime.now(UTC))
    if batches is None:
        raise ConfigurationError(
            f"{identity}: not paused{' for this sender' if sender else ''}; see `mailroom providers pauses`"
        )
    answer = {"identity": identity, "sender_domain": domain, "batches": batches}
    say(json.dumps(answer) if as_json else f"due now; {batches} batches that waited go on")


def _sentence(one: Pause, now: datetime) -> str:
    what = f"{one.identity}, sender {one.sender_domain}" if one.sender_domain else one.identity
    when = f"next try {one.until:%Y-%m-%d %H:%M} UTC" if one.until > now else "the next message is a try"
    code = f" [{one.code}]" if one.code else ""
    return f"{what}: {one.reason.sentence}{code}; since {one.since:%Y-%m-%d %H:%M}, {one.probes} tries refused; {when}. What to do: {one.reason.remedy}"
