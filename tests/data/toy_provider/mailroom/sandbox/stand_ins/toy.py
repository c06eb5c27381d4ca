"""A stand-in for Toy."""

from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.behaviours import RETRY_AFTER_S, Behaviour
from mailroom.sandbox.stand_ins.vendors import Vendor, VendorAnswer


class ToyStandIn(Vendor):
    """POST /send."""

    made_with: ClassVar[dict[str, str]] = {"token": "t"}
    without: ClassVar[frozenset[Behaviour]] = frozenset({Behaviour.DAILY})
    #: It has no codes of its own, so the HTTP status decides: a 400 is the mail.
    names_recipients: ClassVar[bool] = False
    refusals: ClassVar[dict[Behaviour, VendorAnswer]] = {
        Behaviour.SLOW: VendorAnswer(429, {"error": "slow down"}, {"Retry-After": str(RETRY_AFTER_S)}),
        Behaviour.STOPPED: VendorAnswer(401, {"error": "unknown token"}),
        Behaviour.REFUSES: VendorAnswer(400, {"error": "no such address: bob@example.com"}),
        Behaviour.TOO_LARGE: VendorAnswer(413, {"error": "too large"}),
    }

    def accept(self, payload: Any) -> VendorAnswer:
        """Count the mail by its tag."""
        self.accepted.append(payload["tags"]["mailroom-id"])
        return VendorAnswer(200, {"id": f"toy-{len(self.accepted)}"})
