"""The archive's journals and receipts in PostgreSQL: chained without gaps, and in the same statement as their effect."""

import hashlib
import json
import os
import random
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from mailroom import crash_points
from mailroom.adapters.postgres import engine as engine_module
from mailroom.adapters.postgres.archive.journal import SqlJournal, append_entries
from mailroom.adapters.postgres.archive.receipts import Copy, Recording, SqlReceipts
from mailroom.adapters.postgres.engine import make_engine, transaction
from mailroom.archive.depositing import deposit_all
from mailroom.domain.archive.journal import JournalEntry, Stream
from mailroom.domain.archive.retention import RetentionClass
from mailroom.ports.archive import Deposit
from mailroom.ports.journal import Journal
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.journal import MemoryJournal
from tests.support.tampering import tamper, tampering

NOW = datetime.now(UTC).replace(microsecond=0)
RECEIPT = Deposit(
    "acme/aa", "acme", "aa", 3, "archive", "acme/aa/aa", "v1", "GOVERNANCE", NOW + timedelta(days=9), NOW, "bb"
)

#: As the release before migration 0033 records a deposit, word for word.
EARLIER = text("""
INSERT INTO deposit (archive_id, tenant, sha256, size, bucket, key, version, lock_mode, retain_until, deposited_at, verified_at)
VALUES (:archive_id, :tenant, :sha256, :size, :bucket, :key, :version, :lock_mode, :retain_until, :deposited_at, :verified_at)
ON CONFLICT (archive_id) DO UPDATE SET bucket = excluded.bucket, version = excluded.version,
    lock_mode = CASE WHEN (deposit.bucket = excluded.bucket AND deposit.version = excluded.version
        AND deposit.lock_mode = 'COMPLIANCE') THEN deposit.lock_mode ELSE excluded.lock_mode END,
    retain_until = CASE WHEN (deposit.bucket = excluded.bucket AND deposit.version = excluded.version)
        THEN greatest(deposit.retain_until, excluded.retain_until) ELSE excluded.retain_until END,
    verified_at = greatest(deposit.verified_at, excluded.verified_at)
""")


def entries_of(engine: Engine, tenant: str = "acme", stream: str = "life") -> list[Any]:
    """Return a journal's entries, after an independent check of its chain."""
    wanted = "select * from journal where tenant = :tenant and stream = :stream order by seq"
    with engine.connect() as connection:
        rows = connection.execute(text(wanted), {"tenant": tenant, "stream": stream}).all()
    prev, last = hashlib.sha256(f"mailroom journal {tenant} {stream}".encode()).digest(), None
    for number, row in enumerate(rows, 1):
        micros = round((row.at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))
        hashed = b"\0" + prev + number.to_bytes(8, "big") + micros.to_bytes(8, "big") + row.payload.encode()
        assert (row.seq, row.prev, row.hash) == (number, prev, hashlib.sha256(hashed).digest())
        assert row.payload == json.dumps(json.loads(row.payload), sort_keys=True, separators=(",", ":"))
        assert last is None or row.at >= last
        prev, last = row.hash, row.at
    return list(rows)


def kinds(engine: Engine, tenant: str = "acme", stream: str = "life") -> list[str]:
    return [row.kind for row in entries_of(engine, tenant, stream)]


@pytest.fixture(params=["memory", "sql"])
def journal(request: pytest.FixtureRequest, engine: Engine) -> Journal:
    """Each adapter of the port."""
    return SqlJournal(engine) if request.param == "sql" else MemoryJournal()


def payloads(journal: Journal, engine: Engine, tenant: str, stream: Stream) -> list[str]:
    if isinstance(journal, MemoryJournal):
        return [one.payload for one in journal.entries if (one.tenant, one.stream) == (tenant, stream)]
    return [row.payload for row in entries_of(engine, tenant, stream)]


def test_all_entries_are_appended(journal: Journal, engine: Engine) -> None:
    """One port, two adapters; what is unknown is left out of a payload."""
    journal.append("acme", Stream.OPERATIONS, "started", facts={"version": "1", "nothing": None})
    journal.append_all([JournalEntry("umbrella", "access", "umbrella/1"), JournalEntry("acme", "access", "acme/1")])
    journal.append_all([])

    assert payloads(journal, engine, "acme", Stream.OPERATIONS) == ['{"kind":"started","version":"1"}']
    assert payloads(journal, engine, "acme", Stream.LIFE) == ['{"kind":"access","subject":"acme/1"}']
    assert payloads(journal, engine, "umbrella", Stream.LIFE) == ['{"kind":"access","subject":"umbrella/1"}']


def test_eight_writers_of_one_journal_leave_no_gap_and_no_fork(engine: Engine) -> None:
    """Ten processes deposit at once; a fork would be two histories, a gap a suspicion."""
    journal = SqlJournal(engine)

    def write(writer: int) -> None:
        for batch in range(20):
            size = 1 if batch % 2 else 99
            journal.append_all([JournalEntry("acme", "access", f"acme/{writer}", {"n": n}) for n in range(size)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))

    assert len(entries_of(engine)) == 8 * 1000


def test_transactions_of_the_same_tenants_in_any_order_do_not_wait_for_each_other(engine: Engine) -> None:
    """A mail for two tenants and one for the same two, the other way round: a deadlock would fail one of them."""

    def write(tenants: tuple[str, str]) -> None:
        for _ in range(30):
            with transaction(engine) as connection:
                append_entries(connection, [JournalEntry(tenant, "archived", "1") for tenant in tenants])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, [("acme", "umbrella"), ("umbrella", "acme")] * 2))

    assert len(entries_of(engine, "acme")) == len(entries_of(engine, "umbrella")) == 120


def test_only_what_changed_is_an_entry(engine: Engine) -> None:
    """A logo in a thousand mails a day is verified a thousand times and deposited once."""
    receipts, longer = SqlReceipts(engine), RECEIPT.retain_until + timedelta(days=1)
    second = Copy("second", "elsewhere", "acme/aa/aa", "w1", "GOVERNANCE", RECEIPT.retain_until)

    for one, others in (
        (RECEIPT, []),
        (replace(RECEIPT, verified_at=NOW + timedelta(hours=1)), []),
        (replace(RECEIPT, retain_until=longer), []),
        (RECEIPT, [second]),
        (RECEIPT, [second]),
        (replace(RECEIPT, version="v2", retain_until=longer), []),
        (replace(RECEIPT, version="v2", lock_mode="COMPLIANCE"), []),
        (replace(RECEIPT, version="v2"), [replace(second, retain_until=longer)]),
    ):
        receipts.record(one, rule="document-1", others=others)

    entries = [json.loads(row.payload) for row in entries_of(engine)]
    assert [(one["kind"], one["place"]) for one in entries] == [
        ("deposit", "first"),
        ("extend", "first"),
        ("copy", "second"),
        ("copy", "first"),
        ("extend", "first"),
        ("extend", "second"),
    ]
    until = RECEIPT.retain_until.isoformat()
    facts = {"kind": "deposit", "subject": "acme/aa", "sha256": "aa", "sha512": "bb", "size": 3, "rule": "document-1"}
    assert entries[0] == facts | {"place": "first", "version": "v1", "mode": "GOVERNANCE", "until": until}
    kept = receipts.find("acme/aa")
    assert kept == replace(RECEIPT, version="v2", lock_mode="COMPLIANCE", retain_until=longer)
    assert kept is not None
    assert kept.verified_at == NOW + timedelta(hours=1)
    assert receipts.kept_until("archive", RECEIPT.key) == longer
    assert receipts.versions("elsewhere", RECEIPT.key) == ["w1"]


def test_the_same_content_at_once_is_one_deposit_and_one_entry(engine: Engine) -> None:
    """The same attachment comes in eight mails of one moment."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(SqlReceipts(engine).record, [RECEIPT] * 16))

    assert kinds(engine) == ["deposit"]


def test_mails_with_the_same_attachments_at_once_wait_in_one_order(engine: Engine) -> None:
    """Two statements that lock the same rows, or two journals, in different orders would wait for each other for ever."""
    names = [(tenant, f"{n:02}") for tenant in ("globex", "acme", "acme-2") for n in range(12)]
    recordings = [Recording(replace(RECEIPT, archive_id=f"{a}/{b}", tenant=a, sha256=b)) for a, b in names]
    chance = random.Random(1)

    def record(_: int) -> None:
        some = chance.sample(recordings, 20)
        moved = {n: replace(one.receipt, version=f"v{chance.randrange(9)}") for n, one in enumerate(some)}
        SqlReceipts(engine).record_all([replace(one, receipt=moved[n]) for n, one in enumerate(some)])

    SqlReceipts(engine).record_all(recordings)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(60)))

    assert [kinds(engine, tenant)[:12] for tenant in ("acme", "acme-2", "globex")] == [["deposit"] * 12] * 3
    assert all("deposit" not in kinds(engine, tenant)[12:] for tenant in ("acme", "acme-2", "globex"))


def test_a_mail_with_fifty_attachments_for_three_tenants(engine: Engine) -> None:
    """Every content is a deposit of each tenant, and an entry of each tenant's journal."""

    class Recorded(MemoryArchive):
        def deposit(
            self, tenant: str, content: bytes, *, retention: RetentionClass = RetentionClass.DOCUMENT
        ) -> Deposit:
            receipt = super().deposit(tenant, content, retention=retention)
            SqlReceipts(engine).record(receipt)
            return receipt

    class Ledger:
        def deposited(self, *_: Any, **__: Any) -> None: ...

    tenants = ["acme", "globex", "umbrella"]
    line: Any = SimpleNamespace(id="1")

    deposit_all(line, tenants, [b"%d" % n for n in range(51)], archive=Recorded(), ledger=Ledger(), now=NOW)  # type: ignore[arg-type]

    assert [kinds(engine, tenant) for tenant in tenants] == [["deposit"] * 51] * 3


FORBIDDEN = (
    "update journal set payload = '{}'",
    "delete from journal",
    "truncate journal",
    "insert into journal (tenant, stream, seq, at, payload, prev, hash) values ('a', 'life', 1, now(), '{}', '', '')",
    "update journal_head set seq = 0",
    "delete from journal_head",
    "update deposit set size = 1",
    "delete from deposit",
    "truncate deposit cascade",
    "delete from deposit_copy",
    "update deposit_copy set retain_until = now()",
    "alter table journal disable trigger all",
    "alter table deposit disable trigger deposit_kept",
    "drop trigger journal_kept on journal",
    "drop table journal",
    "set session_replication_role = replica",
    "create function sha256(text) returns bytea language sql as 'select null::bytea'",
    "select note_for_earlier(d, 'deposit') from deposit d",
    "update schema_serves set oldest_code = 1",
)
#: Those of them that triggers stop, also for the owner.
STOPPED = (*FORBIDDEN[:3], *FORBIDDEN[6:9], FORBIDDEN[10])


def test_the_application_cannot_change_what_is_evidence(engine: Engine) -> None:
    """An attacker who takes over a worker has its login, and could rewrite what it did."""
    SqlReceipts(engine).record(RECEIPT)

    for statement in FORBIDDEN:
        with pytest.raises(DBAPIError, match=r"permission denied|must be owner|refused"), engine.begin() as connection:
            connection.execute(text(statement))

    assert kinds(engine) == ["deposit"]


def test_triggers_stop_the_owner_too(engine: Engine) -> None:
    """A mistake in psql is refused; who disables triggers first does it on purpose, and is found by the seals."""
    SqlReceipts(engine).record(RECEIPT)

    for statement in STOPPED:
        with pytest.raises(DBAPIError, match=r"never changed|refused"), tampering(engine, triggers=True) as connection:
            connection.execute(text(statement))

    assert kinds(engine) == ["deposit"]


def test_own_tables_do_not_take_the_journals_place(engine: Engine) -> None:
    """A temporary table comes before all others: the function would read a forged head from it."""
    SqlReceipts(engine).record(RECEIPT)

    with engine.begin() as connection:
        connection.execute(text("create temp table journal_head as select * from journal_head"))
        connection.execute(text("update pg_temp.journal_head set seq = 41, hash = 'forged'"))
        append_entries(connection, [JournalEntry("acme", "access", "acme/aa")])

    assert kinds(engine) == ["deposit", "access"]


def _died(database_url: str, deaths: Path, point: str, record: Callable[[Engine], None]) -> None:
    """Run `record` in a process that is killed at this point."""
    if child := os.fork():
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        return
    try:
        os.environ[crash_points.VARIABLE] = str(deaths)
        engine_module.crash_point = crash_points._armed.fire
        crash_points.arm(point)
        record(make_engine(database_url))
    finally:
        os._exit(1)


def _in_a_transaction(engine: Engine) -> None:
    with transaction(engine, "commit of record") as connection:
        SqlReceipts(engine).record_in(connection, RECEIPT)


@pytest.mark.parametrize(
    ("point", "record", "left"),
    [
        ("before commit of record", lambda engine: SqlReceipts(engine).record(RECEIPT), []),
        ("before commit of record", _in_a_transaction, []),
        ("after commit of record", lambda engine: SqlReceipts(engine).record(RECEIPT), ["deposit"]),
    ],
    ids=["before", "in a transaction", "after"],
)
def test_a_deposit_and_its_entry_are_both_there_or_not(
    engine: Engine, database_url: str, tmp_path: Path, point: str, record: Callable[[Engine], None], left: list[str]
) -> None:
    """Killed at any moment: a receipt without its entry looks forged, an entry without its receipt looks deleted."""
    _died(database_url, tmp_path / "deaths", point, record)

    assert kinds(engine) == left
    assert (SqlReceipts(engine).find("acme/aa") is not None) == bool(left)
    SqlReceipts(engine).record(RECEIPT)
    assert kinds(engine) == ["deposit"]


def test_a_clock_that_goes_back_changes_no_order_and_is_an_entry(engine: Engine) -> None:
    """The machine's clock was a day ahead, and is corrected: times of a journal never go back."""
    journal = SqlJournal(engine)
    journal.append("acme", Stream.LIFE, "access", "acme/1")
    tamper(engine, "update journal_head set at = at + interval '1 day' where tenant = 'acme'")

    for subject in ("acme/2", "acme/3"):
        journal.append("acme", Stream.LIFE, "access", subject)
    tamper(engine, "update journal_head set at = at - interval '2 days' where tenant = 'acme'")
    journal.append("acme", Stream.LIFE, "access", "acme/4")

    with engine.connect() as connection:
        rows = connection.execute(
            text("select kind, payload, at from journal where tenant = 'acme' order by seq")
        ).all()
    assert [row.kind for row in rows] == ["access", "clock_back", "access", "access", "access"]
    assert 86_000 < json.loads(rows[1].payload)["seconds"] <= 86_401
    assert rows[1].at == rows[2].at == rows[3].at == rows[0].at + timedelta(days=1)


def test_an_earlier_release_beside_this_one_is_journalled_too(engine: Engine) -> None:
    """Its statement knows no copies and no journal; triggers do what this release does. It connects as the owner."""

    def earlier(connection: Connection, receipt: Deposit) -> None:
        values = {name: getattr(receipt, name) for name in receipt.__slots__}
        connection.execute(EARLIER, values | {"deposited_at": NOW})

    longer = replace(RECEIPT, retain_until=RECEIPT.retain_until + timedelta(days=1))
    with tampering(engine, triggers=True) as connection:
        for receipt in (RECEIPT, RECEIPT, longer):
            earlier(connection, receipt)
    SqlReceipts(engine).record(longer)
    SqlReceipts(engine).record(replace(longer, retain_until=longer.retain_until + timedelta(days=1)))
    with tampering(engine, triggers=True) as connection:
        earlier(connection, RECEIPT)
        earlier(connection, replace(RECEIPT, version="v2"))

    assert kinds(engine) == ["deposit", "extend", "extend", "copy"]
    kept = SqlReceipts(engine).find("acme/aa")
    assert kept is not None
    assert (kept.version, kept.retain_until, kept.sha512) == ("v2", longer.retain_until + timedelta(days=1), None)
