"""What an administrator of the database can do to an archive, and the checks that name it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import psycopg

from mailroom.audit.archive_items import digest_of
from mailroom.audit.archive_report import ArchiveReport
from mailroom.sandbox.stack.postgres import Postgres
from tests.support.small_archive import Administrator, SmallArchive, administrator

_numbers = count()


@dataclass(slots=True)
class Cases:
    """An archive, the database as it was before its second mail, and copies of both."""

    postgres: Postgres
    archive: SmallArchive
    lease: str = ""
    note: str = ""
    raw: dict[str, str] = field(default_factory=dict)

    def copy(self, of: str = "small_archive") -> str:
        """Return the URL of a copy of a database."""
        name = f"case_{next(_numbers)}"
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{name}" template "{of}"')
        return self.postgres.url(name)

    def after(self, alter: Callable[["Cases", Administrator], Any], *, reading: bool = True) -> ArchiveReport:
        """Return the report on a copy that was altered."""
        url = self.copy()
        with administrator(url) as admin:
            alter(self, admin)
        return self.archive.verify(url=url, reading=reading)


Alteration = Callable[[Cases, Administrator], Any]
ALTERATIONS: dict[str, tuple[Alteration, tuple[tuple[str, str], ...]]] = {}


def alteration(*expected: tuple[str, str]) -> Callable[[Alteration], Alteration]:
    """Declare an alteration, and checks that must fail with what their subjects contain; `<note>` and others are ids of the archive."""

    def declare(alter: Alteration) -> Alteration:
        ALTERATIONS[alter.__name__] = alter, expected
        return alter

    return declare


EDIT = """update journal set payload = replace(payload, '"size":', '"size":9') where tenant = 'acme' and kind = 'deposit'
          and seq = 1"""


@alteration(("journal_hash", "acme/life/1"), ("deposit_entry", "acme/"), ("seal_entries", "acme/life/1"))
def edit_an_entry(_: Cases, admin: Administrator) -> None:
    admin.run(EDIT)


@alteration(("deposit_entry", "acme/"), ("seal_entries", "acme/life/1"))
def edit_an_entry_and_chain_again(_: Cases, admin: Administrator) -> None:
    admin.run(EDIT)
    admin.chain_again("acme")


@alteration(("journal_sequence", "acme/life/2"), ("journal_link", "acme/life/3"), ("seal_entries", "acme/life"))
def delete_an_entry(_: Cases, admin: Administrator) -> None:
    admin.run("delete from journal where tenant = 'acme' and seq = 2")


@alteration(("seal_entries", "acme/life"), ("mail_entry", "<lease>"))
def delete_an_entry_and_chain_again(_: Cases, admin: Administrator) -> None:
    admin.run("delete from journal where tenant = 'acme' and kind = 'archived' and seq < 4")
    admin.chain_again("acme")


@alteration(("deposit_entry", "<note_document>"))
def delete_the_entry_of_a_deposit_and_chain_again(cases: Cases, admin: Administrator) -> None:
    admin.run("delete from journal where subject = %s", cases.raw[cases.note])
    admin.chain_again("acme")


@alteration(("journal_hash", "acme/life/2"), ("seal_entries", "acme/life"))
def insert_an_entry(_: Cases, admin: Administrator) -> None:
    admin.run("update journal set seq = seq + 100 where tenant = 'acme' and seq > 1")
    admin.run("update journal set seq = seq - 99 where tenant = 'acme' and seq > 1")
    admin.run(
        """insert into journal (tenant, stream, seq, at, payload, prev, hash)
           select tenant, stream, 2, at, '{"kind":"hold","subject":"acme/0"}', hash, hash from journal
           where tenant = 'acme' and seq = 1"""
    )


@alteration(("journal_hash", "acme/life/1"), ("journal_hash", "acme/life/2"))
def renumber_entries(_: Cases, admin: Administrator) -> None:
    for was, becomes in ((1, 1000), (2, 1), (1000, 2)):
        admin.run("update journal set seq = %s where tenant = 'acme' and seq = %s", becomes, was)


@alteration(("journal_head", "acme/life"), ("mail_entry", "<note>"))
def cut_the_end_of_a_journal(_: Cases, admin: Administrator) -> None:
    admin.run("delete from journal where tenant = 'acme' and seq > 6")


@alteration(("journal_columns", "acme/life/1"))
def alter_the_columns_of_an_entry(_: Cases, admin: Administrator) -> None:
    admin.run("alter table journal alter column kind drop expression")
    admin.run("update journal set kind = 'access' where tenant = 'acme' and seq = 1")


@alteration(("journal_time", "acme/life"))
def set_the_time_of_an_entry_back(_: Cases, admin: Administrator) -> None:
    admin.run("update journal set at = at - interval '1 day' where tenant = 'acme' and seq = 3")


FORGE = """
insert into inbound_email (id, bucket, key, version, message_id, state, facts, attempts, deaths, archive_ids, tenants,
                           received_at, envelope)
select gen_random_uuid(), bucket, key || 'x', version, message_id || 'x', state, facts, attempts, deaths, archive_ids,
       tenants, received_at, envelope
  from inbound_email where id = %s returning id::text
"""
FORGE_ITEM = """
insert into inbox_item (id, email_id, tenant, recipient, user_name, subject, text, "to", cc, defects, raw_archive_id,
                        received_at, filed_at, salt)
select gen_random_uuid(), %s, tenant, recipient, user_name, subject, 'Pay to another account.', "to", cc, defects,
       raw_archive_id, received_at, filed_at, salt
  from inbox_item where email_id = %s and tenant = 'acme' returning id::text
"""


@alteration(("mail_entry", ""), ("item_fields", ""))
def forge_a_mail_beside_the_locked_original(cases: Cases, admin: Administrator) -> None:
    [[forged]] = admin.run(FORGE, cases.lease)
    admin.run(FORGE_ITEM, forged, cases.lease)


@alteration(("item_fields", ""))
def forge_an_item_of_a_filed_mail(cases: Cases, admin: Administrator) -> None:
    admin.run(
        FORGE_ITEM.replace(
            "tenant, recipient, user_name, subject, 'Pay", "tenant, 'eve@acme.test', user_name, subject, 'Pay"
        ),
        cases.lease,
        cases.lease,
    )


@alteration(("deposit_entry", "acme/0123"), ("object_there", "acme/0123"))
def forge_a_receipt(_: Cases, admin: Administrator) -> None:
    admin.run(
        """insert into deposit (archive_id, tenant, sha256, sha512, size, bucket, key, version, lock_mode, retain_until,
                                deposited_at)
           select 'acme/0123', tenant, '0123', sha512, size, bucket, 'acme/01/0123', version, lock_mode, retain_until,
                  deposited_at from deposit limit 1"""
    )
    admin.run(
        """insert into deposit_copy (archive_id, place, bucket, key, version, lock_mode, retain_until)
           select archive_id, 'first', bucket, key, version, lock_mode, retain_until from deposit where sha256 = '0123'"""
    )


def remove_rows(cases: Cases, admin: Administrator) -> None:
    admin.run("delete from attachment where item_id in (select id from inbox_item where email_id = %s)", cases.note)
    for table in ("inbox_item", "inbound_activity", "archived_mail"):
        admin.run(f"delete from {table} where email_id = %s", cases.note)
    admin.run("delete from inbound_email where id = %s", cases.note)
    for table in ("deposit_copy", "deposit"):
        admin.run(f"delete from {table} where archive_id = %s", cases.raw[cases.note])


@alteration(("mail_kept", "<note>"), ("deposit_kept", "<note_document>"), ("manifest_known", "acme/aip/"))
def remove_a_mail_from_the_database(cases: Cases, admin: Administrator) -> None:
    remove_rows(cases, admin)


@alteration(("object_known", "<note_key>"), ("manifest_known", "acme/aip/"))
def remove_a_mail_from_database_and_journal(cases: Cases, admin: Administrator) -> None:
    remove_rows(cases, admin)
    admin.run("delete from journal where subject in (%s, %s)", cases.note, cases.raw[cases.note])
    admin.chain_again("acme")


@alteration(("mail_kept", "<lease>"))
def remove_an_item(cases: Cases, admin: Administrator) -> None:
    admin.run("delete from inbox_item where email_id = %s and tenant = 'other'", cases.lease)


@alteration(("deposit_kept", "<note_document>"))
def remove_the_row_of_a_copy(cases: Cases, admin: Administrator) -> None:
    admin.run("delete from deposit_copy where archive_id = %s", cases.raw[cases.note])


@alteration(("item_fields", ""))
def alter_an_item_and_enter_its_new_digest(cases: Cases, admin: Administrator) -> None:
    """Anybody with the application's login may append an entry: the first one of an item counts."""
    admin.run("update inbox_item set text = 'Pay to another account.' where email_id = %s", cases.note)
    for item, digest in digests_of(admin, cases.note):
        admin.enter("acme", {"items": {item: digest}, "kind": "filed", "subject": cases.note})


def digests_of(admin: Administrator, email_id: str) -> list[tuple[str, str]]:
    """Return the items of a mail with the digests that they have now."""
    rows = admin.run(
        """select to_jsonb(i) || jsonb_build_object('files', (select coalesce(jsonb_agg(to_jsonb(a)), '[]') from attachment a
           where a.item_id = i.id)) from inbox_item i where email_id = %s and tenant = 'acme'""",
        email_id,
    )
    return [(item["id"], str(digest_of(item))) for [item] in rows]


def changed(table: str, values: str, *expected: tuple[str, str], of: str = "archive_id = '<note_document>'") -> None:
    """Declare an alteration of the columns of one row."""

    def alter(cases: Cases, admin: Administrator) -> None:
        admin.run(filled(f"update {table} set {values} where {of}", cases))

    alter.__name__ = f"{table}: {values}"
    alteration(*expected)(alter)


DOCUMENT, NOTED, LEASED = "<note_document>", "email_id = '<note>'", "email_id = '<lease>' and tenant = 'acme'"
changed("deposit", "retain_until = retain_until - interval '5 years'", ("deposit_entry", DOCUMENT))
changed(
    "deposit",
    "retain_until = retain_until + interval '5 years'",
    ("deposit_entry", DOCUMENT),
    ("object_lock", DOCUMENT),
)
changed("deposit", "deposited_at = deposited_at - interval '2 years'", ("deposit_entry", DOCUMENT))
changed("deposit", "lock_mode = 'COMPLIANCE'", ("deposit_entry", DOCUMENT), ("object_lock", DOCUMENT))
changed("deposit", "sha512 = repeat('0', 128)", ("deposit_entry", DOCUMENT))
changed("deposit", "size = size + 1", ("deposit_entry", DOCUMENT), ("object_bytes", DOCUMENT))
changed("deposit", "version = 'null'", ("deposit_entry", DOCUMENT))
changed("deposit", "tenant = 'other'", ("deposit_entry", DOCUMENT))
changed("deposit_copy", "retain_until = retain_until - interval '5 years'", ("copy_entry", DOCUMENT))
changed("deposit_copy", "retain_until = retain_until + interval '5 years'", ("object_lock", DOCUMENT))
changed("deposit_copy", "lock_mode = 'COMPLIANCE'", ("object_lock", DOCUMENT))
changed("deposit_copy", "version = 'other'", ("copy_entry", DOCUMENT))
changed("deposit_copy", "bucket = 'mine'", ("object_there", DOCUMENT))
changed("deposit_copy", "key = 'acme/aa/aa'", ("object_there", DOCUMENT))
changed("deposit_copy", "place = 'third'", ("deposit_kept", DOCUMENT), ("copy_entry", DOCUMENT))
changed("inbox_item", "text = 'Pay to another account.'", ("item_fields", ""), of=NOTED)
changed("inbox_item", "html = '<p>Pay.</p>'", ("item_fields", ""), of=NOTED)
changed("inbox_item", "subject = 'another'", ("item_fields", ""), of=NOTED)
changed("inbox_item", "\"from\" = 'eve@sender.test'", ("item_fields", ""), of=NOTED)
changed("inbox_item", "received_at = received_at - interval '1 day'", ("item_fields", ""), of=NOTED)
changed("inbox_item", "salt = repeat('0', 64)", ("item_fields", ""), of=NOTED)
changed("inbox_item", "recipient = 'eve@acme.test'", ("item_fields", ""), ("mail_routes", ""), of=NOTED)
changed("attachment", "filename = 'other.pdf'", ("item_fields", ""), of="true")
changed("attachment", "sha256 = repeat('0', 64)", ("item_fields", ""), of="true")
changed("inbox_item", "raw_archive_id = '<lease_document>'", ("item_fields", ""), ("mail_parts", ""), of=NOTED)
changed("inbound_email", "received_at = received_at - interval '1 day'", ("mail_source", "<note>"), of="id = '<note>'")
changed("inbound_email", "key = key || 'x'", ("mail_source", "<note>"), ("manifest_known", ""), of="id = '<note>'")
changed("inbound_email", "envelope = null", ("mail_source", "<note>"), of="id = '<note>'")
changed(
    "inbound_email",
    "envelope = jsonb_set(envelope, '{sender}', '\"eve@sender.test\"')",
    ("mail_source", "<note>"),
    of="id = '<note>'",
)
changed(
    "inbound_email",
    "envelope = jsonb_set(envelope, '{recipients}', '[]')",
    ("mail_source", "<note>"),
    of="id = '<note>'",
)
changed(
    "inbound_email",
    "envelope = jsonb_set(envelope, '{verdicts,dkim}', '\"PASS\"')",
    ("mail_verdicts", "<note>"),
    of="id = '<note>'",
)
changed("archived_mail", "sha256 = repeat('0', 64)", ("mail_entry", "<note>"), of=NOTED)
changed("journal_head", "seq = seq - 1", ("journal_head", "acme/life"), of="tenant = 'acme' and stream = 'life'")


def filled(text: str, cases: Cases) -> str:
    """Return a text with the ids of the archive in place of their names."""
    document = cases.raw[cases.note]
    tenant, _, digest = document.partition("/")
    ids = {
        "<note>": cases.note,
        "<lease>": cases.lease,
        "<note_document>": document,
        "<lease_document>": cases.raw[cases.lease],
        "<note_key>": f"{tenant}/{digest[:2]}/{digest}",
    }
    for name, one in ids.items():
        text = text.replace(name, one)
    return text
