"""An older database was restored: the entries that were sealed since come back from the archive, and sealing goes on."""

import json
import secrets
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.archive.seals import SqlSeals
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.archive.exporting import export_installation
from mailroom.archive.proving import prove
from mailroom.archive.rebuilding import survey
from mailroom.archive.recovering import Recovered, recover
from mailroom.audit.archive_documents import FIRST, Place
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope
from mailroom.audit.archive_seals import SealTrust
from mailroom.audit.proofs import check_proof
from mailroom.audit.verify import Installation as Verified
from mailroom.audit.verify import verify
from mailroom.cli import _recover
from mailroom.cli import archive as command
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import Address
from mailroom.sandbox.stack.postgres import Postgres
from tests.support.archive_store import store_on
from tests.support.rebuilt_installation import Installation, installation
from tests.support.small_archive import Administrator, administrator, named

ANNA = "anna@acme.test"
_numbers = count()


class Copies:
    """Copies of databases: a backup, or what is restored from it."""

    def __init__(self, postgres: Postgres) -> None:
        self.postgres, self.engines = postgres, list[Engine]()

    def of(self, name: str) -> str:
        """Return the name of a copy of a database that nobody uses."""
        copy = f"copied_{next(_numbers)}"
        with psycopg.connect(self.postgres.url("postgres"), autocommit=True) as connection:
            connection.execute(f'create database "{copy}" template "{name}"')
        return copy

    def opened(self, name: str) -> Engine:
        """Return an engine on a database, for its owner."""
        self.engines.append(make_engine(self.postgres.url(name)))
        return self.engines[-1]


@pytest.fixture
def copies(postgres: Postgres) -> Iterator[Copies]:
    made = Copies(postgres)
    yield made
    for one in made.engines:
        one.dispose()


def letter(subject: str) -> bytes:
    head = f"From: Carl <carl@sender.test>\r\nTo: {ANNA}\r\nSubject: {subject}\r\n"
    return f"{head}Message-ID: <{subject}@sender.test>\r\n\r\nDear Anna, {subject}.\r\n".encode()


class Restored:
    """An installation whose database was restored from a backup of before its second mail, which was sealed."""

    def __init__(self, emulator: str, copies: Copies) -> None:
        lost = copies.of("mailroom")
        engine = copies.opened(lost)
        self.lost = installation(store_on(emulator, engine), engine)
        self.lost.inbound.directory.add(Address(ANNA, "acme", "anna"))
        self.first = self.lost.receive(letter("first"), ANNA)
        self.bad = self.lost.receive(letter("bad"), ANNA)
        self.lost.seal()
        engine.dispose()
        backup = copies.of(lost)
        self.second = self.lost.receive(letter("second"), ANNA)
        self.half = self.lost.receive(letter("half"), ANNA, until="file")
        self.lost.dies(self.bad)
        self.lost.seal()
        self.lost.receive(letter("third"), ANNA)
        self.lost.seal()
        self.here = self.lost.on(copies.opened(backup))
        self.url = copies.postgres.url(backup)

    def report(self, *keys: str) -> ArchiveReport:
        """Return the report of a verification that trusts these keys, by default the one that signs."""
        store, report = self.here.store, ArchiveReport()
        trust = SealTrust(None, keys or {self.here.key.id})
        verified = Verified(self.url, [Place(FIRST, store.s3, store.bucket)], trust)
        verify(verified, Scope(), report, now=datetime.now(UTC), patience=-timedelta(hours=3))
        return report

    def journal(self, of: Installation) -> list[tuple[Any, ...]]:
        wanted = "select tenant, stream, seq, at, payload, prev, hash from journal order by tenant, stream, seq"
        with of.engine.connect() as connection:
            return [tuple(one) for one in connection.execute(text(wanted))]

    def hidden(self, *, before: bool = False) -> dict[str, str]:
        """Return the e-mails whose items are withdrawn, with the reason; `before` in the database that was lost."""
        wanted = "select email_id::text, withdrawn_reason from inbox_item where withdrawn_at is not null"
        with (self.lost if before else self.here).engine.connect() as connection:
            return {one.email_id: one.withdrawn_reason for one in connection.execute(text(wanted))}

    def again(self) -> list[dict[str, Any]]:
        """Return the facts of the entries that were entered again."""
        facts = [json.loads(payload) for *_, payload, _, _ in self.journal(self.here)]
        return [one for one in facts if "again" in one and one["kind"] != "recovered"]


@pytest.fixture
def restored(emulator: str, copies: Copies) -> Restored:
    return Restored(emulator, copies)


def recovered(here: Installation, *, dry_run: bool = False) -> Recovered:
    return recover(here.rebuilding(), now=lambda: datetime.now(UTC), dry_run=dry_run)


def test_what_was_sealed_comes_back_and_sealing_goes_on(restored: Restored) -> None:
    """The journal is what it was, mails have the ids that links have, and each report says for good that it was recovered."""
    here = restored.here
    before = restored.journal(here)

    dry = recovered(here, dry_run=True)

    assert restored.journal(here) == before
    done = recovered(here)
    assert done.journals == dry.journals
    assert (done.mails.mails, done.mails.left, done.mails.different) == (2, [restored.half], 0)
    assert set(restored.journal(restored.lost)) - set(restored.journal(here)) == set()
    assert restored.hidden(before=True) == restored.hidden() == {restored.bad: "poison"}
    assert here.seal() == []
    assert recovered(here).journals == {}
    # The mail that was under way when the journal ended is left to `sweep-inbound`.
    assert {(check, restored.half in subject) for check, subject in named(restored.report())} <= {
        ("mail_kept", True),
        ("deposit_kept", False),
        ("manifest_known", False),
    }
    assert {check for check, _ in named(restored.report(), Outcome.NOTED)} == {"journal_recovered"}


def test_what_was_entered_since_the_restore_follows(restored: Restored) -> None:
    """A worker ran before anybody noticed: its mail is not lost, and stands after what was sealed, with the time that it had."""
    here = restored.here
    fourth = here.receive(letter("fourth"), ANNA)
    own = {one[-1] for one in restored.journal(here)}
    assert any("older database" in why for why in here.seal())

    done = recovered(here)

    assert {one.kind for one in done.journals["acme/life"].again} == {"deposit", "archived", "filed"}
    entered = restored.again()
    assert {one["subject"] for one in entered if one["kind"] == "filed"} == {fourth}
    assert all(datetime.fromisoformat(one["again"]["at"]) < datetime.now(UTC) for one in entered)
    assert own - {one[-1] for one in restored.journal(here)}
    assert here.seal() == []
    assert not [subject for check, subject in named(restored.report()) if fourth in subject]


def alter(admin: Administrator, restored: Restored) -> None:
    """Alter a mail and its entries, cut what came after them, and chain the journal again."""
    admin.run("update inbox_item set subject = 'forged' where email_id = %s", restored.first)
    admin.run(
        """update journal set payload = regexp_replace(payload, '":"[0-9a-f]{64}"', '":"' || repeat('0', 64) || '"')
           where tenant = 'acme' and kind = 'filed'"""
    )
    admin.chain_again("acme")


def test_an_altered_journal_is_not_made_respectable(restored: Restored) -> None:
    """What was sealed stands where it was; the altered entry follows it, marked, and the altered item still fails."""
    with administrator(restored.url) as admin:
        alter(admin, restored)

    dry = recovered(restored.here, dry_run=True)
    recovered(restored.here)

    assert ("filed", restored.first) in {(one.kind, one.subject) for one in dry.journals["acme/life"].again}
    assert set(restored.journal(restored.lost)) <= set(restored.journal(restored.here))
    assert restored.here.seal() == []
    assert "item_fields" in {check for check, _ in named(restored.report())}
    assert "journal_recovered" in {check for check, _ in named(restored.report(), Outcome.NOTED)}


STRANGE = (
    "update journal set at = 'infinity' where tenant = 'acme' and seq = 2",
    "update journal set at = '0044-03-15 BC' where tenant = 'acme' and seq = 2",
    "update journal set seq = -1 where tenant = 'acme' and seq = 2",
    "update journal set payload = '[]', kind = null where tenant = 'acme' and seq = 2",
    "update journal set payload = 'no JSON' where tenant = 'acme' and seq = 2",
    "update journal set hash = '' where tenant = 'acme' and seq = 1",
    "delete from journal where tenant = 'acme'; delete from journal_head where tenant = 'acme'",
)


def test_rows_of_any_content_are_no_reason_not_to_recover(restored: Restored) -> None:
    """One after the other, on the recovered journal of the one before: each time what was sealed is back."""
    for change in STRANGE:
        with administrator(restored.url) as admin:
            for column in ("kind", "subject"):
                admin.run(f"alter table journal alter column {column} drop expression if exists")
                admin.run(f"alter table journal alter column {column} drop not null")
            admin.run(change)
        recovered(restored.here)

        assert set(restored.journal(restored.lost)) <= set(restored.journal(restored.here)), change


def test_sealed_entries_that_are_missing_end_what_comes_back(
    restored: Restored, caplog: pytest.LogCaptureFixture
) -> None:
    """What follows a gap is not used, and the journal and the number of the seal are named."""
    for version in restored.here.store.versions():
        if version["Key"].endswith("acme/seals/life/00000002.entries.json"):
            which = {"Bucket": restored.here.store.bucket, "Key": version["Key"], "VersionId": version["VersionId"]}
            restored.here.store.s3.delete_object(**which, BypassGovernanceRetention=True)

    assert "acme/life" not in recovered(restored.here).journals
    assert "journal acme/life: seal 2, or its entries, is missing" in caplog.text


class Killed(BaseException):
    """The process ends here."""


def test_a_recovery_that_was_killed_is_continued(restored: Restored) -> None:
    """Before each of its transactions: nothing is there twice, and nothing is missing."""
    for last in count(1):
        ports, calls = restored.here.rebuilding(), count(1)

        def dies(calls: Iterator[int] = calls, last: int = last) -> None:
            if next(calls) == last:
                raise Killed

        for name in ("put_journal", "put_archived", "put_deposits", "put_mail"):
            whole: Callable[..., Any] = getattr(ports.rows, name)
            setattr(ports.rows, name, lambda *a, whole=whole, dies=dies, **k: (dies(), whole(*a, **k))[1])
        try:
            recover(ports, now=lambda: datetime.now(UTC))
            break
        except Killed:
            continue

    kinds = [json.loads(payload)["kind"] for *_, payload, _, _ in restored.journal(restored.here)]
    assert kinds.count("recovered") == len(
        {one[:2] for one in restored.journal(restored.here) if "recovered" in one[4]}
    )
    assert set(restored.journal(restored.lost)) <= set(restored.journal(restored.here))
    assert restored.here.seal() == []


def with_key(one: Installation, before: Ed25519SealKey, *, known: bool = True) -> Installation:
    """Return the installation with another key, which knows the one before it or not."""
    return replace(one, key=Ed25519SealKey(secrets.token_bytes(32), {before.id} if known else ()))


def test_a_key_is_replaced_and_the_one_before_it_still_counts(restored: Restored) -> None:
    """Sealing, recovery, export, verification and proofs: earlier seals count with the id of their key, and not without."""
    old, here = restored.here.key, restored.here
    export_installation(restored.lost.exporting(), now=datetime.now(UTC))
    unknown = with_key(here, old, known=False)
    rotated = restored.here = with_key(here, old)
    here.receive(letter("fourth"), ANNA)
    assert recovered(unknown).journals == {}
    [why] = [one for one in unknown.seal() if "acme/life" in one]

    recovered(rotated)

    assert "a key that is not known" in why
    assert rotated.seal() == []
    assert {check for check, _ in named(restored.report(rotated.key.id, old.id))} <= {
        "mail_kept",
        "deposit_kept",
        "manifest_known",
    }
    failed = [one for one in restored.report(rotated.key.id).results if one.check == "seal_key"]
    assert failed
    assert all(old.id in one.do for one in failed)
    seals = SqlSeals(rotated.engine)
    proof, now = prove("acme", "life", 1, seals, now=datetime.now(UTC)), datetime.now(UTC)
    assert [
        one.name for one in check_proof(proof, now=now, keys={rotated.key.id, old.id}) if one.status == "FAIL"
    ] == []
    assert [one.name for one in check_proof(proof, now=now, keys={rotated.key.id}) if one.status == "FAIL"] != []


def test_a_rebuild_reads_exports_and_seals_of_the_key_before(restored: Restored, copies: Copies) -> None:
    """The key was replaced, and the database lost before the next export: both are signed by the key before."""
    old = restored.lost.key
    export_installation(restored.lost.exporting(), now=datetime.now(UTC))
    there = restored.lost.on(copies.opened(copies.of("mailroom")))

    found = survey(with_key(there, old).rebuilding())

    assert (found.mails, found.tables["address"]) == (5, 1)
    with pytest.raises(ConfigurationError, match="no export"):
        survey(with_key(there, old, known=False).rebuilding())


def test_the_command_shows_which_entries_then_puts_them_back(
    restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    restored.here.receive(letter("fourth"), ANNA)
    others = ["mailroom worker"]
    monkeypatch.setattr(_recover, "use_stack_environment", lambda: None)
    monkeypatch.setattr(_recover, "load_owner_url", lambda: "")
    monkeypatch.setattr(_recover, "engine_of", lambda *_: restored.here.engine)
    monkeypatch.setattr(_recover, "others_at_work", lambda _: others)
    monkeypatch.setattr(_recover, "ports_of", lambda *_: restored.here.rebuilding())
    run = partial(CliRunner().invoke, command.app)

    neither, busy, dry = (
        run(["recover-journal"]),
        run(["recover-journal", "--yes"]),
        run(["recover-journal", "--dry-run"]),
    )
    others.clear()
    done = run(["recover-journal", "--yes", "--json"])
    again = run(["recover-journal", "--yes"])

    assert isinstance(neither.exception, ConfigurationError)
    assert "mailroom worker" in str(busy.exception)
    assert "journal acme/life: entries 7 to " in dry.output
    assert "no seal has it; it follows them" in dry.output
    assert json.loads(done.stdout)["recovered"] is True
    assert again.output.startswith("the database has all entries that were sealed\n")
