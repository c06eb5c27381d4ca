"""Restart policy of a part: restarts after 1, 2, 4, 8 and 16 s, and none after a sixth death within ten minutes.

Deaths older than ten minutes do not count, so that a part that dies once a day is always restarted within seconds.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

#: The number of deaths within `WITHIN_S` after which a part is still restarted.
MOST_DEATHS = 5
WITHIN_S = 600.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


@dataclass(slots=True)
class Deaths:
    """The deaths of one part since the stack was started."""

    restarts: int = 0
    last_at: datetime | None = None
    last_of: str = ""
    _recent: list[float] = field(default_factory=list)

    def note(self, what: str, *, now: float) -> float | None:
        """Record a death at `now` (monotonic); return the seconds until its restart, None for no restart."""
        self.last_at, self.last_of = datetime.now(UTC), what
        self._recent = [at for at in self._recent if now - at < WITHIN_S] + [now]
        if len(self._recent) > MOST_DEATHS:
            return None
        return float(min(_FIRST_PAUSE_S * 2 ** (len(self._recent) - 1), _LONGEST_PAUSE_S))

    def as_json(self) -> dict[str, Any]:
        """Return what `status` shows."""
        at = self.last_at.isoformat(timespec="seconds") if self.last_at else None
        return {"restarts": self.restarts, "last_death_at": at, "last_death": self.last_of or None}
