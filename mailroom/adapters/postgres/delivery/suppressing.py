"""Suppression of addresses by provider events, in the transaction that stores the events."""

import json
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text
from sqlalchemy.engine import Row

from mailroom.adapters.postgres.delivery.scopes import STREAM, policy_of
from mailroom.adapters.postgres.models import TenantRow, table
from mailroom.adapters.postgres.outbound.models import BatchRow, MessageRow
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.delivery.streams import left_streams
from mailroom.domain.delivery.suppression import SOFT_BOUNCES, SOFT_WITHIN, Cause, cause_of, end_of, is_counted
from mailroom.domain.outbound.reasons import OutboundReason

_SUPPRESS = text("""
    insert into suppression (id, tenant, address, reason, stream, message_id, since, expires_at)
    select gen_random_uuid(), tenant, address, reason, stream, message_id, since, expires_at
    from json_to_recordset(:rows) as given (tenant text, address text, reason text, stream text, message_id uuid,
        since timestamptz, expires_at timestamptz)
    on conflict on constraint ux_suppression_address do update set reason = excluded.reason,
        message_id = excluded.message_id, since = excluded.since, expires_at = excluded.expires_at
    where suppression.expires_at < coalesce(excluded.expires_at, 'infinity')
    returning message_id, reason
""")
_batches, _messages, _tenants = table(BatchRow), table(MessageRow), table(TenantRow)
#: The stream of messages, and their tenants' unsubscribe policies.
_LEFT = (
    select(_messages.c.id, STREAM.label("stream"), _tenants.c.unsubscribe)
    .join_from(_messages, _batches, _batches.c.id == _messages.c.batch_id)
    .outerjoin(_tenants, _tenants.c.id == _messages.c.tenant)
)
#: How many messages to an address bounced softly within `within` before the newest soft bounce, by the events' own times.
#: A bounce by another's fault (`BounceFault`: content, policy, account) says nothing of the address, and is not counted.
#: A message that was given up here counts as one: through another provider it would have bounced.
_SOFT = text(f"""
    with soft as (
        select message.tenant, message.recipient, message.id, activity.at
        from json_to_recordset(:rows) as given (tenant text, recipient text)
        join message on message.tenant = given.tenant and message.recipient = given.recipient
        join activity on activity.message_id = message.id and (
            activity.kind = 'bounced_soft' and coalesce(activity.facts->>'fault', 'recipient') = 'recipient'
            or activity.event_id is null and activity.kind = 'failed'
            and activity.facts->>'reason' = '{OutboundReason.RECIPIENT_GAVE_UP}')
    ), newest as (
        select distinct on (tenant, recipient) tenant, recipient, id, at from soft order by tenant, recipient, at desc, id
    )
    select newest.tenant, newest.recipient, newest.id, newest.at, count(distinct soft.id) as messages
    from newest join soft using (tenant, recipient)
    where soft.at > newest.at - :within
    group by newest.tenant, newest.recipient, newest.id, newest.at
""")  # noqa: S608 - constants
_GIVEN_UP = text(f"""
    select distinct tenant, recipient from message
    where id = any(:ids) and status = 'failed' and reason = '{OutboundReason.RECIPIENT_GAVE_UP}'
""")  # noqa: S608 - constants


_REFUSED = text("""
    select message.id, message.tenant, message.recipient
    from json_to_recordset(:rows) as given (id uuid, attempt int)
    join message on message.id = given.id and message.attempts = given.attempt and message.status = 'rejected'
""")


def suppress(
    connection: Connection,
    events: Sequence[tuple[DeliveryEvent, Row[Any]]],
    *,
    again: Sequence[tuple[DeliveryEvent, Row[Any]]] = (),
) -> set[UUID]:
    """Suppress addresses by new events, each with its message's row; return the messages by which unsubscribes were written.

    An existing suppression stays unless the new one lasts longer. `again` are events whose ids were here before: an
    unsubscribe among them counts, for a person who came back and uses the old link has left.
    """
    rows: dict[tuple[str, str, str], dict[str, Any]] = {}
    # Of several for one address and scope, the one that lasts longest is written.
    for event, message in sorted(events, key=lambda one: _end_of(one[0]) is not None):
        cause = cause_of(event.kind)
        if cause is not None and cause is not Cause.UNSUBSCRIBE:
            rows.setdefault((message.tenant, message.recipient, ""), _row(message, cause, event.at))
    softly_bounced = {(row.tenant, row.recipient) for event, row in events if is_counted(event)}
    for newest in _over_the_threshold(connection, softly_bounced):
        rows.setdefault((newest.tenant, newest.recipient, ""), _row(newest, Cause.SOFT_BOUNCES, newest.at))
    for event, message, stream in _left(connection, [*events, *again]):
        key = (message.tenant, message.recipient, f"left {stream}")
        rows.setdefault(key, _row(message, Cause.UNSUBSCRIBE, event.at, stream))
    if not rows:
        return set()
    written = connection.execute(_SUPPRESS, {"rows": json.dumps([rows[key] for key in sorted(rows)])})
    return {row.message_id for row in written if row.reason == Cause.UNSUBSCRIBE}


def _left(
    connection: Connection, events: Sequence[tuple[DeliveryEvent, Row[Any]]]
) -> Iterator[tuple[DeliveryEvent, Row[Any], str]]:
    """Yield each unsubscribe with its message and a stream that it covers, "" for all that is not transactional."""
    unsubscribes = [(event, message) for event, message in events if event.kind is Kind.UNSUBSCRIBED]
    if not unsubscribes:
        return
    ids = [message.id for _, message in unsubscribes]
    known = {row.id: row for row in connection.execute(_LEFT.where(_messages.c.id.in_(ids)))}
    for event, message in unsubscribes:
        row = known[message.id]
        for stream in left_streams(event.facts, row.stream, policy_of(row.unsubscribe)):
            yield event, message, stream or ""


def suppress_refused(connection: Connection, refused: Sequence[tuple[str, int]], now: datetime) -> None:
    """Suppress the addresses of messages, by id and attempt, whose recipient the provider refused for good."""
    if not refused:
        return
    asked = json.dumps([{"id": message_id, "attempt": attempt} for message_id, attempt in refused])
    rows = {(row.tenant, row.recipient): row for row in connection.execute(_REFUSED, {"rows": asked})}
    if rows:
        written = [_row(rows[key], Cause.HARD_BOUNCE, now) for key in sorted(rows)]
        connection.execute(_SUPPRESS, {"rows": json.dumps(written)})


def suppress_given_up(connection: Connection, message_ids: Sequence[UUID]) -> None:
    """Suppress the recipients of these messages, just given up, that have too many of them or of soft bounces."""
    given_up = {(row.tenant, row.recipient) for row in connection.execute(_GIVEN_UP, {"ids": [*message_ids]})}
    rows = [_row(newest, Cause.SOFT_BOUNCES, newest.at) for newest in _over_the_threshold(connection, given_up)]
    if rows:
        connection.execute(
            _SUPPRESS, {"rows": json.dumps(sorted(rows, key=lambda row: (row["tenant"], row["address"])))}
        )


def _end_of(event: DeliveryEvent) -> datetime | None:
    """Return when the suppression by this event alone ends; None: never, or there is none."""
    cause = cause_of(event.kind)
    return end_of(cause, event.at) if cause else None


def _over_the_threshold(connection: Connection, soft: Collection[tuple[str, str]]) -> list[Row[Any]]:
    """Return the newest softly bounced message of each tenant and address in `soft` that has too many of them."""
    if not soft:
        return []
    pairs = json.dumps([{"tenant": tenant, "recipient": recipient} for tenant, recipient in sorted(soft)])
    counted = connection.execute(_SOFT, {"rows": pairs, "within": SOFT_WITHIN})
    return [row for row in counted if row.messages >= SOFT_BOUNCES]


def _row(message: Row[Any], cause: Cause, since: datetime, stream: str = "") -> dict[str, Any]:
    ends = end_of(cause, since)
    return {
        "tenant": message.tenant,
        "address": message.recipient,
        "reason": cause,
        "stream": stream,
        "message_id": str(message.id),
        "since": since.isoformat(),
        "expires_at": ends.isoformat() if ends else None,
    }
