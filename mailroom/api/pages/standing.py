"""How far a batch is, in what a page draws and says: statuses by what they mean to whoever sent it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailroom.domain.outbound.message import OPEN, WAITING, WITHHELD, Status
from mailroom.ports.follower import BatchLine

_SOON = timedelta(seconds=30)


class Tone(StrEnum):
    """What a status means, in the order of the bar. Each is a class of the style sheet."""

    GOOD = "good"
    GONE = "gone"
    BAD = "bad"
    UNSURE = "unsure"
    WITHHELD = "withheld"
    WAITING = "waiting"


_TONES: Mapping[Status, Tone] = {
    **dict.fromkeys((Status.DELIVERED, Status.OPENED, Status.CLICKED), Tone.GOOD),
    **dict.fromkeys((Status.SENDING, Status.DISPATCHED), Tone.GONE),
    **dict.fromkeys((Status.BOUNCED, Status.COMPLAINED, Status.REJECTED, Status.FAILED), Tone.BAD),
    **dict.fromkeys((Status.UNKNOWN, Status.HELD), Tone.UNSURE),
    **dict.fromkeys(WITHHELD, Tone.WITHHELD),
    **dict.fromkeys(WAITING, Tone.WAITING),
}


@dataclass(frozen=True, slots=True)
class Share:
    """A piece of the bar: from `x` on, `width` wide, in hundredths."""

    tone: Tone
    x: float
    width: float


def tone(status: Status) -> Tone:
    """Return what a status means."""
    return _TONES[status]


def shares(line: BatchLine) -> list[Share]:
    """Return the bar of a batch, piece by piece."""
    total, found, x = max(sum(line.statuses.values()), 1), [], 0.0
    for one in Tone:
        width = 100 * sum(count for status, count in line.statuses.items() if _TONES[status] is one) / total
        if width:
            found.append(Share(one, round(x, 3), round(width, 3)))
        x += width
    return found


def settled(line: BatchLine) -> int:
    """Return how many messages nothing more is done for here: they have gone, or will not."""
    return sum(count for status, count in line.statuses.items() if not _is_open(status))


def refresh_s(line: BatchLine, now: datetime) -> int | None:
    """Return after how many seconds a page of the batch is worth another look; None when nothing moves any more."""
    if Status.SENDING in line.statuses or (line.next_at is not None and line.next_at <= now + _SOON):
        return 2
    moving = line.next_at is not None or {Status.DISPATCHED, Status.DEFERRED, Status.UNKNOWN} & line.statuses.keys()
    return 30 if moving else None


def _is_open(status: Status) -> bool:
    return status in OPEN
