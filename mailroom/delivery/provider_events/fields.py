"""What all providers' calls have in common: limits, and how a value of theirs becomes one of ours.

A call that was verified is the provider's, but what stands in it was partly written by recipients and by their servers:
every text is checked before it is kept, none is kept that may name a person, and nothing here ever raises for one.
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

#: What our id is called in the tags, arguments and metadata that go out with a mail and come back with its events.
OUR_ID = "mailroom-id"
CORRELATION_HEADER = "x-correlation-id"

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,79}")
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_CODES = re.compile(r"\b([245]\d\d)\b(?:[ -](\d\.\d{1,3}\.\d{1,3})\b)?")


class Unreadable(PermanentError):
    """A verified call is not what its provider documents; nothing of it can be used."""


def load(body: bytes | str) -> Any:
    """Return what the JSON says.

    Raises:
        Unreadable: it is none.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Unreadable("a call is not JSON", size=len(body)) from None


def table(value: object) -> Mapping[str, Any]:
    """Return `value` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> list[Any]:
    """Return `value` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def identifier(value: object) -> str | None:
    """Return an id of the provider's or of ours, or None where it cannot be one."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if _ID.fullmatch(text) else None


def digest(*parts: object) -> str:
    """Return an id for what has none: the same for the same parts, and nobody's address in it."""
    return hashlib.sha256(json.dumps([str(part) for part in parts]).encode()).hexdigest()[:40]


def words(**values: object) -> dict[str, str]:
    """Return those values that are a provider's words or codes; texts that a server wrote are none."""
    fields = {name: str(value) for name, value in values.items() if isinstance(value, (str, int))}
    return {name: text for name, text in fields.items() if _WORD.fullmatch(text)}


def codes(text: object) -> dict[str, str]:
    """Return the SMTP codes of a server's answer; its words may name the recipient."""
    found = _CODES.search(text[:500]) if isinstance(text, str) else None
    if found is None:
        return {}
    return {"smtp_code": found[1]} | ({"status": found[2]} if found[2] else {})


def moment(*values: object) -> datetime | None:
    """Return the first of these that is a time: ISO 8601, or seconds since 1970."""
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
    """Return the address in `Name <address>` or in a bare address; None where there is none."""
    if not isinstance(value, str) or len(value) > 1000:
        return None
    address = parseaddr(value)[1] or value
    return address if "@" in address and address.isprintable() else None


def reader_of(kind: Kind, user_agent: object, *, after: timedelta | None = None) -> Actor:
    """Return who opened or clicked, by what the program says of itself; of any other kind of event nobody did."""
    if kind not in LOOKS:
        return Actor.UNKNOWN
    return actor_of(user_agent if isinstance(user_agent, str) else None, after=after)


def first(values: Iterable[Any]) -> Any:
    """Return the first of `values`, or None."""
    return next(iter(values), None)
