"""Delivery events as stored JSON, and back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailroom.domain.delivery.events import Actor, DeliveryEvent, Kind
from mailroom.domain.errors import PermanentError
from mailroom.domain.times import happened

_ENGAGEMENT = frozenset({Kind.OPENED, Kind.CLICKED})


def event_values(event: DeliveryEvent) -> dict[str, Any]:
    """Return an event as it is stored, for JSON; `actor` only for opens and clicks, which machines cause too."""
    values = {
        "provider": event.provider,
        "event_id": event.event_id,
        "kind": event.kind,
        "at": event.at.isoformat(),
        "provider_message_id": event.provider_message_id,
        "message_id": event.message_id,
        "recipient": event.recipient,
        "tenant": event.tenant,
        "actor": event.actor if event.kind in _ENGAGEMENT else None,
        "facts": dict(event.facts),
    }
    # An earlier release reads parked events too, and knows no attempt.
    return values if event.attempt is None else {**values, "attempt": event.attempt}


def event_of(stored: Mapping[str, Any], *, received_at: datetime) -> DeliveryEvent:
    """Return the stored event; an impossible time is replaced by the time of its receipt.

    Raises:
        Exception: of any class; the stored value is not an event.
    """
    if not all(isinstance(stored[name], str) for name in ("provider", "event_id")):
        raise PermanentError("an event has no id")
    values = {
        "kind": Kind(stored["kind"]),
        "at": happened(datetime.fromisoformat(stored["at"]), received_at=received_at),
        "actor": Actor(stored["actor"] or Actor.UNKNOWN),
    }
    return DeliveryEvent(**{**stored, **values})
