"""A provider's answers as changes of messages, and the batches (cancelled, held) in which no returned message may wait."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, func, literal_column, select, text

from mailroom.adapters.postgres.models import table
from mailroom.adapters.postgres.outbound.models import BatchRow, MessageRow
from mailroom.adapters.postgres.outbound.rows import is_held
from mailroom.domain.errors import (
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    RecipientGaveUp,
    RecipientRefused,
    RecipientUnavailable,
    Refused,
    TransientError,
)
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import outbound_reason
from mailroom.ports.dispatch import Outcome
from mailroom.ports.holds import HoldReason
from mailroom.ports.provider import ProviderReceipt

_batches, _messages = table(BatchRow), table(MessageRow)
_message = _messages.c

#: `rows`: JSON of `outcome_values`; `ours`: statuses that a restored message may have. Outcomes of earlier attempts change nothing.
SETTLE = text("""
    with given as (
        select * from json_to_recordset(:rows) as given (id uuid, attempt int, status text, reason text, kept boolean,
            provider text, provider_message_id text, retry_at timestamptz, facts jsonb, sent_sha256 text)
    ), latest as (
        select given.*, message.status = any(:unanswered) or ahead and message.status = any(:ours) as open
        from given join message on message.id = given.id
            -- Accepted in an attempt that this database does not have: it was restored meanwhile, and the provider has the mail.
            -- Or in the one before a resend whose new attempt has not begun.
            cross join lateral (select given.status = 'dispatched'
                and (message.status = 'held' or message.attempts < given.attempt
                    or message.attempts = given.attempt and message.handed_at is null) as ahead) as known
        where message.attempts = given.attempt or ahead
        order by message.id for update of message
    ), changed as (
        update message set
            provider = coalesce(latest.provider, message.provider),
            provider_message_id = coalesce(latest.provider_message_id, message.provider_message_id),
            status = case when open then latest.status else message.status end,
            reason = case when open then latest.reason else message.reason end,
            handed_at = case when open and not kept then null when open then coalesce(message.handed_at, :now)
                else message.handed_at end,
            due_at = case when open and not kept then coalesce(retry_at, :now) else message.due_at end,
            sent_sha256 = case when kept then coalesce(latest.sent_sha256, message.sent_sha256) else message.sent_sha256 end,
            changed_at = :now
        from latest where message.id = latest.id
        returning message.id, message.tenant, message.provider, latest.status, latest.facts, open and not kept as back,
            -- Test mails are not in the quota.
            coalesce(not jsonb_exists(message.metadata, 'mailroom-test'), true) as counted
    ), noted as (
        insert into activity (message_id, at, kind, provider, facts)
        select id, :now, status, provider, facts from changed
    )
    select tenant, count(*) as mails from changed where back and counted group by tenant order by tenant
""")


def outcome_values(outcome: Outcome) -> dict[str, Any]:
    """Return what settling one outcome writes; `kept` is false where the provider has nothing of the mail."""
    status, result = _status_of(outcome.result), outcome.result
    facts: dict[str, Any] = {}
    if isinstance(result, MailroomError):
        facts = {"error": result.message, **{name: str(value) for name, value in result.facts.items()}}
    if isinstance(result, RecipientUnavailable | RecipientGaveUp):
        # The next attempts, the suppression list and people read these in the history.
        facts["reason"] = outbound_reason(result)
        facts |= {"due_at": outcome.retry_at.isoformat()} if outcome.retry_at else {}
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
        "sent_sha256": outcome.sent_sha256,
    }


def hard_refusals(outcomes: Sequence[Outcome]) -> list[tuple[str, int]]:
    """Return the messages, by id and attempt, whose address takes no mail: refused as `550 5.1.1` is."""
    results = ((one, one.result) for one in outcomes)
    return [
        (one.message_id, one.attempt)
        for one, result in results
        if isinstance(result, RecipientRefused) and result.facts.get("hard") is True
    ]


def _provider_of(result: ProviderReceipt | MailroomError) -> str | None:
    """Return the provider that has the mail or may have it: of two the second, if the first did not accept it."""
    if isinstance(result, ProviderReceipt):
        return result.provider
    return result.facts.get("provider")


def _status_of(result: ProviderReceipt | MailroomError) -> Status:
    if isinstance(result, ProviderReceipt):
        return Status.DISPATCHED
    if isinstance(result, OutcomeUnknown):
        return Status.UNKNOWN
    if isinstance(result, DailyQuota | RecipientUnavailable):
        return Status.DEFERRED
    if isinstance(result, TransientError):
        return Status.QUEUED
    return Status.REJECTED if isinstance(result, Refused) else Status.FAILED


def cancelled_batches(connection: Connection, message_ids: Sequence[UUID]) -> list[UUID]:
    """Return the cancelled batches of these messages: a message that a provider did not accept must not wait again.

    A concurrent cancellation waits for the end of this transaction, and then finds the waiting messages.
    """
    if not message_ids:
        return []
    of_these = select(_message.batch_id).where(_message.id.in_(message_ids))
    mine = select(_batches.c.id, _batches.c.cancelled_at).where(_batches.c.id.in_(of_these)).order_by(_batches.c.id)
    return [row.id for row in connection.execute(mine.with_for_update(read=True)) if row.cancelled_at is not None]


def held_batches(connection: Connection, message_ids: Sequence[UUID]) -> list[tuple[UUID, HoldReason]]:
    """Return the held batches of these messages with the reason: a message that was not accepted is held with the others."""
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
    """Return the condition that a batch has held messages."""
    held = _messages.alias("held")
    return select(held.c.id).where(held.c.batch_id == _batches.c.id, held.c.status == literal_column("'held'")).exists()
