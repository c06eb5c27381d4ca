"""Probes: how a part shows that it is ready. Each answers at once, within a second."""

import http.client
import socket
from pathlib import Path

from mailroom.sandbox.stack.ports import LOOPBACK

_PATIENCE_S = 1.0


def page_answers(port: int, path: str) -> bool:
    """Tell whether GET `path` on `port` gives 200; no proxy comes between."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def greets(port: int, words: bytes) -> bool:
    """Tell whether a server on `port` says `words` first, as an SMTP server says 220."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_PATIENCE_S) as connection:
            connection.settimeout(_PATIENCE_S)
            return connection.recv(64).startswith(words)
    except OSError:
        return False


def exists(file: Path) -> bool:
    """Tell whether a part has touched its ready file."""
    return file.exists()
