"""Request bodies: a table of size limits, authentication before the first byte is read, and a minimum rate.

    key (401) ──> declared length (413) ──> the route, which reads a body that is counted (413) and timed (408)

A route that is not in the table accepts at most 64 kB, under any method, whether or not it reads a body. A body that the
route does not read stays unread: the connection is closed after the response (`mailroom.api.connections`).
"""

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailroom.api.auth import holder_of
from mailroom.api.faces import Face
from mailroom.api.problems import answer_error, answer_to
from mailroom.api.services import services_of
from mailroom.delivery.provider_events.fields import MOST_BODY_BYTES
from mailroom.domain.errors import MailroomError
from mailroom.domain.outbound.message import LIMITS
from mailroom.domain.texts import Text


@dataclass(frozen=True, slots=True)
class Limit:
    """The largest body in bytes, and what a caller with a larger one can do."""

    most: int
    remedy: str = ""

    def too_large(self) -> HTTPException:
        """Return the error for a larger body."""
        return HTTPException(
            413,
            Text(
                "The request body is too large: the limit is %(bytes)s bytes%(remedy)s.",
                bytes=str(self.most),
                remedy=self.remedy,
            ),
        )


#: The limit of routes not listed below.
DEFAULT = Limit(64 << 10)
#: By method and path.
BODY_LIMITS: Mapping[tuple[str, str], Limit] = MappingProxyType(
    {
        ("POST", "/v1/batches"): Limit(LIMITS.body, "; split the batch, or attach large files by archive_id or s3"),
        # 1,000 addresses of 320 characters, with room for spaces and escapes.
        ("POST", "/v1/suppressions"): Limit(512 << 10, "; split it into several requests"),
        # 1,000 with their users.
        ("POST", "/v1/addresses"): Limit(1 << 20, "; split it into several requests"),
    }
)
#: By prefix of the path, for every method.
BODY_LIMITS_BELOW: Mapping[str, Limit] = MappingProxyType({"/hooks/": Limit(MOST_BODY_BYTES)})
#: Paths where no byte of a body is read without a key.
KEY_FIRST = "/v1/"

#: A larger body of unknown length is read by its route, in chunks; a smaller one before the route is called.
_READ_AHEAD = 1 << 20
#: A connection is kept if no more than this is left of an unread body.
_LEFT = 64 << 10


def body_limit(method: str, path: str) -> Limit:
    """Return the size limit of a request's body."""
    if (limit := BODY_LIMITS.get((method, path))) is not None:
        return limit
    return next((limit for start, limit in BODY_LIMITS_BELOW.items() if path.startswith(start)), DEFAULT)


@dataclass(frozen=True, slots=True)
class BodyPace:
    """The minimum rate of a body: never `silence_s` without a byte and, after that time, `bytes_per_s` on average."""

    silence_s: float = 20.0
    bytes_per_s: float = 50_000.0


DEFAULT_PACE = BodyPace()


class Bodies:
    """ASGI middleware that limits request bodies before any route sees them."""

    def __init__(self, app: ASGIApp, *, pace: BodyPace) -> None:
        self._app, self._pace = app, pace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond 401, 413 or 408, or call the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        body = _Body(receive, body_limit(scope["method"], scope["path"]), _declared(request), self._pace)

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and body.is_left():
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        refusal = await _refusal(request, body)
        if refusal is not None:
            await refusal(scope, receive, send_closing)
            return
        try:
            await self._app(scope, body.receive, send_closing)
        except ClientDisconnect:
            # The client is gone: there is nothing to respond to, and nothing to log.
            return


async def _refusal(request: Request, body: "_Body") -> Response | None:
    """Return the reason to refuse the request, if any; the key is checked before any of the body is read."""
    try:
        # Not `request.url`: the client chooses it by its Host header.
        if request.scope["path"].startswith(KEY_FIRST) and request.app.state.face is not Face.PUBLIC:
            authorization = request.headers.get("authorization", "")
            request.state.holder = await run_in_threadpool(holder_of, services_of(request), authorization)
        if body.declared is not None and body.declared > body.limit.most:
            raise body.limit.too_large()
        if body.declared is None and body.limit.most <= _READ_AHEAD:
            await body.read_ahead()
    except HTTPException as error:
        return answer_error(request, error.status_code, error.detail, headers=error.headers)
    except MailroomError as error:
        return answer_to(request, error)
    return None


def _declared(request: Request) -> int | None:
    """Return the declared length; None: it is known at the end of the body."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdecimal() else None


class _Body:
    """A body while it is received: counted and timed."""

    def __init__(self, receive: Receive, limit: Limit, declared: int | None, pace: BodyPace) -> None:
        self._receive, self._pace = receive, pace
        self.limit, self.declared = limit, declared
        self._received = 0
        self._has_ended = declared == 0
        self._is_refused = False
        self._began: float | None = None
        self._ahead: deque[Message] = deque()

    def is_left(self) -> bool:
        """Return whether too much of it is still to come for the connection to be kept."""
        if self._has_ended or self._is_refused:
            return self._is_refused
        return self.declared is None or self.declared - self._received > _LEFT

    async def read_ahead(self) -> None:
        """Read the whole body in advance; `receive` returns it later.

        Raises:
            HTTPException: 413, 408.
        """
        while not self._has_ended:
            message = await self._next()
            self._ahead.append(message)
            if message["type"] != "http.request":
                return

    async def receive(self) -> Message:
        """Return the next message of ASGI.

        Raises:
            HTTPException: 413, 408.
        """
        if self._ahead:
            return self._ahead.popleft()
        return await (self._receive() if self._has_ended else self._next())

    async def _next(self) -> Message:
        try:
            async with asyncio.timeout(self._patience_s()):
                message = await self._receive()
        except TimeoutError:
            self._is_refused = True
            raise HTTPException(
                408,
                Text(
                    "The request body arrives too slowly: at least %(rate)s bytes a second are required.",
                    rate=f"{self._pace.bytes_per_s:.0f}",
                ),
            ) from None
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._has_ended = not message.get("more_body", False)
            if self._received > self.limit.most:
                self._is_refused = True
                raise self.limit.too_large()
        return message

    def _patience_s(self) -> float:
        now = time.monotonic()
        if self._began is None:
            self._began = now
        earned = self._began + self._pace.silence_s + self._received / self._pace.bytes_per_s - now
        return max(min(self._pace.silence_s, earned), 0.0)
