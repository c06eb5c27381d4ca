"""Error responses: problem details (RFC 9457) for programs, an HTML page for browsers."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mailroom.api.faces import Face
from mailroom.api.pages.rendering import render
from mailroom.domain.errors import MailroomError, PermanentError, TransientError
from mailroom.domain.inbox.search_query import UnreadableSearch
from mailroom.domain.texts import Text, as_text

log = logging.getLogger(__name__)

#: The error responses of every JSON route, for the OpenAPI document.
PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Problem details (RFC 9457)",
        "content": {
            "application/problem+json": {
                "schema": {
                    "type": "object",
                    "required": ["type", "title", "status"],
                    "properties": {
                        "type": {"type": "string"},
                        "title": {"type": "string"},
                        "status": {"type": "integer"},
                        "detail": {"type": "string"},
                    },
                }
            }
        },
    }
}


def answer_error(
    request: Request, status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> Response:
    """Return the error as a page if a browser requested one, else as problem details."""
    phrase = HTTPStatus(status).phrase
    if _is_for_a_person(request):
        # The public face's error page has no link to inboxes, and reveals nothing of the private face.
        template = "error_public.html" if request.app.state.face is Face.PUBLIC else "error.html"
        return render(template, status=status, headers=headers, title=phrase, code=status, detail=detail)
    body = {"type": "about:blank", "title": phrase, "status": status, "detail": detail, **more}
    return JSONResponse(body, status, headers=headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Register the error handlers on the application."""

    @app.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        members = getattr(error, "members", {})
        return answer_error(request, error.status_code, error.detail, headers=error.headers, **members)

    @app.exception_handler(RequestValidationError)
    def unusable(request: Request, error: RequestValidationError) -> Response:
        # The input is not repeated: it may be an address.
        errors = [
            {"where": [str(part) for part in fault["loc"]], "what": fault["msg"].removeprefix("Value error, ")}
            for fault in error.errors()
        ]
        return answer_error(request, 422, "Invalid request: a field or parameter is invalid.", errors=errors)

    @app.exception_handler(UnreadableSearch)
    def unreadable(request: Request, error: UnreadableSearch) -> Response:
        errors = [{"where": ["query", "q"], "what": str(error)}]
        detail = Text("The search cannot be read: %(why)s.", why=as_text(error.args[0]))
        return answer_error(request, 422, detail, errors=errors)

    app.exception_handler(TransientError)(answer_to)
    app.exception_handler(PermanentError)(answer_to)


def answer_to(request: Request, error: MailroomError) -> Response:
    """Return the response to a failure behind the service."""
    if isinstance(error, TransientError):
        log.warning("answered 503: %s", error)
        detail = Text("Try again later: %(why)s.", why=error.message)
        return answer_error(request, 503, detail, headers={"Retry-After": "5"})
    log.error("answered 502: %s", error)
    return answer_error(request, 502, Text("The operator must correct this: %(why)s.", why=error.message))


def _is_for_a_person(request: Request) -> bool:
    return not request.url.path.startswith("/v1/") and "text/html" in request.headers.get("accept", "")
