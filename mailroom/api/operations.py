"""What operators and their tools ask: does it live, can it work, how much is where, what can be called.

These need no key: they tell counts and states, never a mail, an address or a tenant.
"""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from mailroom.api.exposition import exposition
from mailroom.api.outbound_exposition import (
    endpoints_exposition,
    hooks_exposition,
    outbound_exposition,
    parked_exposition,
)
from mailroom.api.rendering import render
from mailroom.api.services import Outside, Services
from mailroom.domain.errors import MailroomError, UnfitSchema

router = APIRouter(tags=["operations"])

_NO_RUN = "00000000-0000-0000-0000-000000000000"


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """Whether this process answers."""
    return {"status": "ok"}


@router.get("/readyz", response_class=JSONResponse)
def readyz(services: Outside) -> JSONResponse:
    """Whether what this process needs answers it, each by its name; 503 when one does not, or the schema does not fit."""
    checks = {"database": _database(services), "prefect": _prefect(services)}
    ready = all(state == "ok" for state in checks.values())
    return JSONResponse({"status": "ok" if ready else "not ready", "checks": checks}, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(services: Outside) -> PlainTextResponse:
    """Counts in Prometheus's text format."""
    text = exposition(services.reader.census(), services.now()) + _outbound(services)
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The operations of the OpenAPI document as a page of our own: the usual one loads scripts from elsewhere."""
    document = request.app.openapi()
    operations = [
        {"method": method.upper(), "path": path, **operation}
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    return render("docs.html", info=document["info"], groups=_by_tag(operations))


def _by_tag(operations: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for operation in operations:
        groups.setdefault(operation.get("tags", ["other"])[0], []).append(operation)
    return groups


def _database(services: Services) -> str:
    try:
        services.reader.ping()
    except UnfitSchema as error:
        return str(error)
    except MailroomError:
        return "unreachable"
    return "ok"


def _prefect(services: Services) -> str:
    try:
        services.runs.find(_NO_RUN)
    except MailroomError:
        return "unreachable"
    return "ok"


def _outbound(services: Services) -> str:
    """Return the metrics of what is sent, of what waits of what providers told, and of what tenants are told."""
    text, now = "", services.now()
    if services.watch is not None:
        text += outbound_exposition(services.watch.census(now=now), now)
    if services.events is not None:
        text += parked_exposition(services.events.parked(now=now), now)
    if services.hearing is not None:
        text += hooks_exposition(services.hearing.hooks.waiting())
    if services.endpoints is not None:
        text += endpoints_exposition(*services.endpoints.waiting())
    return text
