"""From a parsed e-mail, its routes and its receipts to the inbox items."""

import hashlib
from dataclasses import replace

from mailroom.archive.archiving import Kept
from mailroom.domain.inbound.received_email import Attachment, Item
from mailroom.domain.inbound.routing import Route
from mailroom.domain.parsing import ParsedAttachment, ParsedEmail
from mailroom.inbound.routing import Way


def items_for(mail: ParsedEmail, raw: bytes, way: Way, kept: Kept) -> list[Item]:
    """Return one item for each route. Every attachment must have its receipt in `kept` already."""
    digest = hashlib.sha256(raw).hexdigest()
    items = [_item(mail, to, kept[to.tenant, digest].archive_id, kept) for to in way.routes]
    return [replace(item, held=way.held.get(item.tenant)) for item in items]


def _item(mail: ParsedEmail, to: Route, raw_archive_id: str, kept: Kept) -> Item:
    parts = enumerate(mail.attachments, start=1)
    return Item(
        tenant=to.tenant,
        recipient=to.recipient,
        user=to.user,
        plus_token=to.plus_token,
        message_id=mail.message_id,
        subject=mail.subject,
        from_=mail.from_,
        to=mail.to,
        cc=mail.cc,
        date=mail.date,
        text=mail.text,
        html=mail.html,
        raw_archive_id=raw_archive_id,
        attachments=tuple(_attachment(number, part, to.tenant, kept) for number, part in parts),
        defects=mail.defects,
    )


def _attachment(number: int, part: ParsedAttachment, tenant: str, kept: Kept) -> Attachment:
    return Attachment(
        number=number,
        filename=part.display_name,
        content_type=part.content_type,
        detected_type=part.detected_type,
        size=part.size,
        sha256=part.sha256,
        inline=part.inline,
        content_id=part.content_id,
        archive_id=kept[tenant, part.sha256].archive_id,
    )
