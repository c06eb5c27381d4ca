"""The guard against mail storms: who counts as the sender of an e-mail, and for which tenants it is held."""

import re
from collections.abc import Sequence
from datetime import datetime

from mailroom.domain.inbound.auto_replies import headers_of
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.inbound.routing import Route, normalise
from mailroom.ports.sender_limit import SenderLimit

#: A From field is read up to here.
_MOST_LETTERS = 4 * 1024
_ADDRESS = re.compile(r"<([^<>\s]{1,320})>\s*$|([^\s<>()\",;:]{1,64}@[^\s<>()\",;:]{1,255})")


def held_tenants(limit: SenderLimit, entry: Entry, raw: bytes, routes: Sequence[Route], *, now: datetime) -> set[str]:
    """Count the e-mail for the inboxes of its routes, and return the tenants for which it is held."""
    inboxes = {(to.tenant, to.recipient) for to in routes}
    if not inboxes:
        return set()
    return limit.held(entry.id, sender_of(entry, raw), inboxes, received_at=entry.received_at or now)


def sender_of(entry: Entry, raw: bytes) -> str:
    """Return the sender in the spelling that is counted: of the SMTP envelope, else of the first From field; "" if neither.

    Bounces have no sender in their envelope, and an e-mail whose notification never came has no envelope.
    """
    if entry.envelope and entry.envelope.sender:
        return _spelled(entry.envelope.sender)
    written = (headers_of(raw) or {}).get("from", [""])[0][:_MOST_LETTERS]
    found = list(_ADDRESS.finditer(written))
    # The address in angle brackets closes the field; another may stand in the name before it.
    in_angles = next((one[1] for one in reversed(found) if one[1]), None)
    return _spelled(in_angles or (found[0][2] if found else written))


def _spelled(address: str) -> str:
    try:
        return normalise(address)
    except ValueError:
        return address.strip().lower()[:_MOST_LETTERS]
