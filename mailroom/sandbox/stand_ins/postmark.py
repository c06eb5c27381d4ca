"""A stand-in for Postmark."""

from typing import Any, ClassVar

from mailroom.sandbox.stand_ins.behaviours import RETRY_AFTER_S, Behaviour
from mailroom.sandbox.stand_ins.vendors import Vendor, VendorAnswer


class PostmarkStandIn(Vendor):
    """POST /email/batch, GET /messages/outbound."""

    made_with: ClassVar[dict[str, str]] = {"token": "t", "server": "s"}
    without: ClassVar[frozenset[Behaviour]] = frozenset({Behaviour.DAILY})
    refusals: ClassVar[dict[Behaviour, VendorAnswer]] = {
        Behaviour.SLOW: VendorAnswer(
            429, {"ErrorCode": 429, "Message": "Rate limit exceeded"}, {"Retry-After": str(RETRY_AFTER_S)}
        ),
        Behaviour.STOPPED: VendorAnswer(401, {"ErrorCode": 10, "Message": "Bad or missing API token"}),
        Behaviour.REFUSES: VendorAnswer(422, {"ErrorCode": 300, "Message": "Invalid 'To' address: 'bob@example.com'."}),
        Behaviour.TOO_LARGE: VendorAnswer(413, {"ErrorCode": 0, "Message": "Request too large"}),
    }

    def __init__(self) -> None:
        super().__init__()
        #: Addresses that had a hard bounce: refused one by one inside a batch.
        self.inactive: set[str] = set()

    def accept(self, payload: Any) -> VendorAnswer:
        """Count each mail that is not to an inactive address."""
        return VendorAnswer(200, [self._one(mail) for mail in payload])

    def look(self, path: str, query: dict[str, list[str]]) -> VendorAnswer:
        """Search by metadata."""
        tag = query.get("metadata_mailroom-id", [""])[0]
        numbers = [number for number, known in enumerate(self.accepted, 1) if known == tag]
        messages = [{"MessageID": f"pm-{number}", "Metadata": {"mailroom-id": tag}} for number in numbers]
        return VendorAnswer(200, {"TotalCount": len(numbers), "Messages": messages})

    def _one(self, mail: Any) -> dict[str, Any]:
        if any(address in mail["To"] for address in self.inactive):
            return {"ErrorCode": 406, "Message": f"inactive recipient: {mail['To']}"}
        self.accepted.append(mail["Metadata"]["mailroom-id"])
        return {"ErrorCode": 0, "Message": "OK", "MessageID": f"pm-{len(self.accepted)}", "To": mail["To"]}
