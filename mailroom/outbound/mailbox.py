"""Messages of the mailbox queue: our own batch orders, and mails of plain producers.

A plain producer writes `{"to", "subject", "message"}`, and `"stream"` if it likes, with the attributes `channel=email` and
`type=plaintext` or `html`. Such mails of one stream that arrive together become one batch. Each is accepted once, by its message id in the queue, whichever batch it
arrives with the next time.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailroom.domain.delivery.streams import WHAT_A_STREAM_IS, is_stream
from mailroom.domain.errors import Fault, Unacceptable
from mailroom.domain.outbound.message import Lane
from mailroom.domain.times import EARLIEST, bounded
from mailroom.outbound.attachments import AttachmentResolver
from mailroom.outbound.preparing import Prepared, prepare
from mailroom.outbound.request import Letter, Recipient, Request, RequestContent
from mailroom.ports.outbox import Outbox, SubmissionKey
from mailroom.ports.queue import Received


@dataclass(frozen=True, slots=True)
class BatchOrder:
    """Our own message: this batch has something to send from `due_at` on."""

    batch_id: str
    due_at: datetime
    lane: Lane


@dataclass(frozen=True, slots=True)
class PlainMail:
    """A plain producer's mail."""

    to: str
    subject: str
    text: str | None
    html: str | None
    stream: str | None = None


def read(body: str, attributes: Mapping[str, str]) -> BatchOrder | PlainMail:
    """Return the parsed message of the mailbox queue.

    Raises:
        Unacceptable: it is neither an order nor a plain mail; the faults say why.
    """
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise _unreadable((), "not JSON") from None
    if not isinstance(values, dict):
        raise _unreadable((), "not a JSON object")
    if "batch_id" in values:
        return _order(values)
    if attributes.get("channel", "email") != "email":
        raise _unreadable(("channel",), "unsupported channel")
    kind = attributes.get("type", "plaintext")
    if kind not in ("plaintext", "html"):
        raise _unreadable(("type",), "the type must be plaintext or html")
    for name in ("to", "subject", "message"):
        if not isinstance(values.get(name), str):
            raise _unreadable((name,), "must be a text")
    if (stream := values.get("stream")) is not None and not is_stream(stream):
        raise _unreadable(("stream",), WHAT_A_STREAM_IS)
    text, html = (values["message"], None) if kind == "plaintext" else (None, values["message"])
    return PlainMail(values["to"], values["subject"], text, html, stream)


@dataclass(frozen=True, slots=True)
class Intake:
    """The result of plain mails: how many were new, and the faults of refused ones by message id."""

    kept: int
    refused: Mapping[str, tuple[Fault, ...]]


def accept_mails(
    received: Sequence[tuple[Received, PlainMail]],
    *,
    tenant: str,
    sender: str,
    now: datetime,
    new_id: Callable[[], str],
    outbox: Outbox,
    attachments: AttachmentResolver,
) -> Intake:
    """Accept plain mails that arrived together as one batch of each stream; one with faults does not stop the others."""
    streams: dict[str | None, list[tuple[Received, PlainMail]]] = {}
    for message, mail in received:
        streams.setdefault(mail.stream, []).append((message, mail))
    kept, refused = 0, dict[str, tuple[Fault, ...]]()
    for stream, mails in streams.items():
        letters = tuple(_letter(at, message, mail) for at, (message, mail) in enumerate(mails))
        request = Request(from_=sender, letters=letters, stream=stream)
        prepared = prepare(request, tenant=tenant, now=now, new_id=new_id, attachments=attachments)
        refused |= _refused(prepared, mails)
        drafts = [(_key(mails[draft.number][0]), draft) for draft in prepared.drafts]
        kept += outbox.accept_each(prepared.batch, prepared.contents, drafts, now=now) if drafts else 0
    return Intake(kept, refused)


def _refused(prepared: Prepared, mails: Sequence[tuple[Received, PlainMail]]) -> dict[str, tuple[Fault, ...]]:
    refused: dict[str, tuple[Fault, ...]] = {}
    for fault in prepared.faults:
        if not fault.where or not isinstance(fault.where[0], int):
            raise Unacceptable("sending is not enabled on this installation", faults=(fault,))
        name = mails[fault.where[0]][0].message_id
        refused[name] = (*refused.get(name, ()), fault)
    return refused


def _letter(at: int, message: Received, mail: PlainMail) -> Letter:
    words = RequestContent(subject=mail.subject, text=mail.text, html=mail.html)
    recipient = Recipient(to=mail.to, where=(at,), at=(at, "to"), reference=f"sqs:{message.message_id}")
    return Letter(words=words, where=(at,), recipients=(recipient,))


def _key(message: Received) -> SubmissionKey:
    return SubmissionKey(
        f"sqs:{message.message_id}", hashlib.sha256(message.body.encode("utf-8", "surrogatepass")).hexdigest()
    )


def _order(values: Mapping[str, Any]) -> BatchOrder:
    try:
        due_at = _due_at(datetime.fromisoformat(values["due_at"]))
    except (KeyError, TypeError, ValueError):
        raise _unreadable(("due_at",), "the order has no valid time") from None
    try:
        # An order of a version without lanes is bulk, so that it delays nothing else.
        return BatchOrder(str(values["batch_id"]), due_at, Lane(values.get("lane", Lane.BULK)))
    except ValueError:
        raise _unreadable(("lane",), "unknown lane") from None


def _due_at(time: datetime) -> datetime:
    """Return when an order is due, in UTC; an old version's order before `EARLIEST` is due at `EARLIEST`, so now."""
    try:
        return bounded(time)
    except ValueError:
        if time.year < EARLIEST.year:
            return EARLIEST
        raise


def _unreadable(where: tuple[str | int, ...], what: str) -> Unacceptable:
    return Unacceptable("invalid message on the mailbox queue", faults=(Fault(where, what),))
