"""The rows of a database that is being rebuilt from its archive, in SQL.

A rebuild has a row of its own, so that one that was killed is continued, and none begins on a database with mail. Its writes
are made as the owner of the tables: the application's role cannot insert into a journal or a receipt's past.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, bindparam, insert, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as insert_once

from mailroom.adapters.postgres.archive.journal import append_entries
from mailroom.adapters.postgres.archive.journals_put_back import put_back
from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.inbound.rows import envelope_json, routes_json, scan_json
from mailroom.adapters.postgres.inbox.filing import Filed, file_one, filed_entries
from mailroom.adapters.postgres.models import InboundActivityRow, InboundEmailRow, table
from mailroom.domain.archive.item_digests import item_id
from mailroom.domain.archive.journal import JournalEntry, Kind, OperationsKind
from mailroom.domain.archive.rebuilt import RebuiltMail
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.received_email import Item, State
from mailroom.ports.archive import Deposit
from mailroom.ports.rebuilding import ArchivedVersion, FoundDeposit, JournalledMail, PutBack

_emails, _activities = table(InboundEmailRow), table(InboundActivityRow)
_HAS_MAIL = text("select exists (select from inbound_email) or exists (select from deposit)")
_OPEN = text("select exists (select from rebuild where ended_at is null)")
_BEGIN = text("insert into rebuild (begun_at, facts) values (:now, '{}')")
_FINISH = text("update rebuild set ended_at = :now, facts = :facts where ended_at is null").bindparams(
    bindparam("facts", type_=JSONB)
)
_ARCHIVED = text("""
    insert into archived_mail (tenant, email_id, key, version, sha256, rule, archived_at)
    select tenant, cast(subject as uuid), entry ->> 'key', entry ->> 'version', entry ->> 'manifest', entry ->> 'rule', at
    from (select tenant, subject, payload::jsonb as entry, at from journal where kind = 'archived' order by at, seq) as one
    on conflict do nothing
""")
_MAILS = text("select count(distinct email_id) from archived_mail")
_MISSING = text("""
    select email_id from (
        select email_id from archived_mail
        where email_id > coalesce(cast(nullif(:after, '') as uuid), '00000000-0000-0000-0000-000000000000')
        and not exists (select from inbound_email where id = email_id)
        group by email_id
    ) as one order by email_id limit :limit
""")
_VERSIONS = text("""
    select email_id, tenant, key, version, sha256 from archived_mail where email_id = any(:ids)
    order by email_id, archived_at, tenant, version
""")
_FILED = text("""
    select subject, at, kind, payload from journal
    where kind in ('filed', 'withdrawn', 'shown') and subject = any(cast(:ids as text[])) order by at, seq
""")
_DEPOSITED = text("""
    select at, payload from journal where kind = 'deposit' and subject = :id order by seq limit 1
""")
_DEPOSIT = text("""
    insert into deposit (archive_id, tenant, sha256, sha512, size, bucket, key, version, lock_mode, retain_until, deposited_at)
    values (:archive_id, :tenant, :sha256, :sha512, :size, :bucket, :key, :version, :lock_mode, :retain_until, :deposited_at)
    on conflict do nothing
""")
_COPY = text("""
    update deposit_copy set version = :version, lock_mode = :lock_mode, retain_until = greatest(retain_until, :retain_until)
    where archive_id = :archive_id and place = 'first'
""")
_SECOND = text("""
    insert into deposit_copy (archive_id, place, bucket, key, version, lock_mode, retain_until)
    values (:archive_id, 'second', :bucket, :key, :version, :lock_mode, :retain_until) on conflict do nothing
""")
_WITHDRAW = text("""
    update inbox_item set withdrawn_at = last.at, withdrawn_reason = last.reason
    from (select distinct on (item) item, kind, at, payload::jsonb ->> 'reason' as reason from journal
          cross join jsonb_array_elements_text(payload::jsonb -> 'items') as item
          where stream = 'life' and kind in ('withdrawn', 'shown') order by item, at desc, seq desc) as last
    where inbox_item.id = cast(last.item as uuid) and last.kind = 'withdrawn' and withdrawn_at is null
""")


class SqlRebuiltRows:
    """The port `RebuiltRows` on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def refuse_mail(self) -> None:
        """Return if the database has no mail but what an unfinished rebuild put there."""
        with transaction(self._engine) as connection:
            _is_open(connection)

    def begin(self, *, now: datetime) -> None:
        """Begin, or continue, a rebuild."""
        with transaction(self._engine, "commit of rebuild") as connection:
            if not _is_open(connection):
                connection.execute(_BEGIN, {"now": now})

    def put_journal(
        self,
        tenant: str,
        stream: str,
        entries: Iterable[tuple[int, int, str]],
        *,
        kind: OperationsKind,
        dry_run: bool = False,
    ) -> PutBack | None:
        """Put back what a journal lacks, chained as PostgreSQL chains it, and continue it with `kind`; see the port."""
        with transaction(self._engine, "commit of journal") as connection:
            return put_back(connection, tenant, stream, entries, kind=kind, dry_run=dry_run)

    def put_archived(self) -> int:
        """Put back the rows of archived manifests."""
        with transaction(self._engine, "commit of archived") as connection:
            connection.execute(_ARCHIVED)
            return int(connection.execute(_MAILS).scalar_one())

    def missing(self, *, after: str, limit: int) -> Sequence[JournalledMail]:
        """Return archived e-mails that have no line."""
        with transaction(self._engine) as connection:
            ids = list(connection.execute(_MISSING, {"after": after, "limit": limit}).scalars())
            versions = connection.execute(_VERSIONS, {"ids": ids}).all()
            filed = connection.execute(_FILED, {"ids": [str(one) for one in ids]}).all()
        return [_journalled(email_id, versions, filed) for email_id in ids]

    def put_deposits(self, deposits: Sequence[FoundDeposit]) -> None:
        """Put back receipts, each with its first copy."""
        with transaction(self._engine, "commit of record") as connection:
            for found in deposits:
                entered = connection.execute(_DEPOSITED, {"id": found.deposit.archive_id}).first()
                receipt, deposited_at = _receipt(found, entered)
                more = {"deposited_at": deposited_at, "sha512": found.sha512}
                connection.execute(_DEPOSIT, _values(receipt) | more)
                # The row is the receipt as it was first given; its copy has the lock that the bucket has now.
                connection.execute(_COPY, _values(found.deposit))

    def put_copies(self, copies: Sequence[Deposit]) -> None:
        """Put back the places of second copies; see the port."""
        with transaction(self._engine, "commit of copies") as connection:
            for one in copies:
                connection.execute(_SECOND, _values(one))

    def put_mail(self, mail: RebuiltMail, *, now: datetime) -> int:
        """Put back an e-mail's line, activities and items; see the port."""
        email_id = UUID(mail.email_id)
        with transaction(self._engine, "commit of put back") as connection:
            made = insert_once(_emails).values(_line(mail)).on_conflict_do_nothing().returning(_emails.c.id)
            if connection.execute(made).first() is None:
                return 0
            connection.execute(insert(_activities), [{"email_id": email_id} | one for one in _activities_of(mail, now)])
            times = {"received_at": mail.received_at, "filed_at": mail.filed_at or mail.written_at}
            held = [replace(one, held=_held(mail, one)) for one in mail.items]
            filed = [file_one(connection, email_id, item, times) for item in held]
            changed = [one for one in filed if one.digest != mail.known.get(str(one.id))]
            append_entries(connection, _entries_of(mail.email_id, changed))
            return len(changed)

    def withdraw_again(self) -> None:
        """Withdraw the items that the journal says were withdrawn; see the port."""
        with transaction(self._engine, "commit of withdrawn") as connection:
            connection.execute(_WITHDRAW)

    def finish(self, facts: Mapping[str, Any], *, now: datetime) -> None:
        """Record that the rebuild has ended."""
        with transaction(self._engine, "commit of finish") as connection:
            connection.execute(_FINISH, {"now": now, "facts": dict(facts)})


def _is_open(connection: Connection) -> bool:
    """Return whether a rebuild was begun and has not ended.

    Raises:
        ConfigurationError: none was, and the database has mail.
    """
    if connection.execute(_OPEN).scalar_one():
        return True
    if connection.execute(_HAS_MAIL).scalar_one():
        raise ConfigurationError(
            "the database has mail; a rebuild fills an empty one: drop it, create it, run `mailroom migrate`"
        )
    return False


def _held(mail: RebuiltMail, item: Item) -> str | None:
    """Return why an item is withdrawn: what the journal says of it, else why its tenant's items are."""
    name = str(item_id(UUID(mail.email_id), item.tenant, item.recipient))
    return mail.withdrawn[name] if name in mail.withdrawn else mail.held.get(item.tenant)


def _entries_of(email_id: str, changed: Sequence[Filed]) -> list[JournalEntry]:
    return [replace(one, facts={**one.facts, "rebuilt": True}) for one in filed_entries(email_id, changed)]


def _journalled(email_id: UUID, versions: Sequence[Any], filed: Sequence[Any]) -> JournalledMail:
    mine = [one for one in filed if one.subject == str(email_id)]
    items: dict[str, str] = {}
    withdrawn: dict[str, str | None] = {}
    state = None
    for one in mine:
        facts = json.loads(one.payload)
        if one.kind == Kind.FILED:
            items |= facts["items"]
        else:
            withdrawn |= dict.fromkeys(facts["items"], facts.get("reason"))
            state = facts.get("state")
    filed_at = [one.at for one in mine if one.kind == Kind.FILED]
    return JournalledMail(
        str(email_id),
        [ArchivedVersion(one.tenant, one.key, one.version, one.sha256) for one in versions if one.email_id == email_id],
        items,
        filed_at[-1] if filed_at else None,
        withdrawn,
        state,
    )


def _receipt(found: FoundDeposit, entered: Any) -> tuple[Deposit, datetime]:
    """Return the receipt as it was first given, by the journal's entry if there is one, and when."""
    if entered is None:
        return found.deposit, found.stored_at
    facts = json.loads(entered.payload)
    first = replace(
        found.deposit,
        version=facts["version"],
        lock_mode=facts["mode"],
        retain_until=datetime.fromisoformat(facts["until"]),
    )
    return first, entered.at


def _values(receipt: Deposit) -> dict[str, Any]:
    return {name: getattr(receipt, name) for name in receipt.__slots__}


def _line(mail: RebuiltMail) -> dict[str, Any]:
    return {
        "id": UUID(mail.email_id),
        "bucket": mail.ref.bucket,
        "key": mail.ref.key,
        "version": mail.ref.version,
        "message_id": mail.ref.message_id,
        "envelope": envelope_json(mail.envelope) if mail.envelope else None,
        "state": mail.state,
        "reason": mail.reason,
        "facts": {},
        "attempts": mail.attempts,
        "deaths": 0,
        "archive_ids": list(mail.archive_ids),
        "tenants": sorted({to.tenant for to in mail.routes}),
        "scan": scan_json(mail.scan) if mail.scan else None,
        "route": mail.routes[0].why if mail.routes else None,
        "unrouted": None if mail.unrouted is None else list(mail.unrouted),
        "released": list(mail.released) or None,
        "received_at": mail.received_at,
        "closed_at": mail.filed_at or mail.written_at,
    }


def _activities_of(mail: RebuiltMail, now: datetime) -> list[dict[str, Any]]:
    """Return what is known of the e-mail's history: its last routing decision, its deposits, its end, and the rebuild."""
    routed: dict[str, Any] = {"routes": routes_json(mail.routes)}
    routed |= {"scan": scan_json(mail.scan)} if mail.scan else {}
    routed |= {"held": dict(mail.held)} if mail.held else {}
    closed = mail.filed_at or mail.written_at
    end = {"reason": mail.reason} if mail.reason else {}
    return [
        {"at": mail.written_at, "kind": "routed", "facts": routed},
        {"at": mail.written_at, "kind": "archived", "facts": {"deposits": len(mail.archive_ids)}},
        {"at": closed, "kind": State(mail.state).value, "facts": end},
        {"at": now, "kind": "rebuilt", "facts": {"items": len(mail.items)}},
    ]
