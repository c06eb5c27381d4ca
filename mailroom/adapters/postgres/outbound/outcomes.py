"""What a provider's answer to one message writes into its row, and which batches nothing of it may wait in by itself."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.rows import is_held
from mailroom.domain.errors import DailyQuota, MailroomError, OutcomeUnknown, Refused, TransientError
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import outbound_reason
from mailroom.ports.dispatch import Outcome
from mailroom.ports.holds import HoldReason
from mailroom.ports.provider import ProviderReceipt

_batches, _messages = table(BatchRow), table(MessageRow)
_message = _messages.c


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
        "reason": outbound_reason(result) if isinstance(result, MailroomError) else None,
        "kept": status not in (Status.QUEUED, Status.DEFERRED),
        "provider": _provider_of(result),
        "provider_message_id": result.provider_message_id if isinstance(result, ProviderReceipt) else None,
        "retry_at": outcome.retry_at.isoformat() if outcome.retry_at else None,
        "facts": facts,
    }


def _provider_of(result: ProviderReceipt | MailroomError) -> str | None:
    """Return who has the mail or may have it: of two providers the second, where the first did not take it."""
    if isinstance(result, ProviderReceipt):
        return result.provider
    return result.facts.get("provider")


def _status_of(result: ProviderReceipt | MailroomError) -> Status:
    if isinstance(result, ProviderReceipt):
        return Status.DISPATCHED
    if isinstance(result, OutcomeUnknown):
        return Status.UNKNOWN
    if isinstance(result, DailyQuota):
        return Status.DEFERRED
    if isinstance(result, TransientError):
        return Status.QUEUED
    return Status.REJECTED if isinstance(result, Refused) else Status.FAILED


def cancelled_batches(connection: Connection, message_ids: Sequence[UUID]) -> list[UUID]:
    """Return which batches of these messages were cancelled: what comes back from a provider must not wait again.

    A cancel that comes meanwhile waits for the end of this transaction, and then finds what waits.
    """
    if not message_ids:
        return []
    of_these = select(_message.batch_id).where(_message.id.in_(message_ids))
    mine = select(_batches.c.id, _batches.c.cancelled_at).where(_batches.c.id.in_(of_these)).order_by(_batches.c.id)
    return [row.id for row in connection.execute(mine.with_for_update(read=True)) if row.cancelled_at is not None]


def held_batches(connection: Connection, message_ids: Sequence[UUID]) -> list[tuple[UUID, HoldReason]]:
    """Return which batches of these messages are held, and why: what comes back from a provider waits with the others."""
    if not message_ids:
        return []
    of_these = _message.batch_id.in_(select(_message.batch_id).where(_message.id.in_(message_ids)))
    reasons = (
        select(_message.batch_id, func.min(_message.reason)).where(of_these, is_held()).group_by(_message.batch_id)
    )
    known = set(HoldReason)
    return [
        (batch_id, HoldReason(reason) if reason in known else HoldReason.RUN_GONE)
        for batch_id, reason in connection.execute(reasons)
    ]


def is_held_batch() -> ColumnElement[bool]:
    """Return the condition that something of a batch is held."""
    held = _messages.alias("held")
    return select(held.c.id).where(held.c.batch_id == _batches.c.id, held.c.status == literal_column("'held'")).exists()
