"""Between the ledger's rows and the domain's values."""

from datetime import datetime
from typing import Any

from sqlalchemy.engine import Row

from mailroom.domain.inbound import Entry, Envelope, ObjectRef, State, Verdict, Verdicts

_CHECKS = ("spam", "virus", "spf", "dkim", "dmarc")


def envelope_json(envelope: Envelope) -> dict[str, Any]:
    """Return the envelope as it is stored."""
    verdicts = {check: str(getattr(envelope.verdicts, check)) for check in _CHECKS}
    return {
        "recipients": list(envelope.recipients),
        "sender": envelope.sender,
        "received_at": envelope.received_at.isoformat(),
        "verdicts": verdicts | {"dmarc_policy": envelope.verdicts.dmarc_policy},
    }


def envelope_of(stored: dict[str, Any]) -> Envelope:
    """Return the envelope that was stored."""
    told = stored["verdicts"]
    return Envelope(
        recipients=tuple(stored["recipients"]),
        sender=stored["sender"],
        received_at=datetime.fromisoformat(stored["received_at"]),
        verdicts=Verdicts(**{check: Verdict(told[check]) for check in _CHECKS}, dmarc_policy=told["dmarc_policy"]),
    )


def entry_of(row: Row[Any]) -> Entry:
    """Return a ledger row as the steps need it."""
    return Entry(
        id=str(row.id),
        ref=ObjectRef(row.bucket, row.key, row.version),
        state=State(row.state),
        envelope=envelope_of(row.envelope) if row.envelope else None,
        attempts=row.attempts,
        run_id=str(row.run_id) if row.run_id else None,
        reason=row.reason,
        facts=row.facts,
    )
