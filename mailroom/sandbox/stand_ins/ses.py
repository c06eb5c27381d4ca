"""A stand-in for SES v2."""

import base64
from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.behaviours import Behaviour
from mailroom.sandbox.stand_ins.vendors import Vendor, VendorAnswer


class SesStandIn(Vendor):
    """POST /v2/email/outbound-emails, GET /v2/email/account."""

    names_recipients: ClassVar[bool] = False
    refusals: ClassVar[dict[Behaviour, VendorAnswer]] = {
        behaviour: VendorAnswer(status, {"message": text}, {"x-amzn-ErrorType": code})
        for behaviour, status, code, text in (
            (Behaviour.SLOW, 429, "TooManyRequestsException", "Maximum sending rate exceeded."),
            (Behaviour.DAILY, 429, "TooManyRequestsException", "Daily message quota exceeded."),
            (Behaviour.STOPPED, 400, "SendingPausedException", "Sending is paused for this account."),
            (Behaviour.REFUSES, 400, "MessageRejected", "Illegal address: bob@example.com"),
            (Behaviour.TOO_LARGE, 413, "RequestEntityTooLarge", "Too large."),
        )
    }

    def __init__(self) -> None:
        super().__init__()
        self.account: dict[str, Any] = {
            "SendingEnabled": True,
            "EnforcementStatus": "HEALTHY",
            "SendQuota": {"Max24HourSend": 50_000.0, "MaxSendRate": 14.0, "SentLast24Hours": 12.0},
        }

    def accept(self, payload: Any) -> VendorAnswer:
        """Count the mail by its tag."""
        tags = {tag["Name"]: tag["Value"] for tag in payload["EmailTags"]}
        payload["raw"] = base64.b64decode(payload["Content"]["Raw"]["Data"])
        self.accepted.append(tags["mailroom-id"])
        return VendorAnswer(200, {"MessageId": f"ses-{len(self.accepted)}"})

    def look(self, path: str, query: dict[str, list[str]]) -> VendorAnswer:
        """Return the account."""
        self.requests += 1
        return VendorAnswer(200, self.account)
