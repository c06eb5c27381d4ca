"""Builds inbox items from a parsed e-mail, its routes and its deposit receipts."""

import hashlib
from dataclasses import fields, replace
from typing import Any

from mailroom.archive.depositing import DepositReceipts
from mailroom.domain.inbound.received_email import Attachment, Item
from mailroom.domain.inbound.routing import Route
from mailroom.domain.parsing import ParsedAttachment, ParsedEmail
from mailroom.inbound.carried_reports import carried_reports
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.manifests import KeptManifests


def _shared(kind: type[Any], source: type[Any], *, but: str) -> tuple[str, ...]:
    """Return the names of the fields that both dataclasses have; they mean the same in both."""
    theirs = {one.name for one in fields(source)}
    return tuple(one.name for one in fields(kind) if one.name in theirs and one.name != but)


# Fields that the parser's result or the route has under the same name are copied without a line here.
_OF_THE_MAIL = _shared(Item, ParsedEmail, but="attachments")
_OF_THE_ROUTE = _shared(Item, Route, but="")
_OF_THE_PART = _shared(Attachment, ParsedAttachment, but="filename")


def items_for(
    mail: ParsedEmail,
    raw: bytes,
    routing: RoutingDecision,
    receipts: DepositReceipts,
    manifests: KeptManifests | None = None,
) -> list[Item]:
    """Return one item for each route, with the salt of its tenant's manifest. `receipts` has that of every attachment."""
    digest = hashlib.sha256(raw).hexdigest()
    items = [_item(mail, to, receipts[to.tenant, digest].archive_id, receipts) for to in routing.routes]
    salts = {tenant: kept.manifest.salt for tenant, kept in (manifests or {}).items()}
    return [replace(item, held=routing.held.get(item.tenant), salt=salts.get(item.tenant)) for item in items]


def _item(mail: ParsedEmail, to: Route, raw_archive_id: str, receipts: DepositReceipts) -> Item:
    parts = enumerate(mail.attachments, start=1)
    return Item(
        **{name: getattr(mail, name) for name in _OF_THE_MAIL} | carried_reports(mail),
        **{name: getattr(to, name) for name in _OF_THE_ROUTE},
        plus_tokens=to.plus_tokens,
        raw_archive_id=raw_archive_id,
        attachments=tuple(_attachment(number, part, to.tenant, receipts) for number, part in parts),
    )


def _attachment(number: int, part: ParsedAttachment, tenant: str, receipts: DepositReceipts) -> Attachment:
    return Attachment(
        **{name: getattr(part, name) for name in _OF_THE_PART},
        number=number,
        filename=part.display_name,
        archive_id=receipts[tenant, part.sha256].archive_id,
    )
