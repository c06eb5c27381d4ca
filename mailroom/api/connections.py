"""Connections of the HTTP service: how many there may be, how long one may take to ask, and how one ends.

uvicorn waits for ever for a request's headers, takes any number of them, and closes with the body of a refused request
still on the wire, which resets the connection and may cost the client the answer. So its protocol is extended:

- headers are there within `headers_s` (408, or closed where nothing came) and have `MOST_HEADER_BYTES` at most (431);
- over `most` connections, the one that has waited longest with an unfinished request goes: who is slow makes room, where
  uvicorn's `limit_concurrency` would answer 503 to everybody else;
- a client that reads nothing of its answer for `unread_s` is let go;
- what is left of a body after its answer is thrown away for `linger_s`, so that the answer is read.

How fast a body has to come is in `mailroom.api.bodies`.
"""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEADER_BYTES = 64 << 10
_LINGER_BYTES = 64 << 20
#: Open files that the process needs besides connections: the database's, S3's, its own.
_OTHER_FILES = 200


def most_connections() -> int:
    """Return how many connections this process may hold: 1,000, or what its limit of open files allows."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000 if files == resource.RLIM_INFINITY else max(min(1_000, files - _OTHER_FILES), 100)


class Connection(HttpToolsProtocol):
    """A connection whose client has no more than its share of time and memory."""

    headers_s = 10.0
    linger_s = 5.0
    unread_s = 60.0
    most = most_connections()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        #: Ends the wait for headers, or the time in which the rest of a body is thrown away.
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._is_in_headers = self._is_in_message = self.is_lingering = False
        #: Bytes since the parser last made something of them.
        self._unparsed = self._discarded = 0
        self._since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._wait()
        if len(self.connections) > self.most:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        self._has_read()
        self._is_in_message = False
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came, unless it is what is left of a body that nobody wants."""
        if self.is_lingering:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self.transport.abort()
            return
        if self._timer is None and not self._is_answering():
            # Any byte ends uvicorn's own timer of idle connections, a line break between two requests as well.
            self._wait()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MOST_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(431, "The request headers are too long.")

    def on_message_begin(self) -> None:
        """Note that a request comes."""
        self._is_in_headers = self._is_in_message = True
        self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Wait no more: the headers are there."""
        self._unparsed, self._is_in_headers = 0, False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that nothing is left of this request."""
        self._unparsed, self._is_in_message = 0, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note since when it is idle, or waits for the rest of the next request."""
        self._since = self.loop.time()
        super().on_response_complete()
        if self._is_in_headers and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._wait()

    def pause_writing(self) -> None:
        """Wait for a client that does not read."""
        super().pause_writing()
        self._has_read()
        self._unread = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._has_read()
        super().resume_writing()

    def linger(self) -> bool:
        """Return whether a part of the request is still to come, and begin to throw that away."""
        if not self._is_in_message or self.is_lingering or not self.transport.can_write_eof():
            return False
        self._stop_waiting()
        self.is_lingering = True
        self.transport.write_eof()
        self.flow.resume_reading()
        self._timer = self.loop.call_later(self.linger_s, self.transport.abort)
        return True

    def _wait(self) -> None:
        self._timer = self.loop.call_later(self.headers_s, self._waited)

    def _waited(self) -> None:
        self._timer = None
        if self._is_in_headers:
            self._refuse(408, "The request headers arrive too slowly.")
        else:
            # Nothing came, or the rest of a body that was answered: a client would take a 408 for its next answer.
            self.transport.close()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _has_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, text: str) -> None:
        if not self._is_answering():
            length = str(len(text)).encode()
            headers = b"content-type: text/plain; charset=utf-8\r\ncontent-length: " + length + b"\r\nconnection: close"
            self.transport.write(STATUS_LINE[status] + headers + b"\r\n\r\n" + text.encode())
        self.transport.close()

    def _make_room(self) -> None:
        """Close the connection that has waited longest without a whole request; without any, this one."""
        others = [one for one in self.connections if isinstance(one, Connection) and one.may_go()]
        min(others, key=lambda one: one._since, default=self).transport.abort()

    def may_go(self) -> bool:
        """Return whether there is no whole request that is being answered."""
        return self._is_in_message or not self._is_answering()


class _Lingering:
    """A transport that closes as its connection wants."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection

    def close(self) -> None:
        if not self._connection.linger():
            self._transport.close()

    def is_closing(self) -> bool:
        return self._connection.is_lingering or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
