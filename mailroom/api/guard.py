"""The outermost middleware: headers on every response, the reader of pages, and the response to unforeseen exceptions.

No log line here has a path, an address or an exception's message: paths contain addresses, messages may quote a mail.
"""

import logging
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mailroom.api.pages.reader import read_by
from mailroom.api.problems import answer_error
from mailroom.domain.texts import Text

log = logging.getLogger(__name__)

#: Scripts are the files of `/static` alone: whatever else this site answers has another type, and browsers refuse to run it.
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'; style-src 'self'; "
    "img-src 'self' data:; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
#: The policy of a mail's HTML in its frame. `allow-same-origin` lets the page measure it; no script runs, by sandbox and policy.
FRAME_POLICY = (
    "sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
#: The policy of a file's preview in its frame: a picture of ours, our style sheet, nothing of the file's.
PREVIEW_POLICY = (
    "sandbox allow-same-origin; default-src 'none'; style-src 'self'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
SECURITY_HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": _PAGE_POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
)


class Guard:
    """ASGI middleware; a header set by the route overrides the guard's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        with read_by(request.headers.get("accept-language"), request.app.state.services.settings.time_zone):
            await self._guarded(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def send_guarded(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_guarded)
        except Exception as error:  # noqa: BLE001 - the last resort; nothing of the request may reach the log
            number = _report(error)
            if begun:
                raise RuntimeError("the response was interrupted") from None
            answer = answer_error(
                Request(scope),
                500,
                Text("Unexpected error; report it to the operator with the number %(number)s.", number=number),
            )
            await answer(scope, receive, send_guarded)


def _report(error: Exception) -> str:
    number = uuid4().hex
    places = "".join(traceback.format_tb(error.__traceback__))
    log.error("request %s failed with %s\n%s", number, type(error).__name__, places)
    return number
