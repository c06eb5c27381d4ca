"""The application: its routers and middleware."""

from fastapi import APIRouter, Depends, FastAPI
from starlette.staticfiles import StaticFiles

from mailroom.api import operations, problems
from mailroom.api.bodies import DEFAULT_PACE, Bodies, BodyPace
from mailroom.api.faces import Face
from mailroom.api.guard import Guard
from mailroom.api.hooks import inbound as inbound_hook
from mailroom.api.hooks import provider_events as hooks
from mailroom.api.hooks import tracking
from mailroom.api.pages import endpoints as endpoint_pages
from mailroom.api.pages import inbox as pages
from mailroom.api.pages import item_marks as mark_pages
from mailroom.api.pages import keys as key_pages
from mailroom.api.pages import mail_lists as list_pages
from mailroom.api.pages import members as member_pages
from mailroom.api.pages import openid as openid_pages
from mailroom.api.pages import outbound as outbound_pages
from mailroom.api.pages import people as people_pages
from mailroom.api.pages import previews as preview_pages
from mailroom.api.pages import quarantine as quarantine_pages
from mailroom.api.pages import raw_mail as raw_mail_pages
from mailroom.api.pages import resends as resend_pages
from mailroom.api.pages import senders as sender_pages
from mailroom.api.pages import sent_mail, unsubscribe
from mailroom.api.pages import settings as settings_pages
from mailroom.api.pages import sign_in as sign_in_pages
from mailroom.api.pages import status as status_pages
from mailroom.api.pages import trail as trail_pages
from mailroom.api.pages.rendering import FOLDER
from mailroom.api.scopes import admit, describe_scopes
from mailroom.api.services import Services
from mailroom.api.trail import TrailWriter
from mailroom.api.v1 import (
    addresses,
    batch_list,
    breakers,
    endpoints,
    inbound,
    keys,
    members,
    outbound,
    raw_mail,
    replays,
    resends,
    sent_content,
    status,
    streams,
    suppressions,
    trail,
)

__all__ = ["Services", "create_app"]

#: The face of each router; a router that is not listed is not served.
_ROUTERS: tuple[tuple[Face, APIRouter], ...] = (
    (Face.BOTH, operations.liveness),
    (Face.PRIVATE, operations.router),
    (Face.PRIVATE, inbound.router),
    (Face.PRIVATE, replays.router),
    (Face.PRIVATE, status.router),
    (Face.PRIVATE, status_pages.router),
    (Face.PRIVATE, raw_mail.router),
    (Face.PRIVATE, addresses.router),
    (Face.PRIVATE, members.router),
    (Face.PRIVATE, outbound.router),
    (Face.PRIVATE, batch_list.router),
    (Face.PRIVATE, sent_content.router),
    (Face.PRIVATE, resends.router),
    (Face.PRIVATE, suppressions.router),
    (Face.PRIVATE, streams.router),
    (Face.PRIVATE, breakers.router),
    (Face.PRIVATE, endpoints.router),
    (Face.PRIVATE, endpoint_pages.router),
    (Face.PRIVATE, keys.router),
    (Face.PRIVATE, key_pages.router),
    (Face.PRIVATE, people_pages.router),
    (Face.PRIVATE, settings_pages.router),
    (Face.PRIVATE, trail.router),
    (Face.PRIVATE, trail_pages.router),
    (Face.PRIVATE, sign_in_pages.router),
    (Face.PRIVATE, openid_pages.router),
    (Face.PUBLIC, hooks.router),
    (Face.PUBLIC, inbound_hook.router),
    (Face.PUBLIC, unsubscribe.router),
    (Face.PUBLIC, tracking.router),
    (Face.PRIVATE, list_pages.router),
    (Face.PRIVATE, pages.router),
    (Face.PRIVATE, mark_pages.router),
    (Face.PRIVATE, quarantine_pages.router),
    (Face.PRIVATE, raw_mail_pages.router),
    (Face.PRIVATE, member_pages.router),
    (Face.PRIVATE, preview_pages.router),
    (Face.PRIVATE, outbound_pages.router),
    (Face.PRIVATE, sent_mail.router),
    (Face.PRIVATE, resend_pages.router),
    (Face.PRIVATE, sender_pages.router),
    (Face.PRIVATE, breakers.page_router),
)


def create_app(services: Services, face: Face = Face.BOTH, *, pace: BodyPace = DEFAULT_PACE) -> FastAPI:
    """Return the HTTP service on top of `services`: all of it, or one face; request bodies must arrive at `pace`."""
    app = FastAPI(
        title="Mailroom",
        version="1",
        description="Received e-mail as inbox items and archived documents; batches of mail to send, and the status "
        "of each message.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None if face is Face.PUBLIC else "/openapi.json",
        redirect_slashes=False,
    )
    app.state.services, app.state.face = services, face
    for side, router in _ROUTERS:
        if face.shows(side):
            app.include_router(router, dependencies=[Depends(admit)])
    describe_scopes(app)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    problems.install(app)
    app.add_middleware(TrailWriter)
    app.add_middleware(Bodies, pace=pace)
    app.add_middleware(Guard)
    return app
