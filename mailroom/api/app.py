"""The application, put together from its routes."""

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from mailroom.api import operations, problems
from mailroom.api.bodies import DEFAULT_PACE, Bodies, Pace
from mailroom.api.guard import Guard
from mailroom.api.hooks import delivery as hooks
from mailroom.api.hooks import inbound as inbound_hook
from mailroom.api.hooks import tracking
from mailroom.api.pages import endpoints as endpoint_pages
from mailroom.api.pages import inbox as pages
from mailroom.api.pages import outbound as outbound_pages
from mailroom.api.pages import unsubscribing
from mailroom.api.pages.rendering import FOLDER
from mailroom.api.services import Services
from mailroom.api.v1 import breakers, endpoints, inbound, outbound, suppressions

__all__ = ["Services", "create_app"]


def create_app(services: Services, *, pace: Pace = DEFAULT_PACE) -> FastAPI:
    """Return the HTTP service on top of `services`; bodies of requests have to come at `pace`."""
    app = FastAPI(
        title="Mailroom",
        version="1",
        description="Received e-mail as inbox items and archived documents; batches of mail to send, and what became of them.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.services = services
    app.include_router(operations.router)
    app.include_router(inbound.router)
    app.include_router(outbound.router)
    app.include_router(suppressions.router)
    app.include_router(breakers.router)
    app.include_router(endpoints.router)
    app.include_router(endpoint_pages.router)
    app.include_router(hooks.router)
    app.include_router(inbound_hook.router)
    app.include_router(unsubscribing.router)
    app.include_router(tracking.router)
    app.include_router(pages.router)
    app.include_router(outbound_pages.router)
    app.include_router(breakers.page_router)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    problems.install(app)
    app.add_middleware(Bodies, pace=pace)
    app.add_middleware(Guard)
    return app
