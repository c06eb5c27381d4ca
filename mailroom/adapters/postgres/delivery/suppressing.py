"""Suppression of addresses by provider events, in the transaction that stores the events."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.engine import Row

from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.delivery.suppression import SOFT_BOUNCES, SOFT_WITHIN, Cause, cause_of, end_of
from mailroom.domain.outbound.reasons import OutboundReason

_SUPPRESS = text("""
    insert into suppression (id, tenant, address, reason, message_id, since, expires_at)
    select gen_random_uuid(), tenant, address, reason, message_id, since, expires_at
    from json_to_recordset(:rows) as given (tenant text, address text, reason text, message_id uuid, since timestamptz,
        expires_at timestamptz)
    on conflict on constraint ux_suppression_address do update set reason = excluded.reason,
        message_id = excluded.message_id, since = excluded.since, expires_at = excluded.expires_at
    where suppression.expires_at < coalesce(excluded.expires_at, 'infinity')
""")
#: How many messages to an address bounced softly within `within` before the newest soft bounce, by the events' own times. A
#: message that was given up here counts as one: through another provider it would have bounced.
_SOFT = text(f"""
    with soft as (
        select message.tenant, message.recipient, message.id, activity.at
        from json_to_recordset(:rows) as given (tenant text, recipient text)
        join message on message.tenant = given.tenant and message.recipient = given.recipient
        join activity on activity.message_id = message.id and (activity.kind = 'bounced_soft' or activity.event_id is null
            and activity.kind = 'failed' and activity.facts->>'reason' = '{OutboundReason.RECIPIENT_GAVE_UP}')
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


def suppress(connection: Connection, events: Sequence[tuple[DeliveryEvent, Row[Any]]]) -> None:
    """Suppress addresses by new events, each with its message's row; an existing suppression stays unless the new lasts longer."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    # Of several for one address, the one that lasts longest is written.
    for event, message in sorted(events, key=lambda one: _end_of(one[0]) is not None):
        cause = cause_of(event.kind)
        if cause is not None:
            rows.setdefault((message.tenant, message.recipient), _row(message, cause, event.at))
    for newest in _over_the_threshold(connection, _softly_bounced(events)):
        rows.setdefault((newest.tenant, newest.recipient), _row(newest, Cause.SOFT_BOUNCES, newest.at))
    if rows:
        connection.execute(_SUPPRESS, {"rows": json.dumps([rows[key] for key in sorted(rows)])})


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


def _softly_bounced(events: Sequence[tuple[DeliveryEvent, Row[Any]]]) -> set[tuple[str, str]]:
    return {(row.tenant, row.recipient) for event, row in events if event.kind is Kind.BOUNCED_SOFT}


def _over_the_threshold(connection: Connection, soft: Collection[tuple[str, str]]) -> list[Row[Any]]:
    """Return the newest softly bounced message of each tenant and address in `soft` that has too many of them."""
    if not soft:
        return []
    pairs = json.dumps([{"tenant": tenant, "recipient": recipient} for tenant, recipient in sorted(soft)])
    counted = connection.execute(_SOFT, {"rows": pairs, "within": SOFT_WITHIN})
    return [row for row in counted if row.messages >= SOFT_BOUNCES]


def _row(message: Row[Any], cause: Cause, since: datetime) -> dict[str, Any]:
    ends = end_of(cause, since)
    return {
        "tenant": message.tenant,
        "address": message.recipient,
        "reason": cause,
        "message_id": str(message.id),
        "since": since.isoformat(),
        "expires_at": ends.isoformat() if ends else None,
    }
