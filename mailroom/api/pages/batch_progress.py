"""Progress of a batch on its page: statuses grouped by what they mean to the sender."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailroom.domain.outbound.message import SendingStage, Status
from mailroom.ports.message_reader import BatchLine

_SOON = timedelta(seconds=30)


class Tone(StrEnum):
    """What a status means, in the order of the progress bar. Each is a CSS class."""

    GOOD = "good"
    GONE = "gone"
    BAD = "bad"
    UNSURE = "unsure"
    WITHHELD = "withheld"
    WAITING = "waiting"


_TONES: Mapping[SendingStage, Tone] = {
    SendingStage.WAITING: Tone.WAITING,
    SendingStage.DEFERRED: Tone.WAITING,
    SendingStage.HELD: Tone.UNSURE,
    SendingStage.SENDING: Tone.GONE,
    SendingStage.UNKNOWN: Tone.UNSURE,
    SendingStage.SENT: Tone.GONE,
    SendingStage.ARRIVED: Tone.GOOD,
    SendingStage.RETURNED: Tone.BAD,
    SendingStage.REFUSED: Tone.BAD,
    SendingStage.WITHHELD: Tone.WITHHELD,
}
_MOVING = frozenset({SendingStage.DEFERRED, SendingStage.SENT, SendingStage.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of the progress bar: `x` and `width` in hundredths."""

    tone: Tone
    x: float
    width: float


def tone(status: Status) -> Tone:
    """Return what a status means."""
    return _TONES[status.stage]


def segments(line: BatchLine) -> list[Segment]:
    """Return the segments of a batch's progress bar."""
    total, parts, x = max(sum(line.statuses.values()), 1), [], 0.0
    for one in Tone:
        width = 100 * sum(count for status, count in line.statuses.items() if tone(status) is one) / total
        if width:
            parts.append(Segment(one, round(x, 3), round(width, 3)))
        x += width
    return parts


def settled(line: BatchLine) -> int:
    """Return the number of messages in a final status here: they were sent, or will not be."""
    return sum(count for status, count in line.statuses.items() if status.is_final)


def refresh_s(line: BatchLine, now: datetime) -> int | None:
    """Return after how many seconds the batch's page should refresh; None when nothing changes any more."""
    if Status.SENDING in line.statuses or (line.next_at is not None and line.next_at <= now + _SOON):
        return 2
    moving = line.next_at is not None or any(status.stage in _MOVING for status in line.statuses)
    return 30 if moving else None
