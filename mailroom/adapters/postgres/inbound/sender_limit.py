"""Mails by sender and inbox, in SQL: the guard against mail storms.

Each e-mail has a row for each of its inboxes, with the digest of its sender and whether it is held: the address of a sender
is stored nowhere else than in the ledger. E-mails of one sender are counted one after another (an advisory lock), so that
workers at the same time never let more through than the limit.
"""

import hashlib
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, Text, cast, select, text, update

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbound.receiving_models import SenderMailRow
from mailroom.adapters.postgres.models import InboundActivityRow, InboundEmailRow, table
from mailroom.domain.inbound.received_email import State
from mailroom.ports.sender_limit import WINDOW

#: Rows are kept for longer than any queue, retry or outage delays an e-mail; those of a held one until it is released.
KEPT_FOR = timedelta(days=30)
#: Older rows that each e-mail deletes: more than it adds, so that they never gather.
_FORGOTTEN_AT_ONCE = 20


_emails, _activity = table(InboundEmailRow), table(InboundActivityRow).c
_mails = table(SenderMailRow)
_email, _mail = _emails.c, _mails.c

_LOCK = text("select pg_advisory_xact_lock(hashtextextended('sender ' || :sender, 0))")

_FORGET = text("""
    delete from sender_mail where (email_id, tenant, recipient) in (
        select email_id, tenant, recipient from sender_mail where received_at < :before and not held
        order by received_at limit :most for update skip locked)
""")

#: A mail is over the limit if it makes more than `:most` within some window: of the mails up to it (`earlier`, by distance)
#: and after it (`later`) some i and j with i + j = most are all within one. Reads at most twice the limit for each inbox.
_COUNT = text("""
    insert into sender_mail (email_id, tenant, recipient, sender, received_at, held)
    select :email_id, inbox.tenant, inbox.recipient, :sender, :at, exists (
        select from (
            select 0 as n, cast(:at as timestamptz) as t union all (
                select row_number() over (order by known.received_at desc), known.received_at from sender_mail as known
                where known.tenant = inbox.tenant and known.recipient = inbox.recipient and known.sender = :sender
                    and known.received_at <= :at and known.received_at > cast(:at as timestamptz) - cast(:span as interval)
                order by known.received_at desc limit :most)
        ) as earlier join (
            select 0 as n, cast(:at as timestamptz) as t union all (
                select row_number() over (order by known.received_at), known.received_at from sender_mail as known
                where known.tenant = inbox.tenant and known.recipient = inbox.recipient and known.sender = :sender
                    and known.received_at > :at and known.received_at < cast(:at as timestamptz) + cast(:span as interval)
                order by known.received_at limit :most)
        ) as later on later.n = :most - earlier.n
        where later.t - earlier.t < cast(:span as interval)
    )
    from unnest(cast(:tenants as text[]), cast(:recipients as text[])) as inbox(tenant, recipient)
    order by inbox.tenant, inbox.recipient
    on conflict do nothing
    returning tenant, recipient, held
""")

#: Of an e-mail that was closed, `quarantined` is the last of these unless more became known of it: so a run after it is a
#: person's, who processes it again.
_CLOSED_OR_OPENED = ("quarantined", "reopened", "notified", "recalled")


class SqlSenderLimit:
    """The port `SenderLimit` on PostgreSQL; `most` mails of one sender to one inbox are let through within an hour."""

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine, self._most = engine, most

    def held(
        self, email_id: str, sender: str, inboxes: Collection[tuple[str, str]], *, received_at: datetime
    ) -> set[str]:
        """Count the e-mail for these inboxes, and return the tenants for which it is held; see the port."""
        which, digest = UUID(email_id), hashlib.sha256(sender.encode("utf-8", "surrogatepass")).digest()
        mine = _mail.email_id == which
        with transaction(self._engine) as connection:
            connection.execute(_LOCK, {"sender": digest.hex()})
            there = connection.execute(select(_mails).where(mine)).all()
            if any(row.sender != digest for row in there):
                # More became known of it: it is counted for its true sender.
                connection.execute(_mails.delete().where(mine, _mail.sender != digest))
                there = [row for row in there if row.sender == digest]
            held = {(row.tenant, row.recipient) for row in there if row.held}
            if new := sorted(set(inboxes) - {(row.tenant, row.recipient) for row in there}):
                held |= self._count(connection, which, digest, new, received_at)
            if held and _is_processed_again(connection, which):
                connection.execute(update(_mails).where(mine).values(held=False))
                held = set()
            return {tenant for tenant, _ in held & set(inboxes)}

    def _count(
        self, connection: Connection, which: UUID, digest: bytes, new: list[tuple[str, str]], received_at: datetime
    ) -> set[tuple[str, str]]:
        """Count the e-mail for these inboxes, and return those for which it is held."""
        connection.execute(_FORGET, {"before": received_at - KEPT_FOR, "most": _FORGOTTEN_AT_ONCE})
        values = {"email_id": which, "sender": digest, "at": received_at, "most": self._most, "span": WINDOW}
        lists = {"tenants": [tenant for tenant, _ in new], "recipients": [recipient for _, recipient in new]}
        return {(row.tenant, row.recipient) for row in connection.execute(_COUNT, values | lists) if row.held}

    def withheld(self, *, since: datetime | None, limit: int, email_id: str | None = None) -> list[str]:
        """Return the ids of filed e-mails that are held for some of their tenants, oldest first; or only this one."""
        held = select(_mail.email_id).where(_mail.email_id == _email.id, _mail.held).exists()
        wanted = select(cast(_email.id, Text)).where(_email.state == State.FILED, held)
        if email_id is not None:
            wanted = wanted.where(_email.id == UUID(email_id))
        if since is not None:
            wanted = wanted.where(_email.received_at >= since)
        with transaction(self._engine) as connection:
            return list(connection.execute(wanted.order_by(_email.received_at, _email.id).limit(limit)).scalars())

    def release(self, email_id: str, *, now: datetime) -> bool:
        """Release an e-mail, and open its line if it is filed; see the port."""
        which = UUID(email_id)
        released = update(_mails).where(_mail.email_id == which, _mail.held).values(held=False)
        opened = update(_emails).where(_email.id == which, _email.state == State.FILED).values(state=State.RECEIVED)
        with transaction(self._engine) as connection:
            if not connection.execute(released).rowcount:
                return False
            if connection.execute(opened).rowcount:
                note = {"email_id": which, "at": now, "kind": "reopened", "facts": {}}
                connection.execute(table(InboundActivityRow).insert().values(note))
            return True


def _is_processed_again(connection: Connection, email_id: UUID) -> bool:
    wanted = select(_activity.kind).where(_activity.email_id == email_id, _activity.kind.in_(_CLOSED_OR_OPENED))
    return bool(connection.execute(wanted.order_by(_activity.id.desc()).limit(1)).scalar() == "quarantined")
