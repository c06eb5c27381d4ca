"""Two installations with tenants, inboxes and a ledger: one in memory, one on PostgreSQL, filled in the same way."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID, uuid4

from sqlalchemy import Engine, update
from sqlmodel import Session, SQLModel

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.inbox.item_marks import SqlItemMarks
from mailroom.adapters.postgres.models import (
    AddressRow,
    ApiKeyRow,
    AttachmentRow,
    DepositRow,
    InboundEmailRow,
    InboxItemRow,
    TenantRow,
    table,
)
from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.api.auth import key_digest
from mailroom.api.services import LedgerReader
from mailroom.domain.inbound.received_email import Attachment, Item, State
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.ports.api_keys import ApiKeys, Holder
from mailroom.ports.inbox_reader import EmailLine, InboxLine, InboxReader
from mailroom.ports.item_marks import ItemMarks
from mailroom.testing.api import Memory, an_item, receipt

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
VERDICTS = dict.fromkeys(("spam", "virus", "spf", "dkim"), "PASS") | {"dmarc": "FAIL", "dmarc_policy": "none"}
ENVELOPE = {
    "recipients": ["ann@acme.test", "bob@other.test"],
    "sender": "carl@x.test",
    "received_at": NOW.isoformat(),
    "verdicts": VERDICTS,
}


def save(engine: Engine, *rows: SQLModel) -> None:
    with Session(engine, expire_on_commit=False) as session:
        for row in rows:
            session.add(row)
            session.flush()
        session.commit()


def an_email(state: State = State.FILED, *, minutes: int = 0, **changes: object) -> InboundEmailRow:
    """Return a row of the ledger, received `minutes` before NOW."""
    values = {
        "bucket": "inbound",
        "key": f"in/{uuid4()}",
        "message_id": "m-1",
        "envelope": ENVELOPE,
        "state": state.value,
        "received_at": NOW - timedelta(minutes=minutes),
    }
    return InboundEmailRow(**values | changes)


def file(engine: Engine, tenant: str, recipient: str, *, minutes: int = 0, files: int = 0, **changes: object) -> UUID:
    """File an item with `files` attachments and one inline picture where there are any; return its id."""
    email = an_email(minutes=minutes, tenants=[tenant])
    digest = uuid4().hex * 2
    deposit = DepositRow(
        archive_id=f"{tenant}/{digest}",
        tenant=tenant,
        sha256=digest,
        size=5,
        bucket="archive",
        key=digest,
        version="v1",
        lock_mode="GOVERNANCE",
        retain_until=NOW,
        deposited_at=NOW,
    )
    values = {"subject": "Hello", "from_": "Carl <carl@x.test>", "to": [recipient], "text": "Hi"}
    item = InboxItemRow(
        email_id=email.id,
        tenant=tenant,
        recipient=recipient,
        user_name=recipient.partition("@")[0],
        raw_archive_id=deposit.archive_id,
        received_at=email.received_at,
        filed_at=NOW,
        **values | changes,
    )
    parts = [
        AttachmentRow(
            item_id=item.id,
            number=number,
            filename=f"{number}.pdf",
            content_type="application/pdf",
            size=5,
            sha256=digest,
            inline=number > files,
            archive_id=deposit.archive_id,
        )
        for number in range(1, files + 2 if files else 1)
    ]
    save(engine, email, deposit, item, *parts)
    return item.id


class Installation(Protocol):
    """What tests of reading do with an installation of two tenants, acme and other."""

    reader: InboxReader
    marks: ItemMarks
    book: LedgerReader
    keys: ApiKeys

    def tenant(self, name: str) -> None:
        """Add a tenant."""

    def address(self, tenant: str, pattern: str, user: str = "user") -> None:
        """Have a tenant receive at an address."""

    def email(self, state: State = State.FILED, *, minutes: int = 0, tenants: tuple[str, ...] = (), **more: Any) -> str:
        """Add a row of the ledger, received `minutes` before NOW, and return its id; `more` are reason and facts."""

    def file(self, tenant: str, recipient: str, *, minutes: int = 0, files: int = 0, **changes: Any) -> str:
        """File an item with `files` attachments and one inline picture where there are any; return its id."""

    def letter(self, *, minutes: int = 0, files: tuple[str, ...] = (), **changes: Any) -> str:
        """File a mail for Ann of acme with files of these names, and return the id of its item."""

    def withdraw(self, item_id: str, *, reason: str | None) -> None:
        """Withdraw an item for a reason, or with None release it."""

    def key(self, key: str, holder: Holder) -> None:
        """Add an API key for `holder`."""


class SqlInstallation:
    """An installation on PostgreSQL."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reader, self.book, self.keys = SqlInboxReader(engine), SqlLedger(engine), SqlApiKeys(engine)
        self.marks = SqlItemMarks(engine)
        save(engine, TenantRow(id="acme", created_at=NOW), TenantRow(id="other", created_at=NOW))

    def tenant(self, name: str) -> None:
        save(self.engine, TenantRow(id=name, created_at=NOW))

    def address(self, tenant: str, pattern: str, user: str = "user") -> None:
        save(self.engine, AddressRow(tenant=tenant, pattern=pattern, user_name=user, created_at=NOW))

    def email(self, state: State = State.FILED, *, minutes: int = 0, tenants: tuple[str, ...] = (), **more: Any) -> str:
        row = an_email(state, minutes=minutes, tenants=list(tenants), **more)
        save(self.engine, row)
        return str(row.id)

    def file(self, tenant: str, recipient: str, *, minutes: int = 0, files: int = 0, **changes: Any) -> str:
        return str(file(self.engine, tenant, recipient, minutes=minutes, files=files, **changes))

    def letter(self, *, minutes: int = 0, files: tuple[str, ...] = (), **changes: Any) -> str:
        email = an_email(minutes=minutes)
        digest = uuid4().hex * 2
        place = {"bucket": "archive", "key": digest, "version": "v1", "lock_mode": "GOVERNANCE"}
        times = {"retain_until": NOW, "deposited_at": NOW}
        deposit = DepositRow(archive_id=f"acme/{digest}", tenant="acme", sha256=digest, size=5, **place, **times)
        save(self.engine, email, deposit)
        [item_id] = SqlInbox(self.engine).file(str(email.id), [a_letter(deposit.archive_id, files, changes)], now=NOW)
        return item_id

    def withdraw(self, item_id: str, *, reason: str | None) -> None:
        at = NOW if reason else None
        changed = update(InboxItemRow).where(table(InboxItemRow).c.id == UUID(item_id))
        with self.engine.begin() as connection:
            connection.execute(changed.values(withdrawn_at=at, withdrawn_reason=reason))

    def key(self, key: str, holder: Holder) -> None:
        save(self.engine, ApiKeyRow(sha256=key_digest(key), name=holder.name, tenant=holder.tenant, created_at=NOW))


class MemoryInstallation:
    """An installation in memory."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.reader, self.keys, self.marks = self.memory.reader, self.memory.keys, self.memory.marks
        self.book = self.memory.services().ledger

    def tenant(self, name: str) -> None:
        """Here a tenant is only a name."""

    def address(self, tenant: str, pattern: str, user: str = "user") -> None:
        self.reader.addresses.append(InboxLine(pattern, tenant, user, 0, None))

    def email(self, state: State = State.FILED, *, minutes: int = 0, tenants: tuple[str, ...] = (), **more: Any) -> str:
        at = NOW - timedelta(minutes=minutes)
        line = EmailLine(str(uuid4()), "m-1", state, more.get("reason"), 0, None, at, None)
        seen = {"sender": ENVELOPE["sender"], "recipients": tuple(ENVELOPE["recipients"])}
        line = replace(line, facts=more.get("facts", {}), **seen)
        self.reader.ledger.append((line, frozenset(tenants)))
        return line.id

    def file(self, tenant: str, recipient: str, *, minutes: int = 0, files: int = 0, **changes: Any) -> str:
        archive_id = f"{tenant}/{uuid4().hex * 2}"
        parts = [
            Attachment(at, f"{at}.pdf", "application/pdf", None, 5, "0" * 64, at > files, None, archive_id)
            for at in range(1, files + 2 if files else 1)
        ]
        output = {name: tuple(value) if isinstance(value, list) else value for name, value in changes.items()}
        who: dict[str, Any] = {"tenant": tenant, "recipient": recipient, "user": recipient.partition("@")[0]}
        item = an_item(**who, from_="Carl <carl@x.test>", raw_archive_id=archive_id, attachments=tuple(parts))
        return self._filed(replace(item, **output), minutes=minutes)

    def letter(self, *, minutes: int = 0, files: tuple[str, ...] = (), **changes: Any) -> str:
        return self._filed(a_letter("acme/raw", files, changes), minutes=minutes)

    def withdraw(self, item_id: str, *, reason: str | None) -> None:
        filed = self.reader.filed
        filed[:] = [replace(one, withdrawn=reason) if one.id == item_id else one for one in filed]

    def key(self, key: str, holder: Holder) -> None:
        self.keys.holders[key] = holder

    def _filed(self, item: Item, *, minutes: int) -> str:
        deposits = {item.raw_archive_id: receipt(item.raw_archive_id, 5)}
        verdicts = Verdicts(*[Verdict.PASS] * 4, Verdict.FAIL, "none")
        more: dict[str, Any] = {"verdicts": verdicts, "deposits": deposits}
        email_id = self.email(minutes=minutes, tenants=(item.tenant,))
        return self.memory.file(item, email_id=email_id, received_at=NOW - timedelta(minutes=minutes), **more).id


def a_letter(archive_id: str, files: tuple[str, ...], changes: Mapping[str, Any]) -> Item:
    """Return an item in Ann's inbox as the worker makes one."""
    parts = [
        Attachment(number, name, "application/pdf", None, 5, "0" * 64, False, None, archive_id)
        for number, name in enumerate(files, start=1)
    ]
    values = {"subject": "Hello", "from_": "Carl <carl@x.test>", "text": "Hi", "html": None} | changes
    who = {"tenant": "acme", "recipient": "ann@acme.test", "user": "ann", "message_id": None, "date": None}
    rest = {"to": (), "cc": (), "raw_archive_id": archive_id, "attachments": tuple(parts)}
    return Item(**who | rest | values)  # type: ignore[arg-type]
