"""The application behind a real server, for tests over HTTP."""

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from mailroom.api.connections import Connection


@contextmanager
def serving(app: Any, connection: type[Connection] = Connection, *, port: int = 0) -> Iterator[str]:
    """Yield the URL at which `app` is served on loopback, as `mailroom api` does; by default on a free port."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", http=connection, ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        # Else the process of a test that failed would never end.
        server.should_exit = True
        thread.join()


def basic(user: str, key: str) -> str:
    """Return the header `Authorization` of an API key; a browser without it is sent to the page that signs in."""
    return f"Basic {b64encode(f'{user}:{key}'.encode()).decode()}"
