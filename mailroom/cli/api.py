"""The HTTP service: inbox pages and JSON API, public links and providers' hooks."""

import os
import sys
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def api(
    port: Annotated[int, typer.Option(help="Port of everything; with --public-port of all that is not public.")] = 8025,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public_port: Annotated[
        int | None,
        typer.Option(
            help="Port of /u /c /o /hooks alone, for the internet; 0 is none.",
            show_default="MAILROOM_PUBLIC_PORT",
        ),
    ] = None,
    public_host: Annotated[str, typer.Option(help="Address of the public port.", show_default="that of --host")] = "",
    behind_tls_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-tls-proxy",
            help="A TLS proxy is in front of each port; without, only loopback is served. Or MAILROOM_BEHIND_TLS_PROXY=true.",
        ),
    ] = False,
) -> None:
    """The HTTP service: inbox pages and JSON API, public links and providers' hooks.

    One port shows everything. With --public-port there are two: that one has the links of mails (/u /c /o), the hooks
    (/hooks) and /healthz, and answers 404 for all else; --port has the pages, /v1, /docs, /metrics, /readyz and
    /healthz, and answers 404 for links and hooks.

    \b
      mailroom api --public-port 8026
      mailroom api --host 10.0.0.5 --public-port 8026 --behind-tls-proxy
    """
    words = ["--port", str(port), "--host", host, "--public-host", public_host]
    words += [] if public_port is None else ["--public-port", str(public_port)]
    words += ["--behind-tls-proxy"] if behind_tls_proxy else []
    os.execv(sys.executable, [sys.executable, "-m", "mailroom.api.serve", *words])
