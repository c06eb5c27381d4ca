"""`mailroom archive verify`: every alteration that an administrator of the database can make is named, by check and subject.

The archive has a mail that is sealed, and one that was filed since. Each case alters a copy of the database.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.s3.models import s3_backends
from sqlalchemy import Engine

from mailroom.adapters.postgres.engine import make_engine
from mailroom.audit.archive_report import Outcome
from mailroom.audit.archive_rows import Scope
from mailroom.audit.verify import UnknownSubjectError
from mailroom.sandbox.stack.postgres import Postgres
from tests.support.archive_alterations import ALTERATIONS, Cases, digests_of, filled
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
    payload = {"items": dict(digests_of(admin, email)), "kind": "filed", "subject": email}
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


def enter_a_receipt_again(cases: Cases, admin: Administrator) -> None:
    """Move the date of a receipt, and enter it again as if it were deposited today."""
    document = cases.raw[cases.note]
    admin.run("update journal set at = at - interval '1 day' where tenant = 'acme'")
    admin.run("update deposit set deposited_at = now() where archive_id = %s", document)
    [[payload]] = admin.run("select payload from journal where kind = 'deposit' and subject = %s", document)
    admin.chain_again("acme")
    admin.enter("acme", json.loads(payload))


def test_a_receipt_that_was_entered_twice_is_noted(cases: Cases) -> None:
    """A row that was removed is made again by a replay, and who alters a date can enter that: both are a line for good."""
    report = cases.after(enter_a_receipt_again)

    assert ("deposit_entry", cases.raw[cases.note]) in named(report, Outcome.NOTED)


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


def test_what_s3_refuses_to_anybody_leaves_nothing_to_report(harmed: SmallArchive) -> None:
    """Mutations 85 and 86: overwritten and deleted without a version, every version is read; a locked one is not deleted.

    Who has the bypass permission can delete it under GOVERNANCE, which is named.
    """
    store = harmed.store
    objects = [one for one in store.versions() if one["Key"].startswith("acme/")]
    for one in objects:
        which = {"Bucket": store.bucket, "Key": one["Key"]}
        store.s3.put_object(**which, Body=b"other bytes")
        store.s3.delete_object(**which)
        with pytest.raises(ClientError, match="AccessDenied"):
            store.s3.delete_object(**which, VersionId=one["VersionId"])
    before = named(harmed.verify())
    [one] = [one for one in objects if one["Key"] == key_of(harmed.raw(harmed.emails[0]))]
    store.s3.delete_object(
        Bucket=store.bucket, Key=one["Key"], VersionId=one["VersionId"], BypassGovernanceRetention=True
    )

    assert before == set()
    assert named(harmed.verify()) == {("object_there", f"{harmed.raw(harmed.emails[0])}@first")}


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


@settings(max_examples=3, suppress_health_check=list(HealthCheck))
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
