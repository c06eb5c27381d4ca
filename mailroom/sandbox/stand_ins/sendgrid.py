"""A stand-in for SendGrid."""

from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.moods import RETRY_AFTER_S, Mood
from mailroom.sandbox.stand_ins.vendors import Said, Vendor


class SendGridStandIn(Vendor):
    """POST /v3/mail/send."""

    made_with: ClassVar[dict[str, str]] = {"key": "k", "account": "a"}
    without: ClassVar[frozenset[Mood]] = frozenset({Mood.DAILY})
    refusals: ClassVar[dict[Mood, Said]] = {
        Mood.SLOW: Said(429, {"errors": [{"message": "too many requests"}]}, {"Retry-After": str(RETRY_AFTER_S)}),
        Mood.STOPPED: Said(401, {"errors": [{"message": "authorization required"}]}),
        Mood.REFUSES: Said(400, {"errors": [{"message": "not a valid address: bob@example.com", "field": "to"}]}),
        Mood.TOO_LARGE: Said(413, {"errors": [{"message": "payload too large"}]}),
    }

    def accept(self, payload: Any) -> Said:
        """Count the mail; its id is in a header, the body is empty. A mail without parts, or with an empty one, is refused."""
        if not payload["content"] or not all(part["value"] for part in payload["content"]):
            return Said(400, {"errors": [{"message": "the content value is empty", "field": "content.0.value"}]})
        self.accepted += [one["custom_args"]["mailroom-id"] for one in payload["personalizations"]]
        return Said(202, headers={"X-Message-Id": f"sg-{len(self.accepted)}"})
