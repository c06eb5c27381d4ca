"""What a caller asks to send, as it was written: nothing here is checked yet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from mailroom.domain.errors import Fault
from mailroom.domain.outbound.message import LIMITS, UNTRACKED, Lane, ResendPolicy, Tracked

_NONE: Mapping[str, Any] = MappingProxyType({})

#: As many faults of one request as it may have messages are listed; the list ends with `MORE_FAULTS` where there are more.
MOST_FAULTS = LIMITS.messages
MORE_FAULTS = Fault((), f"more is wrong than is listed here: these are the first {MOST_FAULTS} faults")


@dataclass(frozen=True, slots=True)
class Upload:
    """An object in the bucket where callers leave files."""

    bucket: str
    key: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAttachment:
    """A file with its bytes, or where they are: in the archive, or on the shelf. Exactly one of the three."""

    filename: str
    content_type: str | None = None
    content_id: str | None = None
    content: bytes | None = None
    archive_id: str | None = None
    upload: Upload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContent:
    """What a mail says."""

    subject: str
    text: str | None = None
    html: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    attachments: tuple[RequestAttachment, ...] = ()
    unsubscribe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """Who gets a mail, and what it is filled with. `where` is its place in the request, `at` that of its address."""

    to: str
    where: tuple[str | int, ...]
    at: tuple[str | int, ...]
    reference: str = ""
    data: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    metadata: Mapping[str, str] = field(default_factory=lambda: _NONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """Words and who gets them. `where` is the place of the words in the request; `template` says that they are to be filled."""

    words: RequestContent
    where: tuple[str | int, ...]
    recipients: Collection[Recipient]
    template: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to send: many letters to one recipient each, or one template to many.

    Letters and recipients may be read from a long body each time that they are looked at, so they are looked at in order.
    """

    from_: str
    letters: Collection[Letter]
    lane: Lane = Lane.TRANSACTIONAL
    policy: ResendPolicy = ResendPolicy.PREFER_NO_DUPLICATE
    send_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _NONE)
    tracking: Tracked = UNTRACKED
