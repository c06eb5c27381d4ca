"""Between delivery events and their rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mailroom.domain.delivery import Actor, DeliveryEvent, Kind

_LOOKED = frozenset({Kind.OPENED, Kind.CLICKED})


def event_values(event: DeliveryEvent) -> dict[str, Any]:
    """Return an event as it is stored, for JSON; who did it is told only of what machines do too."""
    return {
        "provider": event.provider,
        "event_id": event.event_id,
        "kind": event.kind,
        "at": event.at.isoformat(),
        "provider_message_id": event.provider_message_id,
        "message_id": event.message_id,
        "recipient": event.recipient,
        "tenant": event.tenant,
        "actor": event.actor if event.kind in _LOOKED else None,
        "facts": dict(event.facts),
    }


def event_of(stored: Mapping[str, Any]) -> DeliveryEvent:
    """Return the event that was stored."""
    told = {
        "kind": Kind(stored["kind"]),
        "at": datetime.fromisoformat(stored["at"]),
        "actor": Actor(stored["actor"] or Actor.UNKNOWN),
    }
    return DeliveryEvent(**{**stored, **told})
