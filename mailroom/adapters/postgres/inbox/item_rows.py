"""Rows of inbox items and received e-mails as the values that users see."""

from collections.abc import Sequence
from typing import Any

from mailroom.adapters.postgres.archive.receipts import deposit_of
from mailroom.adapters.postgres.inbound.rows import envelope_of, scan_of
from mailroom.adapters.postgres.inbox.columns import item_of
from mailroom.adapters.postgres.inbox.item_marks import mark_of
from mailroom.adapters.postgres.outbound.rows import member_of, table_of
from mailroom.domain.errors import PermanentError
from mailroom.domain.inbound.received_email import SENDER_AMBIGUOUS, Attachment, Envelope, State
from mailroom.domain.inbound.verdicts import Verdicts
from mailroom.domain.inbox.snippets import snippet
from mailroom.ports.inbox_reader import EmailLine, FiledItem, ItemLine


def item_line(row: Any) -> ItemLine:
    """Return an item's line in a list."""
    values = row._mapping
    return ItemLine(
        id=str(row.id),
        email_id=str(row.email_id),
        tenant=row.tenant,
        recipient=row.recipient,
        subject=row.subject,
        from_=values["from"],
        received_at=row.received_at,
        attachments=row.attachments,
        verdicts=_verdicts(row),
        sender_ambiguous=SENDER_AMBIGUOUS in row.defects,
        envelope_sender=_envelope_sender(row),
        read=mark_of(row.read_at, row.read_by),
        done=mark_of(row.done_at, row.done_by),
        snippet=snippet(row.text_begin, row.html_begin),
        files=tuple(row.file_names or ()),
        listed_at=row.listed_at,
    )


def filed_item(row: Any, attachments: Sequence[Attachment], receipts: Sequence[Any], *, internal: bool) -> FiledItem:
    """Return an item from its row, joined with its e-mail's columns, with attachments and receipts.

    With `internal`, for administrators, the run and the recipients without a route are included.
    """
    deposits = [deposit_of(receipt) for receipt in receipts]
    return FiledItem(
        id=str(row.id),
        email_id=str(row.email_id),
        run_id=str(row.run_id) if internal and row.run_id else None,
        item=item_of(row, tuple(attachments)),
        received_at=row.received_at,
        filed_at=row.filed_at,
        verdicts=_verdicts(row),
        scan=scan_of(row.scan) if row.scan else None,
        withdrawn=row.withdrawn_reason if row.withdrawn_at else None,
        deposits={deposit.archive_id: deposit for deposit in deposits},
        damages={receipt.archive_id: receipt.damage for receipt in receipts if receipt.damage},
        envelope_sender=_envelope_sender(row),
        unrouted=_unrouted(row) if internal else None,
        read=mark_of(row.read_at, row.read_by),
        done=mark_of(row.done_at, row.done_by),
    )


def email_line(row: Any, *, internal: bool) -> EmailLine:
    """Return a received e-mail from its row; with `internal`, for administrators, envelope, run and facts are included."""
    envelope = _envelope(row) if internal else None
    return EmailLine(
        id=str(row.id),
        message_id=row.message_id,
        state=member_of(State, row.state),
        reason=row.reason,
        attempts=row.attempts,
        run_id=str(row.run_id) if internal and row.run_id else None,
        received_at=row.received_at,
        closed_at=row.closed_at,
        facts=table_of(row.facts) if internal else {},
        sender=envelope.sender if envelope else None,
        recipients=envelope.recipients if envelope else (),
        unrouted=_unrouted(row) if internal else None,
    )


def _envelope_sender(row: Any) -> str | None:
    """Return who sent a mail without From; one with From is shown by it."""
    envelope = None if row._mapping["from"] else _envelope(row)
    return envelope.sender if envelope else None


def _unrouted(row: Any) -> tuple[str, ...] | None:
    return None if row.unrouted is None else tuple(row.unrouted)


def _verdicts(row: Any) -> Verdicts | None:
    values = _envelope(row)
    return values.verdicts if values else None


def _envelope(row: Any) -> Envelope | None:
    """Return the envelope, or None; `mailroom check` reports an unreadable one."""
    try:
        return envelope_of(row.envelope) if row.envelope else None
    except PermanentError:
        return None
