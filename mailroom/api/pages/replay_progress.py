"""Progress of a replay on its page: states grouped by what they mean."""

from collections.abc import Mapping

from mailroom.api.pages.batch_progress import Segment, Tone
from mailroom.domain.inbound.replaying import ReplayState
from mailroom.ports.replays import Replay

_TONES: Mapping[ReplayState, Tone] = {
    ReplayState.WAITING: Tone.WAITING,
    ReplayState.REQUESTED: Tone.GONE,
    ReplayState.FILED: Tone.GOOD,
    ReplayState.AGAIN: Tone.GOOD,
    ReplayState.QUARANTINED: Tone.UNSURE,
    ReplayState.FAILED: Tone.BAD,
    ReplayState.REFUSED: Tone.BAD,
    ReplayState.NOT_BEGUN: Tone.BAD,
    ReplayState.SKIPPED: Tone.WITHHELD,
}


def replay_tone(state: ReplayState) -> Tone:
    """Return what a state means."""
    return _TONES[state]


def bar(replay: Replay) -> list[Segment]:
    """Return the segments of a replay's progress bar."""
    total, parts, x = max(replay.mails, 1), [], 0.0
    for tone in Tone:
        width = 100 * sum(count for state, count in replay.states.items() if _TONES[state] is tone) / total
        if width:
            parts.append(Segment(tone, round(x, 3), round(width, 3)))
        x += width
    return parts


def refresh_s(replay: Replay) -> int | None:
    """Return after how many seconds the page should refresh; None when nothing changes any more."""
    if replay.states.get(ReplayState.WAITING):
        return 2
    return 5 if replay.left else None
