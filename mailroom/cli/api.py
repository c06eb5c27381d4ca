"""The HTTP service: inbox pages and JSON API."""

import os
import sys

import typer

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def api(port: int = typer.Option(8025, help="Port on 127.0.0.1.")) -> None:
    """The HTTP service: inbox pages and JSON API."""
    os.execv(sys.executable, [sys.executable, "-m", "mailroom.api.serve", "--port", str(port)])
