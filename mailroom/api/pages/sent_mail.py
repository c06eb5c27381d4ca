"""What a recipient got, on its message's page: its text, its HTML in a sandboxed frame, the whole as a file.

A look counts as nothing: the frame has the links that the sender wrote, not the tracked ones, and no pixel. Our own links to
unsubscribe are hidden on pages, so that no colleague leaves in the recipient's name; the file and the API have them as sent.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from fastapi import APIRouter, HTTPException
from starlette.responses import HTMLResponse, Response

from mailroom.api.auth import PageHolder
from mailroom.api.guard import FRAME_POLICY
from mailroom.api.pages.rendering import render
from mailroom.api.pages.translations import gettext
from mailroom.api.sanitising import MAX_PICTURE, MAX_PICTURES, PICTURES, SafeHtml, data_uri, sanitise_for_frame
from mailroom.api.sent_views import look, shown
from mailroom.api.services import AppOutbound, AppServices, OutboundServices, Services
from mailroom.api.v1.sent_content import eml_of, eml_response
from mailroom.domain.delivery.unsubscribe import PATH
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.texts import Text
from mailroom.outbound.sent_content import SentContent, Unshown, Views
from mailroom.ports.api_keys import Holder
from mailroom.ports.message_reader import StoredMessage

router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

_TOO_LARGE = Text("This HTML is too large or too tangled to be made safe here. The .eml file has the original.")
_NO_HTML = Text("This mail has no HTML.")
_BUSY = Unshown(Text("The content cannot be shown at this moment: too many are being shown. Reload in a minute."))
_HIDDEN = "hidden-on-pages"


@dataclass(frozen=True, slots=True)
class SentPart:
    """The mail of a page, its text, and its HTML as in the frame; `framed` None: too large to be sanitised, or none."""

    sent: SentContent
    text: str | None
    has_html: bool
    framed: SafeHtml | None


@router.get("/messages/{message_id}/html")
async def message_html(services: AppServices, holder: PageHolder, sending: AppOutbound, message_id: str) -> Response:
    """The HTML of a mail, sanitised, for the sandboxed frame; under a policy of its own."""
    framed = shown(await look(services, sending, holder, message_id, partial(_framed, services)))
    return render("frame.html", headers={"Content-Security-Policy": FRAME_POLICY}, framed=framed)


@router.get("/messages/{message_id}/content.eml", response_class=Response)
async def message_file(services: AppServices, holder: PageHolder, sending: AppOutbound, message_id: str) -> Response:
    """The mail as a file."""
    return eml_response(*shown(await look(services, sending, holder, message_id, eml_of)))


async def sent_part(
    services: Services, sending: OutboundServices, holder: Holder, message_id: str
) -> SentPart | Unshown:
    """Return the mail that the page of a message shows, or why it shows none.

    Raises:
        HTTPException: 404, there is no such message.
    """
    try:
        return await look(services, sending, holder, message_id, partial(_part, services))
    except PermanentError as error:
        return Unshown(Text("The content cannot be shown: %(why)s.", why=error.message))
    except HTTPException as error:
        # The status and the history are shown all the same.
        if error.status_code not in (429, 503):
            raise
        return _BUSY


def _part(services: Services, views: Views, stored: StoredMessage, now: datetime) -> SentPart | Unshown:
    sent = views.content(stored, now=now)
    if isinstance(sent, Unshown):
        return sent
    html = _without_our_links(services, sent.untracked_html)
    # The links and blocked pictures are counted as the frame will show them; the pictures' own bytes do not matter here.
    framed = sanitise_for_frame(html, {}) if html else None
    # A text that was made from the HTML says nothing more.
    text = sent.mail.text if stored.content.text is not None or not html else None
    return SentPart(sent, _without_our_links(services, text), bool(html), framed)


def _framed(services: Services, views: Views, stored: StoredMessage, now: datetime) -> SafeHtml | Unshown:
    sent = views.content(stored, now=now)
    if isinstance(sent, Unshown):
        return sent
    html = _without_our_links(services, sent.untracked_html)
    if not html:
        return _paragraph(_NO_HTML)
    return sanitise_for_frame(html, _pictures(views, stored)) or _paragraph(_TOO_LARGE)


def _paragraph(text: Text) -> SafeHtml:
    return SafeHtml(f"<p>{gettext(text)}</p>")


def _without_our_links(services: Services, text: str | None) -> str | None:
    base = services.settings.link_url
    if not text or not base:
        return text
    return re.sub(rf"{re.escape(base.rstrip('/') + PATH)}[\w.~%=-]+", f"{base.rstrip('/')}{PATH}{_HIDDEN}", text)


def _pictures(views: Views, stored: StoredMessage) -> dict[str, str]:
    """Return the mail's own small pictures by content id; one whose bytes are no longer kept is left out."""
    pictures: dict[str, str] = {}
    room = MAX_PICTURES
    for file in stored.content.enclosures:
        kind = file.content_type.partition(";")[0].strip()
        if file.content_id is None or file.size > min(MAX_PICTURE, room) or kind not in PICTURES:
            continue
        try:
            content = views.read(stored.batch.tenant, file)
        except (LookupError, PermanentError, TransientError):
            continue
        pictures[file.content_id] = data_uri(content, kind)
        room -= file.size
    return pictures
