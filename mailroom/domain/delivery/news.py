"""What tenants are told of their messages, and how long a deaf endpoint is waited for."""

import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import Status

#: Every word that an activity may have.
KINDS = frozenset({*Status, *Kind})
#: What an endpoint is told that did not choose: not each step within our own walls.
USUAL = KINDS - {Status.ACCEPTED, Status.QUEUED, Status.SCHEDULED, Status.SENDING, Kind.SENT, Kind.OTHER}

#: An endpoint that fails for so long is disabled.
PATIENCE = timedelta(days=3)

#: How many things one POST tells; after a failure fewer, so that one that cannot be borne stands alone.
MOST = 100

_PRINTABLE = re.compile(r"[!-~]{1,2000}")
_FIRST, _LONGEST = timedelta(seconds=5), timedelta(hours=1)


def next_try(tries: int, now: datetime, *, jitter: float) -> datetime:
    """Return when to tell again after so many failures in a row; `jitter`, from 0 to 1, keeps endpoints apart."""
    pause: timedelta = min(_FIRST * 2 ** max(0, min(tries, 20)), _LONGEST)
    return now + pause * (0.75 + jitter / 2)


def most_after(tries: int) -> int:
    """Return how many things to tell at once after so many failures in a row."""
    return max(1, MOST >> max(0, min(tries, 20)))


def url_fault(url: str, *, private: bool) -> str | None:
    """Return what is wrong with a URL that is to be told, in a constant sentence, or None; where it leads is seen later."""
    try:
        parts = urlsplit(url)
        sound = parts.hostname is not None and parts.username is None and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not _PRINTABLE.fullmatch(url) or parts.scheme not in ("https", "http"):
        return "a webhook is an absolute https URL without a user"
    if parts.scheme == "http" and not private:
        return "a webhook is an https URL"
    return None
