"""Readiness probes of parts. Each returns within a second."""

import http.client
import socket
from pathlib import Path

from mailroom.sandbox.stack.ports import LOOPBACK

_PATIENCE_S = 1.0


def page_answers(port: int, path: str) -> bool:
    """Return whether GET `path` on `port` gives 200; proxies are not used."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def greets(port: int, words: bytes) -> bool:
    """Return whether a server on `port` greets with `words`, as an SMTP server greets with 220."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=_PATIENCE_S) as connection:
            connection.settimeout(_PATIENCE_S)
            return connection.recv(64).startswith(words)
    except OSError:
        return False


def exists(file: Path) -> bool:
    """Return whether a part has touched its ready file."""
    return file.exists()
