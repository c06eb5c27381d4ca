"""The reader of a page: who it is, language and time zone, for the time of one request.

The guard sets the reader from the request; `mailroom.api.scopes` puts what a person has chosen in its place. It is a
context variable, so that no route and no template has to pass it on: one that forgot would be in English, or without its button to sign out. Threads of routes
get a copy of the context.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from mailroom.domain.languages import LANGUAGES as LANGUAGES
from mailroom.ports.api_keys import Holder

#: Characters and entries of an Accept-Language header that are read.
_MOST, _ENTRIES = 500, 20


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a page: a language of `LANGUAGES`, the time zone of the times shown, and the holder who was admitted, if any."""

    language: str = LANGUAGES[0]
    zone: str = "UTC"
    holder: Holder | None = None

    @property
    def time_zone(self) -> ZoneInfo:
        """The zone with its rules."""
        return ZoneInfo(self.zone)


_DEFAULT = Reader()
_READER: ContextVar[Reader] = ContextVar("reader", default=_DEFAULT)


def reader() -> Reader:
    """Return the reader of the page that is being made; outside of a request one who reads English, in UTC."""
    return _READER.get()


@contextmanager
def read_by(accepted: str | None, zone: str) -> Iterator[None]:
    """Make pages for the sender of an Accept-Language header, inside the block."""
    token = _READER.set(Reader(language_of(accepted), zone))
    try:
        yield
    finally:
        _READER.reset(token)


def read_as(holder: Holder) -> None:
    """Make what follows of this response for a holder, who may have chosen a language and a time zone."""
    found = replace(reader(), holder=holder)
    if holder.language in LANGUAGES:
        found = replace(found, language=holder.language)
    if holder.zone is not None:
        found = replace(found, zone=holder.zone.key)
    _READER.set(found)


def language_of(accepted: str | None) -> str:
    """Return the language of `LANGUAGES` that an Accept-Language header wants most (RFC 9110, section 12.5.4).

    A regional one counts as its language, `*` and what cannot be read as nothing.
    """
    wanted: list[tuple[float, str]] = []
    for entry in (accepted or "")[:_MOST].split(",")[:_ENTRIES]:
        tag, _, parameters = entry.partition(";")
        language = tag.strip().lower().partition("-")[0]
        quality = _quality(parameters)
        if language in LANGUAGES and quality > 0:
            wanted.append((quality, language))
    # Of equal ones the first: `max` keeps it.
    return max(wanted, key=lambda one: one[0])[1] if wanted else LANGUAGES[0]


def _quality(parameters: str) -> float:
    name, _, value = parameters.strip().partition("=")
    if name.strip().lower() != "q":
        return 1.0
    try:
        quality = float(value)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0
