"""A stand-in for Toy."""

from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.moods import RETRY_AFTER_S, Mood
from mailroom.sandbox.stand_ins.vendors import Said, Vendor


class ToyStandIn(Vendor):
    """POST /send."""

    made_with: ClassVar[dict[str, str]] = {"token": "t"}
    without: ClassVar[frozenset[Mood]] = frozenset({Mood.DAILY})
    refusals: ClassVar[dict[Mood, Said]] = {
        Mood.SLOW: Said(429, {"error": "slow down"}, {"Retry-After": str(RETRY_AFTER_S)}),
        Mood.STOPPED: Said(401, {"error": "unknown token"}),
        Mood.REFUSES: Said(400, {"error": "no such address: bob@example.com"}),
        Mood.TOO_LARGE: Said(413, {"error": "too large"}),
    }

    def accept(self, payload: Any) -> Said:
        """Count the mail by its tag."""
        self.accepted.append(payload["tags"]["mailroom-id"])
        return Said(200, {"id": f"toy-{len(self.accepted)}"})
