"""What the archive's journal has of a mail: each version of its manifest once, and each item with the digest of its row."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from mailroom.archive.depositing import deposit_all
from mailroom.archive.mail_manifests import describe, with_attachments
from mailroom.domain.parsing import parse_email
from mailroom.inbound.filing import items_for
from mailroom.ports.manifests import KeptManifests
from tests.support.filed_mail import NOW, RAW, WAY, Filed, inbound_on

#: The columns that docs/archive.md names, written again, for a checker shares no code with what it checks.
ITEM = [
    "tenant",
    "recipient",
    "user_name",
    "plus_token",
    "plus_tokens",
    "received_at",
    "raw_archive_id",
    "message_id",
    "subject",
    "from",
    "to",
    "cc",
    "reply_to",
    "date",
    "in_reply_to",
    "references",
    "automatic_reply",
    "text",
    "html",
    "defects",
    "left_out",
    "protection",
    "partial_id",
    "partial_number",
    "partial_total",
    "reports",
    "invitations",
    "header_fields",
    "not_carried",
]
PART = [
    "number",
    "filename",
    "content_type",
    "detected_type",
    "size",
    "sha256",
    "inline",
    "content_id",
    "archive_id",
    "members",
]


def entries(engine: Engine, kind: str) -> list[dict[str, Any]]:
    rows = text("select payload from journal where kind = :kind order by tenant, seq")
    with engine.connect() as connection:
        return [json.loads(one) for one in connection.execute(rows, {"kind": kind}).scalars()]


def listed(engine: Engine) -> list[tuple[str, str]]:
    return [item for one in entries(engine, "filed") for item in one["items"].items()]


def digests(connection: Connection) -> Iterator[tuple[str, str]]:
    """The id and the digest of each item, computed from the rows by the standard library alone."""
    for item in connection.execute(text("select * from inbox_item")).mappings().all():
        parts = text("select * from attachment where item_id = :id order by number")
        of_item = [plain(part, PART) for part in connection.execute(parts, {"id": item["id"]}).mappings()]
        whole = plain(item, ITEM) | {"attachments": of_item}
        stored = json.dumps(whole, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        yield str(item["id"]), hashlib.sha256(bytes.fromhex(item["salt"]) + stored).hexdigest()


def plain(row: Any, names: list[str]) -> dict[str, Any]:
    return {name: micros(row[name]) for name in names if row[name] is not None}


def micros(value: Any) -> Any:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (value - epoch) // timedelta(microseconds=1) if isinstance(value, datetime) else value


class Archived(Filed):
    """A mail that is archived and filed by the product's own steps, with its manifests, as often as one likes."""

    def __init__(self, engine: Engine) -> None:
        self.stored: KeptManifests = {}
        super().__init__(engine)
        self.engine = engine

    def archives(self) -> None:
        inbound, mail = self.inbound, parse_email(RAW)
        how = {"archive": inbound.archive, "ledger": inbound.ledger, "manifests": inbound.manifests, "now": NOW}
        described = describe(self.entry, WAY, RAW)
        kept = deposit_all(self.entry, WAY.tenants, [RAW], described=described, kept=self.stored, **how)
        parts = [part.content for part in mail.attachments]
        described = with_attachments(self.stored.values(), mail.attachments)
        kept |= deposit_all(self.entry, WAY.tenants, parts, described=described, kept=self.stored, **how)
        inbound.inbox.file(self.entry.id, items_for(mail, RAW, WAY, kept, self.stored), now=NOW)


@pytest.fixture
def mail(engine: Engine) -> Archived:
    return Archived(engine)


def test_each_version_of_a_manifest_is_entered_once(mail: Archived, engine: Engine) -> None:
    """A mail is processed again after each fault; its second version has the attachments."""
    mail.archives()
    first = entries(engine, "archived")
    mail.stored.clear()

    mail.archives()

    assert entries(engine, "archived") == first
    assert [len(one["parts"]) for one in first] == [1, 2, 1, 2], (
        "two tenants, and for each the raw e-mail, then its file"
    )
    kept = mail.stored["acme"]
    assert first[1] | {"parts": []} == {
        "kind": "archived",
        "subject": mail.entry.id,
        "manifest": kept.sha256,
        "key": kept.manifest.key,
        "version": kept.version,
        "rule": "document",
        "parts": [],
    }
    with engine.connect() as connection:
        count = connection.execute(text("select count(*) from archived_mail")).scalar_one()
    assert count == 4


def test_a_row_of_a_manifest_is_neither_changed_nor_deleted(mail: Archived, engine: Engine) -> None:
    mail.archives()

    for change in ("update archived_mail set sha256 = ''", "delete from archived_mail", "truncate archived_mail"):
        with pytest.raises(DBAPIError, match=r"never changed|permission denied"), engine.begin() as connection:
            connection.execute(text(change))


def test_items_are_entered_once_with_the_digests_of_their_rows(mail: Archived, engine: Engine) -> None:
    """Each field that a reader sees is in the digest, as anyone computes it who reads docs/archive.md."""
    mail.archives()

    with engine.connect() as connection:
        assert dict(listed(engine)) == dict(digests(connection))
    assert len(listed(engine)) == len(dict(listed(engine))) == 3


def test_an_item_that_was_filed_with_its_manifest_has_its_salt(engine: Engine) -> None:
    """Only with it the digests of rebuilt items can be compared."""
    inbound = inbound_on(engine)
    assert inbound.manifests is not None
    mail = Archived(engine)
    with engine.begin() as connection:
        connection.execute(text("delete from attachment"))
        connection.execute(text("delete from inbox_item"))

    mail.archives()

    with engine.connect() as connection:
        salts = connection.execute(text("select distinct tenant, salt from inbox_item")).all()
    assert {one.tenant: one.salt for one in salts} == {name: kept.manifest.salt for name, kept in mail.stored.items()}


CHANGES = (
    "update inbox_item set subject = 'x'",
    """update inbox_item set "from" = 'x'""",
    "update inbox_item set text = 'x'",
    "update inbox_item set received_at = received_at + interval '1 microsecond'",
    "update inbox_item set recipient = 'eve@acme.test' where recipient = 'anna@acme.test'",
    """update inbox_item set "to" = '{}'""",
    "update attachment set filename = 'x.pdf'",
    "update attachment set sha256 = repeat('0', 64)",
    "delete from attachment",
)


def test_a_changed_row_has_another_digest(mail: Archived, engine: Engine) -> None:
    """What an administrator changes is named; what people do in their inbox is no change."""
    filed = dict(listed(engine))
    with engine.begin() as connection:
        connection.execute(text("update inbox_item set read_at = now(), done_at = now(), withdrawn_at = now()"))
        assert dict(digests(connection)) == filed

        for change in CHANGES:
            with connection.begin_nested() as tried:
                connection.execute(text(change))
                assert dict(digests(connection)) != filed, change
                tried.rollback()
