"""Parts of the lists of outbound mail: messages by their labels, batches by their messages, what recipients did.

Each is read from an index that ends where a page ends. `message_label` and `engagement` are written by triggers (migration
0022); nothing here writes them.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, func, select, true

from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.lookup_models import EngagementRow, MessageLabelRow
from mailroom.adapters.postgres.outbound.models import BatchRow, MessageRow
from mailroom.domain.delivery.events import Kind
from mailroom.ports.message_reader import MessageFilter

labels = table(MessageLabelRow)
_engagement, _tenants = table(EngagementRow).c, table(TenantRow).c
_batch, _message, _label = table(BatchRow).c, table(MessageRow).c, labels.c

#: Of two labels that more messages have, either may be followed.
_MOST_COUNTED = 2_000
#: The kinds that are counted, in the order in which they are shown.
ENGAGEMENT = (Kind.OPENED, Kind.CLICKED, Kind.UNSUBSCRIBED)


def words_of(wanted: MessageFilter) -> list[bytes]:
    """Return the labels that a message must have."""
    reference = [f"={wanted.reference}"] if wanted.reference else []
    return [hashlib.sha256(word.encode()).digest()[:16] for word in (*reference, *wanted.metadata)]


def rarest_first(connection: Connection, words: Sequence[bytes], tenant: str | None) -> list[bytes]:
    """Return the labels in the order of how many messages have them: a list follows the first one's index."""
    if len(words) < 2:
        return list(words)

    def messages(word: bytes) -> int:
        some = select(_label.message_id).where(labelled(word, tenant)).limit(_MOST_COUNTED).subquery()
        return connection.execute(select(func.count()).select_from(some)).scalar_one()

    return sorted(words, key=messages)


def labelled(word: bytes, tenant: str | None) -> ColumnElement[bool]:
    """Return the condition for the labels of a word; an administrator's are looked up tenant by tenant, in the same index."""
    owner = _label.tenant == tenant if tenant is not None else _label.tenant.in_(select(_tenants.id))
    return and_(_label.label == word, owner)


def newest_labels(word: bytes, after: ColumnElement[bool], limit: int) -> ColumnElement[bool]:
    """Return the condition for the newest labels of a word of each tenant: all that the first `limit` of all can be among."""
    newest = (
        select(_label.message_id.label("id"))
        .where(_label.label == word, _label.tenant == _tenants.id, after)
        .order_by(_label.created_at.desc(), _label.message_id.desc())
        .limit(limit)
        .lateral()
    )
    return _label.message_id.in_(select(newest.c.id).select_from(table(TenantRow).join(newest, true())))


def has_label(word: bytes) -> ColumnElement[bool]:
    """Return the condition that a message has this label too."""
    one = labels.alias("further")
    same = (one.c.tenant == _message.tenant, one.c.created_at == _message.created_at, one.c.message_id == _message.id)
    return select(one.c.message_id).where(*same, one.c.label == word).exists()


def within(at: ColumnElement[datetime], since: datetime | None, until: datetime | None) -> ColumnElement[bool]:
    """Return the condition that a time is at `since` or later, and before `until`."""
    after = true() if since is None else at >= since
    return and_(after, true() if until is None else at < until)


def in_stream(stream: str | None) -> ColumnElement[bool]:
    """Return the condition that a batch is in a stream, by the name that lists show; true for None."""
    return true() if stream is None else func.coalesce(_batch.stream, _batch.lane) == stream


def engagement_of(connection: Connection, batch_ids: Sequence[UUID]) -> Mapping[UUID, dict[Kind, int]]:
    """Return, by batch, how many messages were opened, clicked and unsubscribed by; a clicked one was opened too."""
    counts = select(_engagement.batch_id, _engagement.kind, func.count().label("messages"))
    counts = counts.where(_engagement.batch_id.in_(batch_ids)).group_by(_engagement.batch_id, _engagement.kind)
    found: dict[UUID, dict[Kind, int]] = defaultdict(lambda: dict.fromkeys(ENGAGEMENT, 0))
    for row in connection.execute(counts):
        if row.kind in ENGAGEMENT:
            found[row.batch_id][Kind(row.kind)] = row.messages
    return found
