"""Routes for operators and their tools: liveness, readiness, metrics and the API's documentation.

These need no key: they return counts and states, never a mail, an address or a tenant.
"""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse

from mailroom.api.metrics.inbound import exposition
from mailroom.api.metrics.installation import (
    broken_exposition,
    endpoints_exposition,
    hooks_exposition,
    scheduler_exposition,
    skipped_exposition,
)
from mailroom.api.metrics.outbound import outbound_exposition, parked_exposition
from mailroom.api.pages.rendering import render
from mailroom.api.services import AppServices, Services
from mailroom.domain.errors import MailroomError, TransientError, UnfitSchema
from mailroom.ports.scheduler import Scheduling

log = logging.getLogger(__name__)

#: Liveness is served on each face; the other routes only on the private one.
liveness = APIRouter(tags=["operations"])
router = APIRouter(tags=["operations"])

_NO_RUN = "00000000-0000-0000-0000-000000000000"

_PATIENCE_S = 2.0
#: Threads for requests to Prefect, so that a Prefect that hangs delays no other request.
_prefect_threads = ThreadPoolExecutor(2, thread_name_prefix="readyz")


@liveness.get("/healthz")
def healthz() -> dict[str, str]:
    """Return 200 if this process responds."""
    return {"status": "ok"}


@router.get("/readyz", response_class=JSONResponse)
def readyz(services: AppServices) -> JSONResponse:
    """Report the status of each dependency; 503 only if the database is unavailable or its schema does not fit.

    Prefect is reported for operators only: the service accepts batches and shows inboxes without it, so a load balancer
    should keep this process. `scheduler` is null if Prefect does not respond.
    """
    scheduling = _looked(services)
    checks = {"database": _database(services), "prefect": _prefect(services, scheduling)}
    ready = checks["database"] == "ok"
    body: dict[str, Any] = {"status": "ok" if ready else "not ready", "checks": checks}
    scheduler = scheduling.as_json(services.now()) if scheduling else None
    body |= {"scheduler": scheduler, "rows_skipped": _skipped(services)}
    return JSONResponse(body, 200 if ready else 503)


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(services: AppServices) -> PlainTextResponse:
    """Metrics in Prometheus's text format."""
    missing: list[str] = []
    text = "".join(_counted(name, part, missing) for name, part in _parts(services))
    return PlainTextResponse(text + broken_exposition(missing), media_type="text/plain; version=0.0.4")


@router.get("/docs", response_class=HTMLResponse, include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The operations of the OpenAPI document as a page, without scripts from other hosts."""
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


def _prefect(services: Services, scheduling: Scheduling | None) -> str:
    """Return whether Prefect answers, within a load balancer's timeout: a Prefect that hangs must not make this route hang."""
    if services.scheduler is not None and scheduling is None:
        return "unreachable"
    lookup = _prefect_threads.submit(services.runs.find, _NO_RUN)
    try:
        lookup.result(timeout=_PATIENCE_S)
    except (MailroomError, TimeoutError):
        lookup.cancel()
        return "unreachable"
    return "ok"


def _looked(services: Services) -> Scheduling | None:
    try:
        return services.scheduler.look() if services.scheduler else None
    except MailroomError:
        return None


def _skipped(services: Services) -> dict[str, int]:
    """Return the number of rows that each loop skips; they do not affect readiness."""
    try:
        skipped = services.watch.skipped() if services.watch is not None else ()
    except MailroomError:
        return {}
    return {one.loop: one.rows for one in skipped}


def _counted(name: str, part: Callable[[], str], missing: list[str]) -> str:
    """Return one group of metrics; one that cannot be counted is left out and added to `missing`."""
    try:
        return part()
    except TransientError:
        raise
    except Exception as error:  # noqa: BLE001 - alarms on the other metrics must work
        log.error(
            "metrics of %s cannot be counted: %s", name, error if isinstance(error, MailroomError) else type(error)
        )
        missing.append(name)
        return ""


def _parts(services: Services) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the metrics of inbound and outbound mail, provider events, tenants' webhooks, and skipped rows."""
    now = services.now()
    yield "inbound", lambda: exposition(services.reader.census(), now)
    if (scheduling := _looked(services)) is not None:
        yield "scheduler", lambda: scheduler_exposition(scheduling, now)
    if (watch := services.watch) is not None:
        yield "outbound", lambda: outbound_exposition(watch.census(now=now), now)
        yield "rows", lambda: skipped_exposition(watch.skipped())
    if (events := services.events) is not None:
        yield "parked", lambda: parked_exposition(events.parked(now=now), now)
    if (hook_receiver := services.hook_receiver) is not None:
        yield "hooks", lambda: hooks_exposition(hook_receiver.hooks.waiting())
    if (endpoints := services.endpoints) is not None:
        yield "webhooks", lambda: endpoints_exposition(*endpoints.waiting())
