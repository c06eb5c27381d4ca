"""What recipients got, for the JSON routes and the pages: who may look, and where it is made again.

A mail is made again in slots of its own: a template may keep a processor busy for as long as its request was allowed to.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

from fastapi import HTTPException

from mailroom.api.services import OutboundServices, Services
from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.delivery.unsubscribe import unsubscribe_url
from mailroom.outbound.sent_content import Unshown, Views
from mailroom.ports.api_keys import Holder
from mailroom.ports.message_reader import StoredMessage
from mailroom.settings import Settings

T = TypeVar("T")

#: Whose turn an administrator's look is.
_ADMINISTRATORS = "administrators"


async def look(
    services: Services,
    sending: OutboundServices,
    holder: Holder,
    message_id: str,
    what: Callable[[Views, StoredMessage, datetime], T],
) -> T:
    """Return what `what` makes of a message that this holder may see.

    Raises:
        HTTPException: 404, there is none; 429 or 503, too many look at once.
    """

    def work() -> T:
        stored = sending.message_reader.stored(holder.tenant, message_id)
        if stored is None:
            raise HTTPException(404, "Message not found.")
        return what(views(services, sending), stored, services.now())

    return await services.view_slots.run(holder.tenant or _ADMINISTRATORS, work)


def views(services: Services, sending: OutboundServices) -> Views:
    """Return what makes mails again, with the links that this installation's workers make."""
    settings = services.settings
    key = settings.unsubscribe_key.get_secret_value().encode() if settings.unsubscribe_key else b""
    return Views(
        files=sending.message_reader,
        archive=services.archive,
        leave_url=leave_url(settings),
        tracker=Tracker(base=settings.tracking_url, key=key) if settings.tracking_url else None,
        days=settings.sent_content_days,
    )


def leave_url(settings: Settings) -> Callable[[str], str] | None:
    """Return what makes the link to unsubscribe of a message, or None where this installation makes none."""
    base, key = settings.link_url, settings.unsubscribe_key
    return partial(unsubscribe_url, base, key=key.get_secret_value().encode()) if base and key else None


def shown(found: T | Unshown) -> T:
    """Return what is shown.

    Raises:
        HTTPException: 410, it cannot be shown.
    """
    if isinstance(found, Unshown):
        raise HTTPException(410, found.sentence)
    return found
