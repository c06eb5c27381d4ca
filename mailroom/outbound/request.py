"""A request to send, as the caller wrote it: not validated yet."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from mailroom.domain.errors import Fault
from mailroom.domain.outbound.message import LIMITS, UNTRACKED, Lane, ResendPolicy, Tracked

#: Further ahead than any batch may be sent, and no time that cannot be calculated.
_FAR = timedelta(days=10 * LIMITS.schedule_days)
_NONE: Mapping[str, Any] = MappingProxyType({})

#: The limit of listed faults of one request (as many as messages); a longer list ends with `MORE_FAULTS`.
MOST_FAULTS = LIMITS.messages
MORE_FAULTS = Fault((), f"only the first {MOST_FAULTS} errors are listed")


@dataclass(frozen=True, slots=True)
class Upload:
    """An object in the bucket to which callers upload files."""

    bucket: str
    key: str
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestAttachment:
    """A file: its bytes, or their place in the archive or among the uploads. Exactly one of the three."""

    filename: str
    content_type: str | None = None
    content_id: str | None = None
    content: bytes | None = None
    archive_id: str | None = None
    upload: Upload | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContent:
    """The content of a mail."""

    subject: str
    text: str | None = None
    html: str | None = None
    reply_to: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)
    attachments: tuple[RequestAttachment, ...] = ()
    unsubscribe: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A recipient, and the data to render for it. `where` is its place in the request, `at` that of its address."""

    to: str
    where: tuple[str | int, ...]
    at: tuple[str | int, ...]
    reference: str = ""
    data: Mapping[str, Any] = field(default_factory=lambda: _NONE)
    metadata: Mapping[str, str] = field(default_factory=lambda: _NONE)
    attachments: tuple[RequestAttachment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A content and its recipients. `where` is the content's place in the request; `template`: it is rendered per recipient."""

    words: RequestContent
    where: tuple[str | int, ...]
    recipients: Collection[Recipient]
    template: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request to send: many letters to one recipient each, or one template to many.

    Letters and recipients may be parsed from a long body at each iteration, so they are only iterated over in order. `send_in`
    counts from when it is accepted, instead of `send_at`.
    """

    from_: str
    letters: Collection[Letter]
    lane: Lane = Lane.TRANSACTIONAL
    policy: ResendPolicy = ResendPolicy.PREFER_NO_DUPLICATE
    send_at: datetime | None = None
    expires_at: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=lambda: _NONE)
    tracking: Tracked = UNTRACKED
    stream: str | None = None
    send_in: timedelta | None = None

    def sends_at(self, now: datetime) -> datetime | None:
        """Return when it is sent if it is accepted `now`; None is at once."""
        return self.send_at if self.send_in is None else now + min(self.send_in, _FAR)
