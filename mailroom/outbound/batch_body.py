"""The JSON request body of a batch. Only its shape is validated here; `mailroom.outbound.preparing` checks its content."""

import base64
import binascii
from collections.abc import Collection
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.outbound.message import LIMITS, Lane, ResendPolicy, Tracked
from mailroom.domain.times import duration
from mailroom.outbound.json_time import Time
from mailroom.outbound.request import Letter, Recipient, Request, RequestAttachment, RequestContent, Upload


def _base64(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    return text


class _RequestModel(BaseModel):
    # A misspelt field must fail: it would silently do nothing.
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class S3Object(_RequestModel):
    """An S3 object under this tenant's prefix in the bucket for attachments."""

    bucket: str
    key: str
    version: str = ""


class Attachment(_RequestModel):
    """An attachment: bytes in base64, an archive id or an S3 object. With `content_id` it is inline."""

    filename: str
    content_type: str | None = None
    content: Annotated[str, AfterValidator(_base64)] | None = None
    archive_id: str | None = None
    s3: S3Object | None = None
    content_id: str | None = None

    def attached(self) -> RequestAttachment:
        """Return it as a domain value."""
        return RequestAttachment(
            filename=self.filename,
            content_type=self.content_type,
            content_id=self.content_id,
            content=None if self.content is None else base64.b64decode(self.content),
            archive_id=self.archive_id,
            upload=None if self.s3 is None else Upload(self.s3.bucket, self.s3.key, self.s3.version),
        )


class _ContentModel(_RequestModel):
    subject: str
    text: str | None = None
    html: str | None = None
    reply_to: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    attachments: list[Attachment] = Field(default_factory=list)
    unsubscribe: bool | str | None = Field(
        default=None,
        description="One-click unsubscribe (RFC 8058): your https URL, or true for a link of this installation",
    )

    def words(self) -> RequestContent:
        """Return the content as a domain value."""
        return RequestContent(
            subject=self.subject,
            text=self.text,
            html=self.html,
            reply_to=self.reply_to,
            headers=self.headers,
            attachments=tuple(attachment.attached() for attachment in self.attachments),
            unsubscribe=OURS if self.unsubscribe is True else self.unsubscribe or None,
        )


class Message(_ContentModel):
    """A message; with several addresses in `to`, one mail to each."""

    to: str | Annotated[list[str], Field(min_length=1, max_length=LIMITS.recipients_of_one)]
    metadata: dict[str, str] = Field(default_factory=dict)
    reference: str = Field(default="", description="Distinguishes several mails to one recipient in a batch")

    def letter(self, number: int) -> Letter:
        """Return it as a domain value."""
        where: tuple[str | int, ...] = ("messages", number)
        several = isinstance(self.to, list)
        recipients = tuple(
            Recipient(
                to=to,
                where=where,
                at=(*where, "to", at) if several else (*where, "to"),
                reference=self.reference,
                metadata=self.metadata,
            )
            for at, to in enumerate(self.to if isinstance(self.to, list) else [self.to])
        )
        return Letter(words=self.words(), where=where, recipients=recipients)


class Template(_ContentModel):
    """Jinja templates, rendered with each recipient's `data`; HTML is escaped."""


class TemplateRecipient(_RequestModel):
    """A recipient of a template, and the data to render it with."""

    to: str
    data: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)
    reference: str = ""
    attachments: list[Attachment] = Field(default_factory=list, description="Of this mail alone, after the template's")

    def recipient(self, number: int) -> Recipient:
        """Return it as a domain value."""
        where: tuple[str | int, ...] = ("recipients", number)
        return Recipient(
            to=self.to,
            where=where,
            at=(*where, "to"),
            reference=self.reference,
            data=self.data,
            metadata=self.metadata,
            attachments=tuple(attachment.attached() for attachment in self.attachments),
        )


class Tracking(_RequestModel):
    """Tracking of opens and clicks: by the provider where it supports it, otherwise by links of this installation."""

    opens: bool = False
    clicks: bool = False


class NewBatch(_RequestModel):
    """Either `messages`, or a `template` with `recipients`."""

    from_: str | None = Field(
        default=None, alias="from", description="By default the sender in the installation's settings"
    )
    messages: list[Message] | None = None
    template: Template | None = None
    recipients: list[TemplateRecipient] | None = None
    lane: Lane | None = Field(default=None, description="By default transactional for messages, bulk for a template")
    stream: str | None = Field(
        default=None,
        description="What a recipient leaves by unsubscribing, such as weekly-news: small letters, digits, - and _. "
        "By default the lane, or bulk for a batch that offers an unsubscribe",
    )
    policy: ResendPolicy = ResendPolicy.PREFER_NO_DUPLICATE
    send_at: Time | None = None
    send_in: Annotated[str, Field(pattern=r"^[0-9]{1,7}[smhd]$")] | None = Field(
        default=None,
        description="Instead of send_at: 90s, 15m, 2h or 3d after it is accepted; the same body again is the same batch",
    )
    expires_at: Time | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    tracking: Tracking = Field(default_factory=Tracking, description="By default nothing is tracked")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.messages is None) == (self.template is None) or (self.template is None) != (self.recipients is None):
            raise ValueError("set either messages, or a template with recipients")
        if self.send_at is not None and self.send_in is not None:
            raise ValueError("either send_at or send_in")
        return self

    def request(
        self,
        default_sender: str,
        *,
        letters: Collection[Letter] | None = None,
        recipients: Collection[Recipient] | None = None,
    ) -> Request:
        """Return the request as a domain value; `letters` and `recipients` replace those that were parsed separately."""
        if self.template is not None:
            if recipients is None:
                recipients = tuple(one.recipient(number) for number, one in enumerate(self.recipients or ()))
            words = self.template.words()
            letters = (Letter(words=words, where=("template",), recipients=recipients, template=True),)
        elif letters is None:
            letters = tuple(message.letter(number) for number, message in enumerate(self.messages or ()))
        return Request(
            from_=default_sender if self.from_ is None else self.from_,
            letters=letters,
            lane=self.lane or (Lane.BULK if self.template else Lane.TRANSACTIONAL),
            policy=self.policy,
            send_at=self.send_at,
            send_in=None if self.send_in is None else duration(self.send_in),
            expires_at=self.expires_at,
            metadata=self.metadata,
            tracking=Tracked(opens=self.tracking.opens, clicks=self.tracking.clicks),
            stream=self.stream,
        )
