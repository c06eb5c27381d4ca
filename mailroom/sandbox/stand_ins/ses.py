"""A stand-in for SES v2."""

import base64
from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.moods import Mood
from mailroom.sandbox.stand_ins.vendors import Said, Vendor


class SesStandIn(Vendor):
    """POST /v2/email/outbound-emails, GET /v2/email/account."""

    refusals: ClassVar[dict[Mood, Said]] = {
        mood: Said(status, {"message": text}, {"x-amzn-ErrorType": code})
        for mood, status, code, text in (
            (Mood.SLOW, 429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            (Mood.DAILY, 429, "TooManyRequestsException", "Daily message quota exceeded."),
            (Mood.STOPPED, 400, "SendingPausedException", "Sending is paused for this account."),
            (Mood.REFUSES, 400, "MessageRejected", "Email address is not verified: bob@example.com"),
            (Mood.TOO_LARGE, 413, "RequestEntityTooLarge", "Too large."),
        )
    }

    def __init__(self) -> None:
        super().__init__()
        self.account: dict[str, Any] = {
            "SendingEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "SendQuota": {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 12.0},
        }

    def accept(self, payload: Any) -> Said:
        """Count the mail by its tag."""
        tags = {tag["Name"]: tag["Value"] for tag in payload["EmailTags"]}
        payload["raw"] = base64.b64decode(payload["Content"]["Raw"]["Data"])
        self.accepted.append(tags["mailroom-id"])
        return Said(200, {"MessageId": f"ses-{len(self.accepted)}"})

    def look(self, path: str, query: dict[str, list[str]]) -> Said:
        """Tell of the account."""
        self.requests += 1
        return Said(200, self.account)
