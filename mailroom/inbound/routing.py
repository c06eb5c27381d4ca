"""The routing decision: which inboxes get a mail, and whether it may be filed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mailroom.domain.archive.retention import RetentionClass
from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.filing_policy import RELEASABLE, Scan, stop_reason
from mailroom.domain.inbound.notifications import received_recipients, received_verdicts
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.inbound.routing import Route, route, unrouted, wanted
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.domain.tenants import NOBODY
from mailroom.inbound.mail_reports import BACKSCATTER, ReportReader, Returned
from mailroom.inbound.sender_limit import held_tenants
from mailroom.ports.directory import Directory
from mailroom.ports.ledger import Ledger
from mailroom.ports.scanner import Scanner
from mailroom.ports.sender_limit import SenderLimit


@dataclass(frozen=True, slots=True)
class RoutingDecision:
    """Where a mail goes: its routes, the tenants that archive it, and the reason if it must not be filed.

    `held` has the reason for each tenant whose policy, or the limit of its sender, holds the mail back; `stop` is set if it is
    held for all tenants, or if it has no route. `recipients` and `verdicts` are the basis of the decision. A mail with a
    `report` of one of our messages gets no inbox item.
    """

    routes: tuple[Route, ...]
    tenants: tuple[str, ...]
    stop: Reason | None = None
    held: Mapping[str, Reason] = field(default_factory=dict)
    recipients: tuple[str, ...] = ()
    verdicts: Verdicts = field(default_factory=Verdicts)
    report: DeliveryEvent | None = None
    scan: Scan | None = None

    def reason_of(self, tenant: str) -> Reason | None:
        """Return why the mail is not filed for a tenant; None if it is."""
        if tenant == NOBODY:
            return self.stop or Reason.NO_ROUTE
        return self.held.get(tenant) or self.stop

    def retention_class(self, tenant: str) -> RetentionClass:
        """Return the class of the mail for a tenant, which decides how long its deposits and its manifest are locked."""
        if tenant == NOBODY:
            return RetentionClass.UNROUTED
        if reason := self.reason_of(tenant):
            return RetentionClass.VIRUS if reason is Reason.VIRUS else RetentionClass.QUARANTINED
        return RetentionClass.REPORT if self.report else RetentionClass.DOCUMENT


def decide_routing(
    entry: Entry,
    raw: bytes,
    *,
    directory: Directory,
    ledger: Ledger,
    now: datetime,
    scanner: Scanner | None = None,
    reports: ReportReader | None = None,
    sender_limit: SenderLimit | None = None,
) -> RoutingDecision:
    """Return the routing decision for a mail; routes, held reasons and recipients without a route are recorded in the ledger.

    Recipients and verdicts come from SES's notification. For a mail known only from the bucket both come from the header
    block that SES prepended; a verdict missing there is not a pass. The block names one recipient at most, so a mail without
    a route is then `recipients_unknown`: it may still be for us, and its notification may come. `reports` recognises what
    came back to a return path; reports are not counted for `sender_limit`.
    """
    if entry.envelope is not None:
        recipients, verdicts = entry.envelope.recipients, entry.envelope.verdicts
    else:
        recipients = received_recipients(raw, message_id=entry.ref.message_id)
        verdicts = received_verdicts(raw, message_id=entry.ref.message_id)
    returned = reports.read(entry, raw, recipients) if reports else Returned()
    word = BACKSCATTER if returned.is_backscatter else None
    missed = None
    try:
        if returned.route:
            routes = [returned.route]
        else:
            known = directory.lookup(wanted(recipients, entry.ref.key))
            routes = route(recipients, known, key=entry.ref.key)
            missed = unrouted(recipients, known, key=entry.ref.key) if entry.envelope is not None else None
    except Quarantined as no_route:
        reason = no_route.reason if entry.envelope is not None else Reason.RECIPIENTS_UNKNOWN
        if word:
            ledger.routed(entry.id, (), now=now, word=word)
        return RoutingDecision((), (NOBODY,), reason, recipients=recipients, verdicts=verdicts)
    # A mail that SES found infected is stopped anyway; a scanner's "clean" must not be recorded beside that.
    scan = scanner.scan(raw) if scanner and verdicts.virus is not Verdict.FAIL else None
    policies = {to.tenant: to.policy for to in routes}
    reasons = {tenant: stop_reason(verdicts, policy, scan) for tenant, policy in policies.items()}
    held = {
        tenant: reason
        for tenant, reason in reasons.items()
        if reason is not None and not _is_released(entry, tenant, reason)
    }
    if sender_limit is not None and not returned.route:
        others = [to for to in routes if to.tenant not in held]
        over = held_tenants(sender_limit, entry, raw, others, now=now)
        held |= {one: Reason.TOO_MANY for one in over if not _is_released(entry, one, Reason.TOO_MANY)}
    ledger.routed(entry.id, routes, now=now, scan=scan, held=held, word=word, unrouted=missed)
    stop = next(iter(held.values())) if len(held) == len(policies) else None
    return RoutingDecision(
        tuple(routes), tuple(sorted(policies)), stop, held, recipients, verdicts, returned.event, scan
    )


def _is_released(entry: Entry, tenant: str, reason: Reason) -> bool:
    """Return whether a person decided that this reason does not hold the mail back for this tenant."""
    return tenant in entry.released and reason in RELEASABLE
