"""Run the worker: receives e-mail and sends batches. The production entry point.

Takes its settings from the environment (MAILROOM_..., PREFECT_API_URL, AWS_...). SIGTERM stops it within ten seconds and
returns unfinished mails to the queue.
"""

import os
import sys

import typer

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def worker(
    limit: int = typer.Option(8, help="E-mails processed at a time.", min=1, envvar="MAILROOM_WORKER_LIMIT"),
) -> None:
    """Run the worker: receives e-mail and sends batches. The production entry point."""
    os.environ["MAILROOM_WORKER_LIMIT"] = str(limit)
    # The worker imports Prefect, which nothing below mailroom/ may: so this process is replaced by it.
    os.execv(sys.executable, [sys.executable, "-m", "deployments.worker"])
