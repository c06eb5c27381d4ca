"""Limits of provider calls, and converters from their JSON values to ours.

A verified call is the provider's, but recipients and their servers wrote parts of it: every text is checked before it is
stored, none that may name a person is stored, and an unusable value raises nothing: it becomes None or empty.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr
from typing import Any

from mailroom.domain.delivery.engagement import actor_of
from mailroom.domain.delivery.events import LOOKS, Actor, Kind
from mailroom.domain.errors import PermanentError

MOST_BODY_BYTES = 1024 * 1024
MOST_EVENTS = 1000

#: Name of our message id in the tags, arguments and metadata that are sent with a mail and returned in its events.
OUR_ID = "mailroom-id"
CORRELATION_HEADER = "x-correlation-id"

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,79}")
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_CODES = re.compile(r"\b([245]\d\d)\b(?:[ -](\d\.\d{1,3}\.\d{1,3})\b)?")


class Unreadable(PermanentError):
    """A verified call does not have the form that its provider documents; none of it can be used."""


def load(body: bytes | str) -> Any:
    """Return the value of a JSON text.

    Raises:
        Unreadable: the text is not JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("a call is not JSON", size=len(body)) from None


def table(value: object) -> Mapping[str, Any]:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def identifier(value: object) -> str | None:
    """Return an id, the provider's or ours, or None if the value cannot be one."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if _ID.fullmatch(text) else None


def digest(*parts: object) -> str:
    """Return an id for an event without one: a hash, equal for equal parts, from which no address can be read."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:40]


def words(**values: object) -> dict[str, str]:
    """Return the values that look like a provider's words or codes; free text from mail servers is left out."""
    fields = {name: str(value) for name, value in values.items() if isinstance(value, (str, int))}
    return {name: text for name, text in fields.items() if _WORD.fullmatch(text)}


def codes(text: object) -> dict[str, str]:
    """Return the SMTP codes in a server's answer; its text is left out, for it may name the recipient."""
    match = _CODES.search(text[:500]) if isinstance(text, str) else None
    if match is None:
        return {}
    return {"smtp_code": match[1]} | ({"status": match[2]} if match[2] else {})


def moment(*values: object) -> datetime | None:
    """Return the first of `values` that is a time: ISO 8601, or seconds since 1970."""
    return next((time for time in map(_moment, values) if time is not None), None)


def _moment(value: object) -> datetime | None:
    try:
        if isinstance(value, str):
            time = datetime.fromisoformat(value)
            return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


def mailbox(value: object) -> str | None:
    """Return the address in `Name <address>` or a bare address; None if there is none."""
    if not isinstance(value, str) or len(value) > 1000:
        return None
    address = parseaddr(value)[1] or value
    return address if "@" in address and address.isprintable() else None


def reader_of(kind: Kind, user_agent: object, *, after: timedelta | None = None) -> Actor:
    """Return who opened or clicked, judged by the user agent; `UNKNOWN` for events of other kinds."""
    if kind not in LOOKS:
        return Actor.UNKNOWN
    return actor_of(user_agent if isinstance(user_agent, str) else None, after=after)


def first(values: Iterable[Any]) -> Any:
    """Return the first of `values`, or None."""
    return next(iter(values), None)


def plain(word: object) -> str:
    """Return a word without its capitals and outer blanks, or "": a provider's APIs differ in them."""
    return word.strip().lower() if isinstance(word, str) else ""
