"""Parse raw e-mails offline: one JSON object a line.

Give files, folders (every file in them) or `-` for standard input. No stack is needed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mailroom.cli._app import say
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.parsing import parse_email

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def parse(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="FILE|DIR|-...", help="Files or folders of raw e-mails, or - for standard input."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="No effect: the output is always JSON.")] = False,
) -> None:
    """Parse raw e-mails offline: one JSON object a line."""
    del as_json
    for name, raw in _read(sources):
        say(json.dumps({"file": name} | parse_email(raw).as_dict(), ensure_ascii=False))


def _read(sources: list[str]) -> Iterator[tuple[str, bytes]]:
    for source in sources:
        if source == "-":
            yield "-", sys.stdin.buffer.read()
            continue
        path = Path(source)
        if not path.exists():
            raise ConfigurationError(f"{source}: no such file or folder")
        files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
        for file in files:
            yield str(file), file.read_bytes()
