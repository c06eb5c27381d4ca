"""What a provider's answer to one message writes into its row."""

from typing import Any

from mailroom.domain.errors import DailyQuota, MailroomError, OutcomeUnknown, Refused, TransientError
from mailroom.domain.outbound import Status
from mailroom.sending import Outcome, Receipt


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return what settling one outcome writes; `kept` is false where nothing is at the provider's."""
    status, result = _status_of(outcome.result), outcome.result
    facts: dict[str, Any] = {}
    if isinstance(result, MailroomError):
        facts = {"error": result.message, **{name: str(value) for name, value in result.facts.items()}}
    return {
        "id": outcome.message_id,
        "attempt": outcome.attempt,
        "status": status,
        "reason": type(result).__name__ if isinstance(result, MailroomError) else None,
        "kept": status not in (Status.QUEUED, Status.DEFERRED),
        "provider": _provider_of(result),
        "provider_message_id": result.provider_message_id if isinstance(result, Receipt) else None,
        "retry_at": outcome.retry_at.isoformat() if outcome.retry_at else None,
        "facts": facts,
    }


def _provider_of(result: Receipt | MailroomError) -> str | None:
    """Return who has the mail or may have it: of two providers the second, where the first did not take it."""
    if isinstance(result, Receipt):
        return result.provider
    return result.facts.get("provider")


def _status_of(result: Receipt | MailroomError) -> Status:
    if isinstance(result, Receipt):
        return Status.DISPATCHED
    if isinstance(result, OutcomeUnknown):
        return Status.UNKNOWN
    if isinstance(result, DailyQuota):
        return Status.DEFERRED
    if isinstance(result, TransientError):
        return Status.QUEUED
    return Status.REJECTED if isinstance(result, Refused) else Status.FAILED
