"""Whose mail is this, and may it be filed?"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound import Entry, Verdicts
from mailroom.domain.notifications import received_recipients
from mailroom.domain.routing import Route, candidates, route
from mailroom.domain.trust import stop_reason
from mailroom.ports import Directory, Ledger

#: The archive's tenant for mail that nobody here receives: the installation itself.
NOBODY = "unrouted"


@dataclass(frozen=True, slots=True)
class Way:
    """Where a mail goes: its routes, the tenants that archive it, and, when it must not be filed, why."""

    routes: tuple[Route, ...]
    tenants: tuple[str, ...]
    stop: Reason | None = None


def find_way(entry: Entry, raw: bytes, *, directory: Directory, ledger: Ledger, now: datetime) -> Way:
    """Return the mail's way, recorded in the ledger with its reasons.

    Recipients and verdicts come from SES's notification. Where only the bucket told of the mail, the recipient comes
    from the header block that SES itself prepended, and no check counts as passed.
    """
    if entry.envelope is not None:
        recipients, verdicts = entry.envelope.recipients, entry.envelope.verdicts
    else:
        recipients, verdicts = received_recipients(raw, message_id=entry.ref.message_id), Verdicts()
    try:
        routes = route(recipients, directory.lookup(_patterns(recipients)))
    except Quarantined as stop:
        return Way((), (NOBODY,), stop.reason)
    ledger.routed(entry.id, routes, now=now)
    return Way(tuple(routes), tuple(sorted({to.tenant for to in routes})), stop_reason(verdicts))


def _patterns(recipients: Sequence[str]) -> list[str]:
    patterns: dict[str, None] = {}
    for recipient in recipients:
        try:
            patterns.update(dict.fromkeys(candidates(recipient)))
        except ValueError:
            continue  # Not an address: it has no route, and `route` says so.
    return list(patterns)
