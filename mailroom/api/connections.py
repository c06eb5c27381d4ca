"""Connections of the HTTP service: their number, the time for a request to arrive, and how they close.

uvicorn waits without limit for a request's headers, accepts any number of them, and closes with the body of a refused
request still unread, which resets the connection and may cost the client the response. So its protocol is extended:

- headers must arrive within `headers_s` (else 408, or closed if nothing came) and in `MOST_HEADER_BYTES` (else 431);
- over `most` connections, the one that has waited longest with an unfinished request is closed: a slow client makes
  room, where uvicorn's `limit_concurrency` would respond 503 to all others;
- a client that reads nothing of its response for `unread_s` is disconnected;
- the rest of a body is discarded for `linger_s` after the response, so that the client can read the response.

The minimum rate of a body is in `mailroom.api.bodies`.
"""

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEADER_BYTES = 64 << 10
_LINGER_BYTES = 64 << 20
#: Open files that the process needs besides these connections: for the database, S3 and itself.
_OTHER_FILES = 200


def most_connections() -> int:
    """Return the most connections of this process: 1,000, or fewer by its limit of open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1_000 if files == resource.RLIM_INFINITY else max(min(1_000, files - _OTHER_FILES), 100)


class Connection(HttpToolsProtocol):
    """A connection with limits on its client's time and memory."""

    headers_s = 10.0
    linger_s = 5.0
    unread_s = 60.0
    most = most_connections()

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        #: Timer for headers, or for discarding the rest of a body.
        self._timer: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._is_in_headers = self._is_in_message = self.is_lingering = False
        #: Bytes received since the parser's last event.
        self._unparsed = self._discarded = 0
        self._since = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request."""
        super().connection_made(_Lingering(transport, self))  # type: ignore[arg-type]
        self._wait()
        if len(self.connections) > self.most:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all timers."""
        self._stop_waiting()
        self._has_read()
        self._is_in_message = False
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, or discard them if they are the rest of an unread body."""
        if self.is_lingering:
            self._discarded += len(data)
            if self._discarded > _LINGER_BYTES:
                self.transport.abort()
            return
        if self._timer is None and not self._is_answering():
            # Any byte stops uvicorn's own timer for idle connections, even a line break between two requests.
            self._wait()
        self._unparsed += len(data)
        super().data_received(data)
        if self._unparsed > MOST_HEADER_BYTES and not self.transport.is_closing():
            self._refuse(431, "The request headers are too long.")

    def on_message_begin(self) -> None:
        """Note that a request has begun."""
        self._is_in_headers = self._is_in_message = True
        self._since = self.loop.time()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop the timer: the headers are complete."""
        self._unparsed, self._is_in_headers = 0, False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Process a part of the body."""
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Note that the request is complete."""
        self._unparsed, self._is_in_message = 0, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Note since when the connection is idle, or waits for the rest of the next request."""
        self._since = self.loop.time()
        super().on_response_complete()
        if self._is_in_headers and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self._wait()

    def pause_writing(self) -> None:
        """Start the timer for a client that does not read."""
        super().pause_writing()
        self._has_read()
        self._unread = self.loop.call_later(self.unread_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the timer: the client has read."""
        self._has_read()
        super().resume_writing()

    def linger(self) -> bool:
        """Return whether a part of the request is still to come, and begin to discard it."""
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
            # Nothing came, or the rest of a body after its response: a client would take a 408 for its next response.
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
        """Close the connection that has waited longest without a whole request; if there is none, this one."""
        others = [one for one in self.connections if isinstance(one, Connection) and one.may_go()]
        min(others, key=lambda one: one._since, default=self).transport.abort()

    def may_go(self) -> bool:
        """Return whether no response is under way, so that the connection may be closed."""
        return self._is_in_message or not self._is_answering()


class _Lingering:
    """A transport whose close first discards the rest of the request."""

    def __init__(self, transport: asyncio.Transport, connection: Connection) -> None:
        self._transport, self._connection = transport, connection

    def close(self) -> None:
        if not self._connection.linger():
            self._transport.close()

    def is_closing(self) -> bool:
        return self._connection.is_lingering or self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
