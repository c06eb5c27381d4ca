"""The ledger's rows as the domain's values, and back."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.engine import Row

from mailroom.domain.errors import PermanentError, Reason, TakenOver
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.received_email import Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import INBOX, Route
from mailroom.domain.inbound.verdicts import CHECKS, Verdicts, stored_checks
from mailroom.domain.times import happened

#: How many attempts a missing object gets in all: each further notification of it opens the e-mail again.
_MOST_TRIES_OF_MISSING = 3


def envelope_json(envelope: Envelope) -> dict[str, Any]:
    """Return the envelope as it is stored."""
    verdicts = {check: str(getattr(envelope.verdicts, check)) for check in CHECKS}
    return {
        "recipients": list(envelope.recipients),
        "sender": envelope.sender,
        "received_at": envelope.received_at.isoformat(),
        "verdicts": verdicts | {"dmarc_policy": envelope.verdicts.dmarc_policy},
    }


def envelope_of(stored: dict[str, Any]) -> Envelope:
    """Return the stored envelope.

    Raises:
        PermanentError: it has another shape.
    """
    try:
        values, recipients = stored["verdicts"], stored["recipients"]
        if not isinstance(recipients, list) or not all(isinstance(one, str) for one in (*recipients, stored["sender"])):
            raise TypeError
        if not isinstance(values["dmarc_policy"] or "", str):
            raise TypeError
        return Envelope(
            recipients=tuple(recipients),
            sender=stored["sender"],
            received_at=happened(datetime.fromisoformat(stored["received_at"]), received_at=datetime.now(UTC)),
            verdicts=Verdicts(**stored_checks(values), dmarc_policy=values["dmarc_policy"]),
        )
    except (KeyError, TypeError, ValueError):
        raise PermanentError("the envelope of the e-mail cannot be read") from None


def routes_json(routes: Sequence[Route]) -> list[dict[str, Any]]:
    """Return a routing decision as it is stored."""
    return [
        {"recipient": to.recipient, "tenant": to.tenant, "user": to.user, "why": to.why, "plus": to.plus_token}
        | ({} if to.processor == INBOX else {"processor": to.processor})
        | ({"more_plus": list(to.more_tokens)} if to.more_tokens else {})
        for to in routes
    ]


def scan_json(scan: Scan) -> dict[str, Any]:
    """Return a scanner's result as it is stored."""
    of = scan.signatures_of.isoformat() if scan.signatures_of else None
    return {"finding": str(scan.finding), "engine": scan.engine, "why": scan.why, "signatures_of": of}


def scan_of(stored: dict[str, Any]) -> Scan:
    """Return the stored result of a scanner."""
    of = datetime.fromisoformat(stored["signatures_of"]) if stored["signatures_of"] else None
    return Scan(Finding(stored["finding"]), stored["engine"], stored["why"], of)


def check_attempt(current: Any, attempt: int | None) -> None:
    """Raise TakenOver if the ledger has a later attempt than `attempt`; None skips the check."""
    if attempt is not None and current.attempts != attempt:
        raise taken_over(current, attempt=attempt)


def was_missing(row: Any) -> bool:
    """Return whether the object was missing at the last attempt and may be tried again: a new notification says it exists."""
    return bool(row.state == State.QUARANTINED and row.reason == Reason.GONE and row.attempts < _MOST_TRIES_OF_MISSING)


def taken_over(current: Any, **facts: object) -> TakenOver:
    """Return the error with the run that has the e-mail now."""
    run_id = str(current.run_id) if current.run_id else None
    return TakenOver("another worker is processing this e-mail", run_id=run_id, standing=current.attempts, **facts)


def entry_of(row: Row[Any], *, looked_up: bool = False) -> Entry:
    """Return a ledger row as an entry; with `looked_up`, for display, an unreadable envelope is None.

    Raises:
        PermanentError: the envelope cannot be read; without it the e-mail would be routed elsewhere.
    """
    try:
        envelope = envelope_of(row.envelope) if row.envelope else None
    except PermanentError:
        if not looked_up:
            raise
        envelope = None
    return Entry(
        id=str(row.id),
        ref=ObjectRef(row.bucket, row.key, row.version),
        state=State(row.state),
        envelope=envelope,
        attempts=row.attempts,
        run_id=str(row.run_id) if row.run_id else None,
        reason=row.reason,
        facts=row.facts,
        deaths=row.deaths,
        received_at=row.received_at.astimezone(UTC),
        released=tuple(row.released or ()),
    )
