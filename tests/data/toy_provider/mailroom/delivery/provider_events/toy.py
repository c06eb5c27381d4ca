"""Toy's webhooks: one JSON object a call, with a password in a header."""

import hmac
from collections.abc import Sequence
from datetime import datetime

from mailroom.delivery.provider_events.calls import Call
from mailroom.delivery.provider_events.credentials import Credential
from mailroom.delivery.provider_events.fields import OUR_ID, Unreadable, identifier, load, mailbox, moment, table
from mailroom.delivery.provider_events.sns import Unverified
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.times import happened

PROVIDER = "toy"
_KINDS = {"arrived": Kind.DELIVERED, "returned": Kind.BOUNCED_HARD}


class Verifier:
    """Checks calls against the passwords of the accounts that may post."""

    status = 401

    def __init__(self, passwords: Sequence[Credential]) -> None:
        self._passwords = passwords

    def verify(self, call: Call) -> str | None:
        """Return whose account this call is of; see `CallVerifier`."""
        given = call.header("x-toy-password").encode()
        matches = [one.tenant for one in self._passwords if hmac.compare_digest(one.secret.encode(), given)]
        if not matches:
            raise Unverified("not a verified Toy call", step="password")
        return matches[0]


def read(body: bytes, *, received_at: datetime) -> list[DeliveryEvent]:
    """Return the event of a call; see `Reader`."""
    said = load(body)
    event_id = identifier(table(said).get("event"))
    if event_id is None:
        raise Unreadable("Toy's call is no event", size=len(body))
    return [
        DeliveryEvent(
            provider=PROVIDER,
            event_id=event_id,
            kind=_KINDS.get(said.get("what"), Kind.OTHER),
            at=happened(moment(said.get("at")), received_at=received_at),
            provider_message_id=identifier(said.get("id")),
            message_id=identifier(table(said.get("tags")).get(OUR_ID)),
            recipient=mailbox(said.get("to")),
        )
    ]
