"""A lost database is rebuilt from the archive, and is what it was, row by row."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.aws.exports_s3 import S3Exports
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.adapters.postgres.tenants.people import SqlPeople
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.archive.exporting import export_installation
from mailroom.archive.rebuilding import Rebuilt, rebuild, survey
from mailroom.cli import _rebuild
from mailroom.cli import archive as command
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.received_email import ObjectRef, State
from mailroom.domain.inbound.routing import Address
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.domain.people import Role
from mailroom.ports.api_keys import NewKey
from mailroom.ports.people import NewPerson
from mailroom.ports.suppressions import Suppression
from mailroom.sandbox.stack.postgres import Postgres
from mailroom.testing.scanner import EICAR, MemoryScanner
from tests.support.archive_store import store_on
from tests.support.rebuilt_installation import COMPARED, GOOD, Installation, installation, rows_of

ANNA, BOB, NEW, TEMP = "anna@acme.test", "bob@globex.test", "new@acme.test", "temp@acme.test"
LEASE = b"%PDF-1.7 lease"
_numbers = count()


def letter(subject: str, *, attachment: bytes = b"", to: str = ANNA) -> bytes:
    head = f"From: Carl <carl@sender.test>\r\nTo: {to}\r\nCc: x@y.test\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\n"
    if not attachment:
        return f"{head}Message-ID: <{subject}@sender.test>\r\n\r\nDear Anna, {subject}.\r\n".encode()
    body = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>Hello\r\n--b\r\n"
    part = (
        "Content-Type: application/pdf; name=lease.pdf\r\nContent-Disposition: attachment; filename=lease.pdf\r\n\r\n"
    )
    return (head + body + part).encode() + attachment + b"\r\n--b--\r\n"


@pytest.fixture
def new_engine(postgres: Postgres) -> Iterator[Callable[[], Engine]]:
    """Make a new database, migrated and empty."""
    made: list[Engine] = []

    def make() -> Engine:
        name = f"rebuilt_{next(_numbers)}"
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{name}" template mailroom')
        made.append(make_engine(postgres.url(name)))
        return made[-1]

    yield make
    for one in made:
        one.dispose()


class Desk:
    """An installation with people, keys, suppressions and mails of every class; its database is lost later."""

    def __init__(self, here: Installation) -> None:
        self.here, self.ids = here, dict[str, str]()
        self.key = secrets.token_hex(8)
        self._settle()
        for address in (ANNA, BOB, TEMP):
            self.gives_inbox(address)
        self.receive()

    def gives_inbox(self, address: str) -> None:
        user, _, domain = address.partition("@")
        self.here.inbound.directory.add(Address(address, domain.removesuffix(".test"), user))

    def _settle(self) -> None:
        engine = self.here.engine
        with engine.begin() as connection:
            connection.execute(text("insert into tenant (id, policy, created_at) values ('acme', '{}', now())"))
            strict = (
                """insert into tenant (id, policy, created_at) values ('globex', '{"spam": "quarantine"}', now())"""
            )
            connection.exec_driver_sql(strict)
            connection.execute(text("insert into sender (pattern, tenant) values ('@acme.test', 'acme')"))
        SqlPeople(engine).add(NewPerson("anna@acme.test", Role.MEMBER, "acme", (ANNA, "*@acme.test"), "cli"))
        digest = hashlib.sha256(self.key.encode()).hexdigest()
        SqlApiKeys(engine).add(NewKey("reader", "acme", ("inbox:read",), None, digest, "mr_1", "cli"))
        left = {"reason": "unsubscribed", "since": datetime.now(UTC)}
        SqlSuppressions(engine).add([Suppression(address="left@far.test", tenant="acme", **left)])

    def receive(self) -> None:
        """One mail of each class and fate."""
        here, spam = self.here, replace(GOOD, spam=Verdict.FAIL)
        forged = replace(GOOD, dmarc=Verdict.FAIL, dmarc_policy="reject")
        self.ids |= {
            "document": here.receive(letter("one", attachment=LEASE), ANNA),
            "shared": here.receive(letter("two", attachment=LEASE), ANNA, BOB, "nobody@far.test"),
            "tokens": here.receive(letter("three"), "anna+a@acme.test", "anna+b@acme.test"),
            "unrouted": here.receive(letter("four"), "nobody@far.test"),
            "virus": here.receive(letter("five"), ANNA, verdicts=replace(GOOD, virus=Verdict.FAIL)),
            "quarantined": here.receive(letter("six"), ANNA, verdicts=forged),
            "held for one": here.receive(letter("seven"), ANNA, BOB, verdicts=spam),
            "withdrawn": here.receive(infected := letter("eight", attachment=EICAR), ANNA),
            "added": here.receive(letter("nine"), ANNA, NEW),
            "removed": here.receive(letter("ten"), ANNA, TEMP),
            "died": here.receive(letter("thirteen"), ANNA, BOB),
            "shown": here.receive(letter("fourteen"), ANNA),
            "empty": here.receive(b"no mail at all", ANNA),
            "report": here.receive(letter("eleven"), ANNA, report=True),
            "scanned": here.receive(letter("twelve"), ANNA, scanner=MemoryScanner()),
        }
        here.replay(self.ids["withdrawn"], infected, scanner=MemoryScanner())
        self.gives_inbox(NEW)
        here.replay(self.ids["added"], letter("nine"))
        with here.engine.begin() as connection:
            connection.execute(text("delete from address where pattern = :pattern"), {"pattern": TEMP})
        here.replay(self.ids["removed"], letter("ten"))
        here.dies(self.ids["died"])
        here.dies(self.ids["shown"])
        here.replay(self.ids["shown"], letter("fourteen"))


def rebuilt(here: Installation) -> Rebuilt:
    return rebuild(here.rebuilding(), now=lambda: datetime.now(UTC))


def kept(engine: Engine, table: str) -> list[dict[str, Any]]:
    order, leave = COMPARED[table]
    return list(rows_of(engine, table, set(leave), order))


def differing(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[Any]:
    """The columns in which rows differ, with both values; or the rows, if there are more or fewer."""
    if len(before) != len(after):
        return [before, after]
    pairs = zip(before, after, strict=True)
    return [
        {name: (one[name], two[name]) for name in one if one[name] != two[name]} for one, two in pairs if one != two
    ]


@pytest.fixture
def desk(emulator: str, engine: Engine) -> Desk:
    second = store_on(emulator, engine).bucket
    return Desk(installation(store_on(emulator, engine), engine, second=second))


def test_a_lost_database_is_rebuilt_row_by_row(desk: Desk, new_engine: Callable[[], Engine]) -> None:
    """What people have in their inboxes, what the archive gave receipts for, and who may read it: all of it as it was."""
    lost = desk.here
    export_installation(lost.exporting(), now=datetime.now(UTC))
    lost.seal()
    half = lost.receive(letter("half"), ANNA, until="file")
    lost.seal()
    late = lost.receive(letter("late"), ANNA)
    there = lost.on(new_engine())

    found, done = survey(there.rebuilding()), rebuilt(there)

    assert (found.mails, done.mails, done.items, done.different, done.left) == (16, 15, 16, 0, [half])
    for table in COMPARED:
        unknown = {late} if table == "archived_mail" else {half, late}
        before = [one for one in kept(lost.engine, table) if not about(one, unknown, lost.engine)]
        assert differing(before, kept(there.engine, table)) == [], table
    assert_journals_go_on(lost.engine, there.engine)
    assert there.seal() == [], "the seals in the archive are followed by others"
    assert SqlSuppressions(there.engine).among("acme", ["left@far.test"], now=datetime.now(UTC)) == {"left@far.test"}
    holder = SqlApiKeys(there.engine).holder(hashlib.sha256(desk.key.encode()).hexdigest())
    assert holder is not None
    assert holder.tenant == "acme"
    assert_item_opens(there, desk.ids["document"])
    # What was under way comes from the inbound bucket, with the recipients that its manifest has.
    there.process(ref_of(lost.engine, half), letter("half"))
    assert states(there.engine) == states(lost.engine, without=late) | {"half": State.FILED}


def about(row: dict[str, Any], ids: set[str], engine: Engine) -> bool:
    """Whether a row is of one of these e-mails."""
    if str(row.get("email_id", row.get("id"))) in ids:
        return True
    if "archive_id" not in row:
        return False
    of_others = text(
        "select exists (select from inbound_email where :id = any(archive_ids) and id <> all(cast(:ids as uuid[])))"
    )
    with engine.connect() as connection:
        return not connection.execute(of_others, {"id": row["archive_id"], "ids": list(ids)}).scalar_one()


def assert_journals_go_on(lost: Engine, there: Engine) -> None:
    """Each journal is what was sealed, and goes on with `rebuilt`, which names the last known entry."""
    wanted = text("select tenant, stream, seq, at, payload, prev, hash, kind from journal order by tenant, stream, seq")
    with lost.connect() as connection:
        before = {(one.tenant, one.stream, one.seq): one for one in connection.execute(wanted)}
    with there.connect() as connection:
        after = connection.execute(wanted).all()
    goes_on = {(one.tenant, one.stream) for one in after if one.kind == "rebuilt"}
    assert goes_on == {(one.tenant, one.stream) for one in after}
    assert {("acme", "life"), ("globex", "life"), ("unrouted", "operations")} <= goes_on
    for one, following in zip(after, [*after[1:], None], strict=True):
        last = next(
            row.seq for row in after if (row.tenant, row.stream, row.kind) == (one.tenant, one.stream, "rebuilt")
        )
        if one.seq < last:
            assert tuple(one) == tuple(before[one.tenant, one.stream, one.seq])
            assert following is not None
            assert following.prev == one.hash


def assert_item_opens(there: Installation, email_id: str) -> None:
    with there.engine.connect() as connection:
        wanted = text("select id from inbox_item where email_id = :id")
        [item_id] = connection.execute(wanted, {"id": email_id}).scalars()
    item = SqlInboxReader(there.engine).item("acme", str(item_id))
    assert item is not None
    assert item.item.subject == "one"
    [part] = item.item.attachments
    assert (part.filename, there.inbound.archive.read(part.archive_id)) == ("lease.pdf", LEASE)


def ref_of(engine: Engine, email_id: str) -> ObjectRef:
    with engine.connect() as connection:
        row = connection.execute(text("select bucket, key from inbound_email where id = :id"), {"id": email_id}).one()
    return ObjectRef(row.bucket, row.key)


def states(engine: Engine, *, without: str = "") -> dict[str, str]:
    """The state of each e-mail, by its subject where it has an item."""
    wanted = """
        select coalesce((select min(subject) from inbox_item where email_id = inbound_email.id), key) as name, state
        from inbound_email where id::text <> :without and state <> 'processing'
    """
    with engine.connect() as connection:
        return {one.name: one.state for one in connection.execute(text(wanted), {"without": without})}


class Killed(BaseException):
    """The process ends here."""


def test_a_rebuild_that_was_killed_is_continued(desk: Desk, new_engine: Callable[[], Engine]) -> None:
    """Before each of its transactions, and then run once more: nothing is there twice, and nothing is missing."""
    export_installation(desk.here.exporting(), now=datetime.now(UTC))
    desk.here.seal()
    there = desk.here.on(new_engine())
    mails = 0

    for last in count(1):
        ports = there.rebuilding()
        calls = count(1)

        def until(which: int, calls: Iterator[int] = calls, last: int = last) -> None:
            if next(calls) == last:
                raise Killed(which)

        for name in ("put_journal", "put_archived", "put_deposits", "put_copies", "put_mail", "finish"):
            whole = getattr(ports.rows, name)
            setattr(ports.rows, name, lambda *a, whole=whole, until=until, **k: (until(0), whole(*a, **k))[1])
        try:
            mails += rebuild(ports, now=lambda: datetime.now(UTC)).mails
            break
        except Killed:
            continue

    assert mails <= 15
    for table in COMPARED:
        assert differing(kept(desk.here.engine, table), kept(there.engine, table)) == [], table
    with pytest.raises(ConfigurationError, match="the database has mail"):
        rebuilt(there)


def test_a_database_with_mail_is_not_rebuilt(desk: Desk) -> None:
    """A wrong database's name must not mix two installations."""
    export_installation(desk.here.exporting(), now=datetime.now(UTC))

    with pytest.raises(ConfigurationError, match="the database has mail"):
        rebuilt(desk.here)
    with pytest.raises(ConfigurationError, match="the database has mail"):
        survey(desk.here.rebuilding())


def test_what_this_installation_did_not_sign_or_journal_is_not_put_back(
    desk: Desk, new_engine: Callable[[], Engine]
) -> None:
    """Anybody who may write into the bucket could plant a person, a journal, or a mail."""
    here = desk.here
    export_installation(here.exporting(), now=datetime.now(UTC))
    newest = next(S3Exports(here.store.s3, bucket=here.store.bucket, lock_mode="GOVERNANCE").newest())
    where = {"Bucket": here.store.bucket, "Key": newest.key}
    stored = here.store.s3.get_object(**where)["Body"].read()
    here.store.put_locked(newest.key, stored.replace(b"*@acme.test", b"*@globex.tes"))
    here.store.put_locked("_mailroom/exports/2999-01-01T00.jsonl", b"{}\n")
    here.store.put_locked("_mailroom/exports/2999-01-01T01.jsonl", stored[:-3])
    here.seal()
    prefix = "globex/seals/life/"
    forged = replace(here, key=Ed25519SealKey(secrets.token_bytes(32)))
    here.receive(letter("another"), BOB)
    forged.seal()
    here.store.s3.delete_object(Bucket=here.store.bucket, Key=f"{prefix}00000001.json")
    there = here.on(new_engine())

    done = rebuilt(there)

    assert (done.export, done.mails) == (newest.key, 15)
    assert kept(there.engine, "person") == kept(here.engine, "person")


def test_the_command_shows_what_there_is_then_rebuilds_it(
    desk: Desk, new_engine: Callable[[], Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last entry of each journal is named, because what came after it is not known."""
    export_installation(desk.here.exporting(), now=datetime.now(UTC))
    desk.here.seal()
    there = desk.here.on(new_engine())
    others: list[str] = []
    monkeypatch.setattr(_rebuild, "use_stack_environment", lambda: None)
    monkeypatch.setattr(_rebuild, "load_owner_url", lambda: "")
    monkeypatch.setattr(_rebuild, "engine_of", lambda *_: there.engine)
    monkeypatch.setattr(_rebuild, "others_at_work", lambda _: others)
    monkeypatch.setattr(_rebuild, "ports_of", lambda *_: there.rebuilding())
    run = partial(CliRunner().invoke, command.app)

    neither = run(["rebuild"])
    dry = run(["rebuild", "--dry-run"])
    others.append("mailroom worker")
    busy = run(["rebuild", "--yes"])
    others.clear()
    done = run(["rebuild", "--yes", "--json"])

    assert isinstance(neither.exception, ConfigurationError)
    assert "15 e-mails would be put back" in dry.output
    assert "journal globex/life: " in dry.output
    assert "is not known" in dry.output
    assert "mailroom worker" in str(busy.exception)
    assert json.loads(done.stdout) | {"mails": 15, "rebuilt": True} == json.loads(done.stdout)


def test_without_a_signed_export_nothing_is_put_back(desk: Desk, new_engine: Callable[[], Engine]) -> None:
    """Mail without its tenants would belong to nobody; and who left would get mail again."""
    desk.here.seal()
    there = desk.here.on(new_engine())

    with pytest.raises(ConfigurationError, match="no export"):
        rebuilt(there)

    with there.engine.connect() as connection:
        assert connection.execute(text("select count(*) from inbound_email")).scalar_one() == 0
