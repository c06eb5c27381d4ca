"""The embedded stack's Prefect server, which refuses requests from other sites' pages. `python -m deployments.server`.

It has no password, so any page in a browser on this machine could otherwise post to it, and open and read its
WebSockets. Otherwise this does what `prefect server start` does in the foreground (`prefect/cli/_server_utils.py`, 3.9.1).
"""

import gc

import uvicorn
from prefect.server.api.server import create_app
from prefect.settings import get_current_settings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mailroom.domain.operations.loopback import is_own

_REFUSED = "Refused: this Prefect server accepts programs and its own pages only, at 127.0.0.1 or localhost.\n"


#: New objects before the youngest generation is collected. A run makes tens of thousands here; with Python's 700, a
#: twelfth of the server's CPU goes into collecting.
_COLLECT_AFTER = 20_000


class OwnPages:
    """ASGI middleware: programs and the server's own pages pass; requests and WebSockets of other pages get 403."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request to the server, or refuse it."""
        if scope["type"] == "lifespan" or _is_own(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # uvicorn answers 403 to a WebSocket closed before it is accepted. Sending a response instead logs an ERROR each time.
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        else:
            await PlainTextResponse(_REFUSED, 403)(scope, receive, send)


def _is_own(headers: Headers) -> bool:
    return is_own(headers.getlist("host"), headers.getlist("origin"))


def main() -> None:
    """Serve until SIGTERM or SIGINT, as configured in Prefect's settings."""
    server = get_current_settings().server
    app = OwnPages(create_app(final=True))
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 20)
    uvicorn.run(
        app,
        host=server.api.host,
        port=server.api.port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    main()
