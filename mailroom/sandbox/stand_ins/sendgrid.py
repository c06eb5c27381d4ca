"""A stand-in for SendGrid."""

import re
from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.behaviours import RETRY_AFTER_S, Behaviour
from mailroom.sandbox.stand_ins.vendors import Vendor, VendorAnswer

#: The one parameter that it takes (github.com/sendgrid/sendgrid-nodejs, issue 1313).
_INVITATION = re.compile(r"^text/calendar; ?method=[\w-]+$")


class SendGridStandIn(Vendor):
    """POST /v3/mail/send."""

    made_with: ClassVar[dict[str, str]] = {"key": "k", "account": "a"}
    without: ClassVar[frozenset[Behaviour]] = frozenset({Behaviour.DAILY})
    refusals: ClassVar[dict[Behaviour, VendorAnswer]] = {
        Behaviour.SLOW: VendorAnswer(
            429, {"errors": [{"message": "too many requests"}]}, {"Retry-After": str(RETRY_AFTER_S)}
        ),
        Behaviour.STOPPED: VendorAnswer(401, {"errors": [{"message": "authorization required"}]}),
        Behaviour.REFUSES: VendorAnswer(
            400, {"errors": [{"message": "not a valid address: bob@example.com", "field": "to"}]}
        ),
        Behaviour.TOO_LARGE: VendorAnswer(413, {"errors": [{"message": "payload too large"}]}),
    }

    def accept(self, payload: Any) -> VendorAnswer:
        """Count the mail and respond with its id in a header; a mail without parts, or with an empty one, is refused."""
        if not payload["content"] or not all(part["value"] for part in payload["content"]):
            return VendorAnswer(
                400, {"errors": [{"message": "the content value is empty", "field": "content.0.value"}]}
            )
        for number, file in enumerate(payload.get("attachments", ())):
            if ";" in _INVITATION.sub("", file["type"]):
                fault = "The attachment type cannot contain ';', or CRLF characters."
                return VendorAnswer(400, {"errors": [{"message": fault, "field": f"attachments.{number}.type"}]})
        self.accepted += [one["custom_args"]["mailroom-id"] for one in payload["personalizations"]]
        return VendorAnswer(202, headers={"X-Message-Id": f"sg-{len(self.accepted)}"})
