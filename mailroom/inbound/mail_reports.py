"""Reports that come back by mail: what arrived at a return path, and the event that it is for its message.

Only a valid token makes a mail a report. Without one it is treated as any mail and counted as backscatter: no status changes,
and a null sender gets no answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailroom.domain.delivery.events import DeliveryEvent
from mailroom.domain.delivery.mail_reports import MailReport, read_report
from mailroom.domain.delivery.return_paths import is_return_path, token_in
from mailroom.domain.errors import ConfigurationError, Quarantined
from mailroom.domain.inbound.auto_replies import headers_of
from mailroom.domain.inbound.filing_policy import Action, FilingPolicy
from mailroom.domain.inbound.received_email import Entry
from mailroom.domain.inbound.routing import Route, normalise
from mailroom.ports.events import Events
from mailroom.ports.parser import Parser
from mailroom.ports.return_paths import AttemptMade, ReturnPaths

#: Types of route, beside those of an address: a report of a message, and mail for a return path without a valid token.
REPORT, BACKSCATTER = "report", "backscatter"

#: The token is the proof: DMARC of a report often fails, and a returned spam mail looks like spam. A virus stops it all the same.
_POLICY = FilingPolicy(
    spam=Action.FILE,
    dmarc_reject=Action.FILE,
    dmarc_quarantine=Action.FILE,
    unsure=Action.FILE,
    unscanned=Action.FILE,
)


@dataclass(frozen=True, slots=True)
class Returned:
    """What arrived at a return path: the event of a report with its route, or backscatter, or neither (a person's mail)."""

    event: DeliveryEvent | None = None
    route: Route | None = None
    is_backscatter: bool = False


@dataclass(frozen=True, slots=True)
class ReportReader:
    """Recognises reports at the return paths of `domain`, which is normalised."""

    domain: str
    return_paths: ReturnPaths
    parser: Parser

    def read(self, entry: Entry, raw: bytes, recipients: Sequence[str]) -> Returned:
        """Return what arrived; a mail for several recipients is no report, for a report has one (RFC 3464 section 2.1).

        Raises:
            TransientError: the return paths cannot be read now.
        """
        if not any(is_return_path(recipient, self.domain) for recipient in recipients):
            return Returned()
        is_for_one = len({recipient.lower() for recipient in recipients}) == 1
        attempt = self._attempt_of(entry, recipients[0]) if is_for_one else None
        if attempt is None:
            return Returned(is_backscatter=True)
        report = self._report_in(entry, raw, attempt.recipient)
        if report is None:
            return Returned()
        bare = f"{normalise(recipients[0]).partition('+')[0]}@{self.domain}"
        return Returned(_event(entry, attempt, report), Route(bare, attempt.tenant, "", REPORT, policy=_POLICY))

    def _attempt_of(self, entry: Entry, recipient: str) -> AttemptMade | None:
        token = token_in(recipient, self.domain)
        return self.return_paths.find(token, received_at=_received_at(entry)) if token else None

    def _report_in(self, entry: Entry, raw: bytes, recipient: str) -> MailReport | None:
        headers = headers_of(raw)
        if headers is None:
            return None
        sender = entry.envelope.sender if entry.envelope else headers.get("return-path", [""])[0].strip("<>")
        try:
            parsed = self.parser.parse(raw)
        except Quarantined:
            # It goes the way of any mail, is archived, and ends where it is parsed again.
            return None
        return read_report(parsed, headers, is_null_sender=not sender, recipient=recipient)


def record_report(event: DeliveryEvent, *, events: Events | None, now: datetime) -> Mapping[str, Any]:
    """Record the event of a report with its message, and return the facts for the ledger: the same again changes nothing.

    Raises:
        TransientError: the events cannot be stored now.
    """
    if events is None:
        raise ConfigurationError("reports by mail need a store of events")
    repeated = events.record([event], now=now).repeated
    return {"report_of": event.message_id, "event": event.kind.value} | ({"repeated": True} if repeated else {})


def _event(entry: Entry, attempt: AttemptMade, report: MailReport) -> DeliveryEvent:
    """Return the event: one of each kind for an attempt, so that who has seen the return path can forge no more than that."""
    return DeliveryEvent(
        provider=attempt.provider,
        event_id=f"mail/{attempt.message_id}/{attempt.attempt}/{report.kind}",
        kind=report.kind,
        at=_received_at(entry),
        message_id=attempt.message_id,
        tenant=attempt.tenant,
        attempt=attempt.attempt,
        facts={"origin": "mail", **report.facts, "email": entry.id},
    )


def _received_at(entry: Entry) -> datetime:
    if entry.envelope is not None:
        return entry.envelope.received_at
    if entry.received_at is None:
        raise ConfigurationError("an e-mail in the ledger has no time of receipt")
    return entry.received_at
