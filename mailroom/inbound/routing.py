"""Whose mail is this, and may it be filed?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.notifications import received_recipients, received_verdicts
from mailroom.domain.inbound.received_email import Entry, Verdict, Verdicts
from mailroom.domain.inbound.routing import Route, route, wanted
from mailroom.domain.inbound.trust import stop_reason
from mailroom.domain.tenants import NOBODY
from mailroom.ports.directory import Directory
from mailroom.ports.ledger import Ledger
from mailroom.ports.scanner import Scanner


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Where a mail goes: its routes, the tenants that archive it, and, when it must not be filed, why.

    `held` has the reason of each tenant whose policy holds the mail back; where that is every tenant, it is `stop`.
    `recipients` and `verdicts` are what it was decided by, as the envelope has them.
    """

    routes: tuple[Route, ...]
    tenants: tuple[str, ...]
    stop: Reason | None = None
    held: Mapping[str, Reason] = field(default_factory=dict)
    recipients: tuple[str, ...] = ()
    verdicts: Verdicts = field(default_factory=Verdicts)


def decide_routing(
    entry: Entry, raw: bytes, *, directory: Directory, ledger: Ledger, now: datetime, scanner: Scanner | None = None
) -> RoutingDecision:
    """Return the mail's way, recorded in the ledger with its reasons.

    Recipients and verdicts come from SES's notification. Where only the bucket told of the mail, both come from the
    header block that SES itself prepended, and what that does not say did not pass. That block names one recipient at
    most, so a mail that it routes nowhere is `recipients_unknown`: it may still be for us, and its notification may come.
    """
    if entry.envelope is not None:
        recipients, verdicts = entry.envelope.recipients, entry.envelope.verdicts
    else:
        recipients = received_recipients(raw, message_id=entry.ref.message_id)
        verdicts = received_verdicts(raw, message_id=entry.ref.message_id)
    try:
        routes = route(recipients, directory.lookup(wanted(recipients, entry.ref.key)), key=entry.ref.key)
    except Quarantined as nobody:
        reason = nobody.reason if entry.envelope is not None else Reason.RECIPIENTS_UNKNOWN
        return RoutingDecision((), (NOBODY,), reason, recipients=recipients, verdicts=verdicts)
    # A mail that SES found infected is stopped anyway; a scanner that misses it must not be quoted beside that.
    scan = scanner.scan(raw) if scanner and verdicts.virus is not Verdict.FAIL else None
    policies = {to.tenant: to.policy for to in routes}
    reasons = {tenant: stop_reason(verdicts, policy, scan) for tenant, policy in policies.items()}
    held = {tenant: reason for tenant, reason in reasons.items() if reason is not None}
    ledger.routed(entry.id, routes, now=now, scan=scan, held=held)
    stop = next(iter(held.values())) if len(held) == len(policies) else None
    return RoutingDecision(tuple(routes), tuple(sorted(policies)), stop, held, recipients, verdicts)
