"""The JSON routes of what recipients got: the mail as it was sent, and the same as a file.

For keys of the tenant, which may do all that the links in it do: they are shown as they were sent, those that unsubscribe too.
"""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from mailroom.api.auth import ApiHolder
from mailroom.api.downloads import content_disposition
from mailroom.api.problems import PROBLEM
from mailroom.api.sent_views import look, shown
from mailroom.api.services import AppOutbound, AppServices
from mailroom.api.v1.known_query import KnownQuery
from mailroom.domain.outbound.message import Party
from mailroom.outbound.json_model import JsonModel
from mailroom.outbound.sent_content import ContentState, SentContent, Unshown, Views
from mailroom.ports.message_reader import StoredMessage

router = APIRouter(prefix="/v1", tags=["outbound"], responses=PROBLEM, route_class=KnownQuery)

EML = "message/rfc822"
_UNSHOWN: dict[int | str, dict[str, Any]] = {
    410: {"description": "The content can no longer be shown as sent; the detail says why"},
}


class PartyResponse(JsonModel):
    """A mailbox."""

    address: str
    name: str


class SentHeaderResponse(BaseModel):
    """A custom header."""

    name: str
    value: str


class SentFileResponse(JsonModel):
    """An attachment. Its bytes are in the .eml."""

    filename: str
    content_type: str
    size: int
    sha256: str
    content_id: str | None


class ContentResponse(BaseModel):
    """A mail as it was sent or, before that, as it would be sent now."""

    id: str
    state: ContentState
    what: str = Field(description="The state as a sentence")
    sent_at: datetime | None
    shown_until: datetime | None = Field(description="Until when a sent mail is shown (MAILROOM_SENT_CONTENT_DAYS)")
    sha256: str = Field(description="The digest of what it says; the one taken at sending where the state is as_sent")
    from_: PartyResponse = Field(serialization_alias="from")
    to: PartyResponse
    reply_to: PartyResponse | None
    subject: str
    text: str | None
    html: str | None = Field(description="As it was sent: not sanitised, with tracked links and the pixel")
    headers: list[SentHeaderResponse]
    unsubscribe: str | None
    attachments: list[SentFileResponse]


@router.get(
    "/messages/{message_id}/content",
    response_model=ContentResponse,
    responses=_UNSHOWN
    | {200: {"content": {EML: {}}, "description": "The mail; with Accept: message/rfc822 as a file"}},
)
async def show_content(
    request: Request, services: AppServices, holder: ApiHolder, sending: AppOutbound, message_id: str
) -> Response:
    """Return what a recipient got: filled again, and shown as sent only if its digest is the one taken at sending."""
    if EML in request.headers.get("accept", ""):
        return eml_response(*shown(await look(services, sending, holder, message_id, eml_of)))
    found = shown(await look(services, sending, holder, message_id, content_of))
    return Response(_response(found).model_dump_json(by_alias=True), media_type="application/json")


@router.get(
    "/messages/{message_id}/content.eml",
    response_class=Response,
    responses=_UNSHOWN | {200: {"content": {EML: {}}, "description": "The mail, to be saved"}},
)
async def download_content(services: AppServices, holder: ApiHolder, sending: AppOutbound, message_id: str) -> Response:
    """Return the same as MIME, with its files; Date and Message-ID are Mailroom's, signatures are left out."""
    return eml_response(*shown(await look(services, sending, holder, message_id, eml_of)))


def content_of(views: Views, stored: StoredMessage, now: datetime) -> SentContent | Unshown:
    """Return the mail, or why it is not shown."""
    return views.content(stored, now=now)


def eml_of(views: Views, stored: StoredMessage, now: datetime) -> tuple[str, bytes] | Unshown:
    """Return the mail's subject and its bytes, or why it is not shown."""
    return views.eml(stored, now=now)


def eml_response(subject: str, raw: bytes) -> Response:
    """Return a mail to be saved."""
    return Response(raw, headers={"Content-Disposition": content_disposition(f"{subject}.eml")}, media_type=EML)


def _response(found: SentContent) -> ContentResponse:
    mail = found.mail
    return ContentResponse(
        id=mail.id,
        state=found.state,
        what=found.state.sentence,
        sent_at=found.sent_at,
        shown_until=found.shown_until,
        sha256=found.sha256,
        from_=_party(mail.from_),
        to=_party(mail.to),
        reply_to=None if mail.reply_to is None else _party(mail.reply_to),
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        headers=[SentHeaderResponse(name=name, value=value) for name, value in mail.headers],
        unsubscribe=mail.unsubscribe,
        attachments=[SentFileResponse.model_validate(file) for file in found.files],
    )


def _party(party: Party) -> PartyResponse:
    return PartyResponse.model_validate(party)
