"""Run the HTTP service: inbox pages, JSON API, links in mails and webhooks of providers."""

import os
import sys
from typing import Annotated

import typer

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def api(
    port: Annotated[
        int, typer.Option(help="Port for everything; with --public-port, for everything that is not public.")
    ] = 8025,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    public_port: Annotated[
        int | None,
        typer.Option(
            help="Port for /u /c /o /hooks only, for the internet; 0 for none.",
            show_default="MAILROOM_PUBLIC_PORT",
        ),
    ] = None,
    public_host: Annotated[
        str, typer.Option(help="Address of the public port to listen on.", show_default="the value of --host")
    ] = "",
    behind_tls_proxy: Annotated[
        bool,
        typer.Option(
            "--behind-tls-proxy",
            help="A TLS proxy is in front of each port; without one, only loopback is allowed. Or set "
            "MAILROOM_BEHIND_TLS_PROXY=true.",
        ),
    ] = False,
) -> None:
    """Run the HTTP service: inbox pages, JSON API, links in mails and webhooks of providers.

    By default one port serves everything. With --public-port there are two: the public port serves links in mails
    (/u /c /o), webhooks of providers (/hooks) and /healthz; --port serves the pages, /v1, /docs, /metrics, /readyz and
    /healthz. Each responds with 404 to the paths of the other.

    \b
      mailroom api --public-port 8026
      mailroom api --host 10.0.0.5 --public-port 8026 --behind-tls-proxy
    """
    words = ["--port", str(port), "--host", host, "--public-host", public_host]
    words += [] if public_port is None else ["--public-port", str(public_port)]
    words += ["--behind-tls-proxy"] if behind_tls_proxy else []
    os.execv(sys.executable, [sys.executable, "-m", "mailroom.api.serve", *words])
