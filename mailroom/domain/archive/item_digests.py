"""The digest that the journal has of an inbox item: SHA-256(salt | canonical item), over what never changes in its row.

The canonical item is described in docs/archive.md, so that a checker can compute it from the rows alone: canonical JSON of the
columns below, with the attachments in the order of their numbers. A null is left out; a time is microseconds since 1970.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from mailroom.domain.archive.manifests import canonical

#: Columns of `inbox_item` that are filed once and never changed.
ITEM_COLUMNS = (
    *("tenant", "recipient", "user_name", "plus_token", "plus_tokens", "received_at", "raw_archive_id"),
    *("message_id", "subject", "from", "to", "cc", "reply_to", "date", "in_reply_to", "references", "automatic_reply"),
    *("text", "html", "defects", "left_out", "protection", "partial_id", "partial_number", "partial_total"),
    *("reports", "invitations", "header_fields", "not_carried"),
)

#: Columns of `attachment`.
ATTACHMENT_COLUMNS = (
    *("number", "filename", "content_type", "detected_type", "size", "sha256", "inline", "content_id", "archive_id"),
    "members",
)

_EPOCH, _TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def item_id(email_id: UUID, tenant: str, recipient: str) -> UUID:
    """Return the id of an item: of its e-mail, tenant and recipient, so that a rebuilt item has the id that links have."""
    return uuid5(email_id, f"{tenant}/{recipient}")


def canonical_item(item: Mapping[str, Any], attachments: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the canonical form of an item, by the columns of its row and its attachments' rows."""
    parts = [_known(part, ATTACHMENT_COLUMNS) for part in sorted(attachments, key=lambda one: one["number"])]
    return canonical(_known(item, ITEM_COLUMNS) | {"attachments": parts})


def item_digest(salt: str, item: Mapping[str, Any], attachments: Sequence[Mapping[str, Any]]) -> str:
    """Return the digest of an item, lower-case hex; `salt` is hex too."""
    return hashlib.sha256(bytes.fromhex(salt) + canonical_item(item, attachments)).hexdigest()


def _known(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: _plain(row[name]) for name in names if row[name] is not None}


def _plain(value: Any) -> Any:
    return (value - _EPOCH) // _TICK if isinstance(value, datetime) else value
