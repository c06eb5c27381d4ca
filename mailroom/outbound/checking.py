"""What may stand in a mail that we send. Each check raises a ValueError whose text is a constant sentence."""

import json
import re
from collections.abc import Mapping
from mimetypes import guess_type
from typing import Any

from mailroom.domain.delivery.unsubscribe import OURS
from mailroom.domain.mail.urls import plain_web_url
from mailroom.domain.outbound.message import LIMITS
from mailroom.outbound.addresses import has_break

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,76}")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*")
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}")
_URL = re.compile(r"https://[!-~]{1,1990}")
_REFERENCE = re.compile(r"[!-~]{0,200}")

#: Ours to write, the provider's, or a way to send to others than were checked.
_RESERVED = frozenset(
    {
        "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "return-path", "received",
        "dkim-signature", "domainkey-signature", "authentication-results", "mime-version", "list-unsubscribe",
        "list-unsubscribe-post", "x-correlation-id", "x-smtpapi", "feedback-id",
    }
)  # fmt: skip
_RESERVED_PREFIXES = ("content-", "resent-", "arc-", "x-ses-", "x-pm-", "x-mailroom-", "x-sg-")


def subject(text: str) -> None:
    """Check a subject."""
    _is_text(text)
    if has_break(text):
        raise ValueError("line breaks and control characters are not allowed in a subject")
    if not text.strip():
        raise ValueError("subject is required")
    if len(text) > LIMITS.subject:
        raise ValueError(f"subject too long: at most {LIMITS.subject} characters")


def body(text: str) -> None:
    """Check a text or HTML part."""
    _is_text(text)
    if "\x00" in text:
        raise ValueError("NUL characters are not allowed")


def header(name: str, value: str) -> None:
    """Check a custom header."""
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError("a header name may have ASCII letters, digits and dashes only")
    if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
        raise ValueError("this header cannot be set; Mailroom sets it, or it is not allowed")
    _is_text(value)
    if has_break(value):
        raise ValueError("line breaks and control characters are not allowed in a header value")
    if len(value) > LIMITS.header:
        raise ValueError(f"header value too long: at most {LIMITS.header} characters")


def filename(name: str) -> None:
    """Check the name of a file."""
    _is_text(name)
    if has_break(name):
        raise ValueError("line breaks and control characters are not allowed in a file name")
    if not name.strip(" .") or "/" in name or "\\" in name:
        raise ValueError("file name is required, without a path")
    if len(name.encode()) > 255:
        raise ValueError("file name too long: at most 255 bytes")


def content_type(written: str | None, name: str) -> str:
    """Return the media type of a file: what was written or, without, what its name suggests."""
    if written is None:
        return guess_type(name, strict=True)[0] or "application/octet-stream"
    kind = written.strip().lower()
    if not _TYPE.fullmatch(kind) or kind.startswith(("multipart/", "message/partial", "message/external-body")):
        raise ValueError("invalid media type for a file")
    return kind


def content_id(written: str) -> str:
    """Return the Content-ID of an inline part without brackets."""
    bare = written.removeprefix("<").removesuffix(">")
    if not _CONTENT_ID.fullmatch(bare):
        raise ValueError("invalid Content-ID")
    return bare


def unsubscribe(url: str) -> None:
    """Check a one-click unsubscribe URL (RFC 8058), or the wish for one of our own."""
    if url == OURS:
        return
    if not _URL.fullmatch(url) or "<" in url or ">" in url:
        raise ValueError("one-click unsubscribe must be an https URL")
    if plain_web_url(url) is None:
        raise ValueError("invalid host in the unsubscribe URL: write it as a browser shows it, without a user name")


def reference(written: str) -> None:
    """Check what tells two messages to one recipient apart."""
    if not _REFERENCE.fullmatch(written):
        raise ValueError("reference must be at most 200 printable ASCII characters")


def metadata(values: Mapping[str, str]) -> None:
    """Check what is kept for the caller."""
    if len(values) > LIMITS.metadata:
        raise ValueError(f"too many metadata entries: at most {LIMITS.metadata}")
    for name, value in values.items():
        _is_text(name + value)
        if has_break(name) or "\x00" in value or not 0 < len(name) <= 100 or len(value) > 1_000:
            raise ValueError("metadata names must have 1 to 100 characters, values at most 1000")


def data(values: Mapping[str, Any]) -> None:
    """Check what a template is filled with."""
    try:
        text = json.dumps(dict(values), ensure_ascii=False, allow_nan=False)
    except (ValueError, RecursionError):
        raise ValueError("data is not valid JSON") from None
    _is_text(text)
    if len(text.encode()) > LIMITS.data:
        raise ValueError(f"data of one recipient too large: at most {LIMITS.data} bytes")
    if "\\u0000" in text:
        raise ValueError("NUL characters are not allowed in data")


def _is_text(text: str) -> None:
    # JSON can spell halves of a surrogate pair, which no encoding can write.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("not valid Unicode text") from None
