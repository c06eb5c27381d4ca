"""`mailroom archive verify`: every alteration that an administrator of the database can make is named, by check and subject.

The archive has a mail that is sealed, and one that was filed since. Each case alters a copy of the database.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.s3.models import s3_backends
from sqlalchemy import Engine

from mailroom.adapters.postgres.engine import make_engine
from mailroom.audit.archive_items import digest_of
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope
from mailroom.audit.verify import UnknownSubjectError
from mailroom.sandbox.stack.postgres import Postgres
from tests.support.archive_store import Store, key_of, store_on
from tests.support.small_archive import (
    ANNA,
    LEASE,
    NOTE,
    Administrator,
    SmallArchive,
    administrator,
    archive_on,
    named,
)

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


@pytest.fixture(scope="module")
def cases(postgres: Postgres, emulator: str) -> Cases:
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database small_archive template mailroom")
        url = postgres.url("small_archive")
        engine = make_engine(url)
        archive = archive_on(store_on(emulator, engine), url)
        engine.dispose()
        connection.execute("create database older_backup template small_archive")
    cases = Cases(postgres, archive, lease=archive.emails[0])
    cases.note = archive.file(NOTE, ANNA)
    with administrator(url) as admin:
        cases.raw = dict(admin.run("select email_id::text, raw_archive_id from inbox_item where tenant = 'acme'"))
    engine.dispose()
    return cases


def test_an_untouched_archive_passes(cases: Cases) -> None:
    """What was filed since the last seal is said to be unsealed; everything else passes, in each scope."""
    report, document = cases.archive.verify(), cases.raw[cases.lease]
    parts = [
        cases.archive.verify(scope)
        for scope in (Scope("acme"), Scope(documents=(document,)), Scope(emails=(cases.lease, cases.note)))
    ]

    assert [named(one) for one in (report, *parts)] == [set()] * 4
    assert {check for check, _ in named(report, Outcome.NOT_YET_SEALED)} == {"journal_sealed", "seal_token"}
    assert report.counts["deposit_entry", Outcome.PASS] == 5
    assert report.counts["item_fields", Outcome.PASS] == 3
    assert report.counts["object_lock", Outcome.PASS] == 5
    assert report.counts["manifest_there", Outcome.PASS] == 5
    assert parts[1].counts["object_bytes", Outcome.PASS] == 1
    assert parts[2].counts["item_fields", Outcome.PASS] == 3
    assert "Carl" not in json.dumps(report.as_json())


def test_what_does_not_exist_is_said_to_be_unknown(cases: Cases) -> None:
    """A mistyped id must not look like a document that passes."""
    for scope in (Scope(documents=("acme/00",)), Scope(emails=("00000000-0000-0000-0000-000000000000",))):
        with pytest.raises(UnknownSubjectError):
            cases.archive.verify(scope)


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


@pytest.mark.parametrize("name", ALTERATIONS)
def test_an_alteration_is_named(cases: Cases, name: str) -> None:
    """By the check that a person can look up, and by the id of what was altered."""
    alter, expected = ALTERATIONS[name]

    report = cases.after(alter)

    failed = named(report)
    for check, about in expected:
        subject = filled(about, cases)
        assert [one for one in failed if one[0] == check and subject in one[1]], (check, subject, failed)
    assert not [one for one in failed if one[0] == "readable"]
    assert all(one.do for one in report.results)


ALTER_ALL = "update inbox_item set text = 'Pay to another account.' where email_id = %s and tenant = 'acme'"


def alter_an_item_with_its_entry(cases: Cases, admin: Administrator, email: str) -> None:
    """Alter an item, put its new digest into the entry, and chain the journal again: nothing in the database shows it."""
    admin.run(ALTER_ALL, email)
    [[item]] = admin.run(
        """select to_jsonb(i) || jsonb_build_object('files', (select coalesce(jsonb_agg(to_jsonb(a)), '[]') from attachment a
           where a.item_id = i.id)) from inbox_item i where email_id = %s and tenant = 'acme'""",
        email,
    )
    payload = {"items": {item["id"]: digest_of(item)}, "kind": "filed", "subject": email}
    admin.run(
        "update journal set payload = %s where tenant = 'acme' and kind = 'filed' and subject = %s",
        json.dumps(payload, sort_keys=True, separators=(",", ":")),
        email,
    )
    admin.chain_again("acme")


def test_what_is_altered_without_a_trace_is_named_by_the_seal_over_it(cases: Cases) -> None:
    """The database alone agrees with itself; the sealed entries in the archive do not."""
    report = cases.after(lambda cases, admin: alter_an_item_with_its_entry(cases, admin, cases.lease))

    assert {check for check, _ in named(report)} == {"seal_entries"}
    [(_, subject)] = named(report)
    assert subject.startswith("acme/life/")


def test_what_is_altered_without_a_trace_since_the_last_seal_is_said_to_be_unsealed(cases: Cases) -> None:
    """It cannot be known, so the report does not say that it passes: the range of entries is named."""
    report = cases.after(lambda cases, admin: alter_an_item_with_its_entry(cases, admin, cases.note))

    with administrator(cases.archive.database_url) as admin:
        [[seq]] = admin.run("select max(seq) from journal where tenant = 'acme' and subject = %s", cases.note)
    assert named(report) == set()
    [first] = [
        one for check, one in named(report, Outcome.NOT_YET_SEALED) if check == "journal_sealed" and "acme/life" in one
    ]
    assert int(first.rpartition("/")[2]) <= seq


def test_an_older_backup_is_named_by_what_the_archive_has(cases: Cases) -> None:
    """The backup agrees with itself; the objects of the newer mail are in the archive, sealed or not."""
    report = cases.archive.verify(url=cases.copy("older_backup"))

    assert {check for check, _ in named(report)} == {"object_known", "manifest_known"}
    assert any(filled("<note_key>", cases) in subject for _, subject in named(report))


@pytest.fixture
def harmed(engine: Engine, database_url: str, emulator: str) -> SmallArchive:
    """An archive whose objects a test may harm."""
    archive = archive_on(store_on(emulator, engine), database_url)
    archive.file(NOTE, ANNA)
    archive.seal()
    return archive


def test_a_journal_that_is_shorter_than_its_seals_is_named(harmed: SmallArchive) -> None:
    """Somebody cut the newest entries, with the head: an older database was restored, or a mail was to disappear."""
    with administrator(harmed.database_url) as admin:
        admin.run("delete from journal where tenant = 'acme' and stream = 'life' and seq > 4")
        admin.chain_again("acme")

    report = harmed.verify()

    assert [one for one in named(report) if one[0] == "journal_length" and one[1].startswith("acme/life")]


def test_a_seal_that_only_the_witness_has_is_named(harmed: SmallArchive) -> None:
    """Who could delete it in the archive could not in the witness's account."""
    key = "acme/seals/life/00000001.json"
    [seal] = [one for one in harmed.store.versions() if one["Key"] == key]
    which = {"Bucket": harmed.store.bucket, "Key": key, "VersionId": seal["VersionId"]}
    harmed.store.s3.delete_object(**which, BypassGovernanceRetention=True)

    assert ("seal_witness", "acme/life/seal/1") in named(harmed.verify())


def test_what_was_done_to_objects_is_named(harmed: SmallArchive) -> None:
    """An overwritten or deleted object is still read by its version; a removed, altered or unlocked version is named."""
    store, ids = harmed.store, {}
    with administrator(harmed.database_url) as admin:
        for archive_id, size in admin.run("select archive_id, size from deposit"):
            ids[archive_id.partition("/")[0], size] = archive_id
    note, other = ids["acme", len(NOTE)], ids["other", len(LEASE)]
    removed, unlocked = ids["acme", len(LEASE)], next(one for key, one in ids.items() if key == ("other", 14))
    store.put(key_of(note), b"other bytes")
    store.s3.delete_object(Bucket=store.bucket, Key=key_of(note))
    store.lose(removed)
    stored(store, unlocked).lock_until = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    stored(store, other).value = b"X" + LEASE[1:]

    report = harmed.verify()

    assert named(report) == {
        ("object_there", f"{removed}@first"),
        ("object_lock", f"{unlocked}@first"),
        ("object_bytes", f"{other}@first"),
    }


def stored(store: Store, archive_id: str) -> Any:
    """Return an object in the emulator, to be changed as S3 lets nobody: a disk may, or who has it."""
    return s3_backends["123456789012"]["global"].buckets[store.bucket].keys.getlist(key_of(archive_id))[0]


TIMES = st.sampled_from(["infinity", "-infinity", "0044-03-15 BC", "294276-01-01", "1582-10-15"])
WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.sampled_from([0, -1, 2**63 - 1, -(2**63)])
JSON = st.recursive(
    st.none() | st.booleans() | WORDS | NUMBERS, lambda one: st.lists(one) | st.dictionaries(WORDS, one)
)
GARBAGE = {
    "journal": {
        "at": TIMES,
        "payload": WORDS | JSON.map(json.dumps),
        "prev": st.binary(),
        "hash": st.binary(),
        "kind": WORDS,
    },
    "journal_head": {"at": TIMES, "seq": NUMBERS, "hash": st.binary(), "tenant": WORDS},
    "deposit": {
        "retain_until": TIMES,
        "deposited_at": TIMES,
        "size": NUMBERS,
        "sha512": WORDS,
        "version": WORDS,
        "key": WORDS,
    },
    "deposit_copy": {"retain_until": TIMES, "place": WORDS, "version": WORDS, "bucket": WORDS, "archive_id": WORDS},
    "inbound_email": {
        "envelope": JSON.map(json.dumps),
        "scan": JSON.map(json.dumps),
        "received_at": TIMES,
        "key": WORDS,
    },
    "inbox_item": {"salt": WORDS, "header_fields": JSON.map(json.dumps), "received_at": TIMES, "raw_archive_id": WORDS},
    "archived_mail": {"sha256": WORDS, "key": WORDS, "archived_at": TIMES},
}
CHANGE = st.sampled_from([(table, column) for table, columns in GARBAGE.items() for column in columns]).flatmap(
    lambda where: st.tuples(st.just(where[0]), st.just(where[1]), GARBAGE[where[0]][where[1]])
)


@settings(max_examples=5, suppress_health_check=list(HealthCheck))
@given(st.lists(CHANGE, min_size=1, max_size=4))
def test_rows_of_any_content_end_no_verification(cases: Cases, changes: list[tuple[str, str, Any]]) -> None:
    """An administrator may write anything; the rest is verified all the same, and what was written is named."""
    url = cases.copy()
    with administrator(url) as admin:
        admin.run("alter table journal alter column kind drop expression")
        admin.run("alter table journal alter column subject drop expression")
        for table, column, value in changes:
            row = admin.run(f"select ctid::text from {table} order by random() limit 1")[0][0]
            admin.run(f"update {table} set {column} = %s where ctid = %s::tid", value, row)

    report = cases.archive.verify(url=url, reading=False)

    assert report.counts["deposit_entry", Outcome.PASS] + report.counts["item_fields", Outcome.PASS] > 0
