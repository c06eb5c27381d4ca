"""What each provider can do: the table of docs/operations.md."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from mailroom.adapters.providers.catalogue import PROVIDERS, table
from mailroom.cli._app import say

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def providers(as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False) -> None:
    """Print what each provider can do."""
    say(json.dumps({name: asdict(can) for name, can in PROVIDERS.items()}) if as_json else table())
