"""`POST /v1/batches?preview=N` and `?test_to=ADDRESS`: one mail of a batch, shown or sent to its author."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from mailroom.api.sent_views import leave_url
from mailroom.api.services import OutboundServices, Services
from mailroom.domain.outbound.message import LIMITS, Party
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.batch_json import TrackingResponse
from mailroom.outbound.random_ids import random_ids
from mailroom.outbound.request import Request
from mailroom.outbound.trial import FilledMail, filled_mail, send_test
from mailroom.ports.api_keys import Holder
from mailroom.ports.outbox import Accepted, SubmissionKey

PreviewNumber = Annotated[
    int | None,
    Query(
        ge=1,
        le=LIMITS.messages,
        description="Return the mail of the Nth recipient, from 1, as it would leave; store and send nothing",
    ),
]
TestTo = Annotated[
    str | None,
    Query(
        max_length=400,
        description=(
            "Send one mail of the batch to this address instead, with the data of the first recipient, or of the Nth with "
            "`preview=N`. It is a batch of its own, marked by the metadata `mailroom-test`; the quota does not count it"
        ),
    ),
]


@dataclass(frozen=True, slots=True)
class Trial:
    """What a request asks for besides submission: `number` is a recipient from 1, `to` the address of a test mail."""

    number: int | None = None
    to: str | None = None

    @property
    def only_shown(self) -> bool:
        """Whether a mail is shown, and none sent."""
        return self.number is not None and self.to is None

    def __bool__(self) -> bool:
        return self.number is not None or self.to is not None


class HeaderResponse(BaseModel):
    """A line of the header block, unfolded, in the form in which it leaves."""

    name: str
    value: str


class AttachedFileResponse(BaseModel):
    """An attachment; `size` is its bytes."""

    filename: str
    content_type: str
    size: int
    content_id: str | None


class FilledMailResponse(BaseModel):
    """One mail as it would leave; nothing was stored."""

    preview: int = Field(description="The recipient's number, from 1")
    recipients: int
    from_: str = Field(serialization_alias="from")
    to: str
    reply_to: str | None
    subject: str
    text: str | None
    html: str | None
    unsubscribe: str | None
    headers: list[HeaderResponse] = Field(description="Without Date and Message-ID, which are set when it is sent")
    attachments: list[AttachedFileResponse]
    tracking: TrackingResponse = Field(description="What is tracked; links are shown before that")
    size: int = Field(description="Bytes on the wire")
    suppressed: bool = Field(description="The recipient is on the tenant's suppression list: it would not be sent")


def filled_response(
    requested: Request, trial: Trial, *, services: Services, sending: OutboundServices, holder: Holder, tenant: str
) -> Response:
    """Return one mail as it would leave.

    Raises:
        Unacceptable: there is no such recipient, or its mail has faults.
    """
    now = services.now()
    found = filled_mail(
        requested,
        trial.number or 1,
        tenant=tenant,
        now=now,
        new_id=random_ids(),
        attachments=AttachmentResolver(tenant, archive=services.archive, uploads=sending.uploads),
        archive=services.archive,
        suppressions=sending.suppressions,
        senders=sending.senders,
        served=sending.served,
        terms=sending.terms.known(now=now),
        leave_url=leave_url(services.settings),
        with_global=holder.tenant is None,
    )
    answer = _response(found)
    return Response(answer.model_dump_json(by_alias=True), media_type="application/json")


def trial_sent(
    requested: Request,
    trial: Trial,
    *,
    services: Services,
    sending: OutboundServices,
    tenant: str,
    key: SubmissionKey | None,
) -> Accepted:
    """Store a test mail.

    Raises:
        Unacceptable: with every fault, or the address gets no mail.
        Conflict: the key was used before for another test mail.
    """
    now = services.now()
    return send_test(
        requested,
        trial.number or 1,
        trial.to or "",
        tenant=tenant,
        key=key,
        now=now,
        new_id=random_ids(),
        outbox=sending.outbox,
        attachments=AttachmentResolver(tenant, archive=services.archive, uploads=sending.uploads),
        suppressions=sending.suppressions,
        senders=sending.senders,
        served=sending.served,
        terms=sending.terms.known(now=now),
    )


def _response(found: FilledMail) -> FilledMailResponse:
    mail = found.mail
    return FilledMailResponse(
        preview=found.number,
        recipients=found.recipients,
        from_=_shown(mail.from_),
        to=_shown(mail.to),
        reply_to=None if mail.reply_to is None else _shown(mail.reply_to),
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        unsubscribe=mail.unsubscribe,
        headers=[HeaderResponse(name=name, value=value) for name, value in found.headers],
        attachments=[
            AttachedFileResponse(
                filename=one.filename,
                content_type=one.content_type,
                size=len(one.content),
                content_id=one.content_id,
            )
            for one in mail.attachments
        ],
        tracking=TrackingResponse(opens=found.tracking.opens, clicks=found.tracking.clicks),
        size=found.size,
        suppressed=found.suppressed,
    )


def _shown(party: Party) -> str:
    return f"{party.name} <{party.address}>" if party.name else party.address
