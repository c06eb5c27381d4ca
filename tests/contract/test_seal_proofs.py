"""Proofs of entries, checked without the installation; and seals whose authority's certificate has ended, nine years on."""

import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.archive.proving import prove
from mailroom.archive.sealing import seal_journal, seal_journals, stamp_seals
from mailroom.audit.journals import Check, Status
from mailroom.audit.proofs import check_proof
from mailroom.cli import archive as command
from mailroom.cli._installation import Opened
from mailroom.domain.archive.merkle import Tree
from mailroom.domain.archive.seals import Entry, entries_document, first_prev, grown, leaf_hash
from mailroom.domain.errors import ConfigurationError
from mailroom.sandbox.stand_ins.time_stamping import Authority as StampingAuthority
from mailroom.settings import CHECKOUT
from mailroom.testing.api import settings
from tests.support.archive_store import store_on
from tests.support.sealed_journals import Installation, failures, waiting

BEGAN = datetime.now(UTC)
YEAR = timedelta(days=365)


@pytest.fixture
def one(emulator: str, engine: Engine) -> Installation:
    return Installation(store_on(emulator, engine), store_on(emulator, engine))


def run(one: Installation, at: datetime) -> None:
    one.clock = at
    assert not seal_journals(one.ports, now=at).failed
    assert not stamp_seals(one.ports, now=at).failed


def proof_of(one: Installation, seq: int, at: datetime = BEGAN) -> dict[str, Any]:
    """Return a proof as it is read from its file."""
    found: dict[str, Any] = json.loads(json.dumps(prove("acme", "life", seq, one.records, now=at)))
    return found


def checked(one: Installation, proof: dict[str, Any], at: datetime = BEGAN) -> dict[str, Status]:
    checks: list[Check] = check_proof(proof, now=at, keys={one.key.id}, roots=[one.authority.root])
    return {check.name: check.status for check in checks}


def test_each_entry_has_a_proof_and_a_changed_one_has_none(one: Installation) -> None:
    """Another payload, number, time, path, seal or key; each is refused by its own check."""
    for names in (("a", "b", "c"), ("d",), ("e", "f")):
        one.append(*names)
        run(one, datetime.now(UTC))
    at = datetime.now(UTC)

    for seq in range(1, 7):
        assert set(checked(one, proof_of(one, seq, at), at).values()) == {Status.PASS}

    proof = proof_of(one, 2, at)
    changes: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
        ("proof_inclusion", lambda it: it["entry"].update(payload="{}")),
        ("proof_inclusion", lambda it: it["entry"].update(seq=3)),
        ("proof_inclusion", lambda it: it["entry"].update(at=7)),
        ("proof_inclusion", lambda it: it["inclusion"].pop()),
        ("proof_consistency", lambda it: it["consistency"].pop()),
        ("proof_inclusion", lambda it: it.update(chain=it["chain"][:1])),
        ("proof_link", lambda it: it["chain"].insert(1, it["chain"][0])),
        ("proof_signature", lambda it: it.update(stream="operations")),
        ("proof_form", lambda it: it.pop("chain")),
        ("proof_form", lambda it: it.update(chain=[])),
        ("proof_form", lambda it: it.update(inclusion=[7])),
    ]
    for name, change in changes:
        other = json.loads(json.dumps(proof))
        change(other)
        assert checked(one, other, at).get(name) is Status.FAIL, name
    assert check_proof(proof, now=at, keys={"another"}, roots=[])[3].status is Status.FAIL


def test_what_is_not_there_or_not_sealed_has_no_proof(one: Installation) -> None:
    """And a seal without a token proves no time."""
    one.append("a")
    seal_journals(one.ports, now=BEGAN)
    one.append("b")

    for seq in (-1, 0, 2, 3):
        with pytest.raises(LookupError):
            prove("acme", "life", seq, one.records, now=BEGAN)
    assert checked(one, proof_of(one, 1))["proof_token"] is Status.NOT_YET_SEALED


def test_a_proof_is_checked_by_the_files_of_an_export_alone(one: Installation, tmp_path: Path) -> None:
    """Four files and `cryptography`, without Mailroom."""
    one.append("a", "b")
    run(one, datetime.now(UTC))
    folder = tmp_path / "mailroom" / "audit"
    folder.mkdir(parents=True)
    for name in ("journals", "seals", "tokens", "proofs"):
        shutil.copy(CHECKOUT / "mailroom" / "audit" / f"{name}.py", folder)
    (tmp_path / "proof.json").write_text(json.dumps(proof_of(one, 1, datetime.now(UTC))))
    (tmp_path / "roots.pem").write_text(one.authority.roots)
    # `-P -S` and a path of its own would lose `cryptography`; so Mailroom itself is hidden.
    script = (
        "import sys; sys.path[:] = [p for p in sys.path if p != sys.argv[1]]; sys.path.insert(0, '.'); import runpy;"
    )
    script += " sys.meta_path = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]; sys.argv[1:2] = [];"
    script += " runpy.run_module('mailroom.audit.proofs', run_name='__main__')"
    command = [sys.executable, "-c", script, str(CHECKOUT), "proof.json", "--key", one.key.id, "--roots", "roots.pem"]

    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["PASS"] * 6


def decade(one: Installation) -> tuple[datetime, list[StampingAuthority]]:
    """Seal for nine years, with a new certificate of the authority every three; each ends a month after the next begins."""
    one.append("a", "b")
    began, authorities = datetime.now(UTC) + timedelta(minutes=2), list[StampingAuthority]()
    for half in range(19):
        if half % 6 == 0:
            begins = began + half / 2 * YEAR - timedelta(days=1)
            one.authority = StampingAuthority(f"of {half}", begins=begins, lasts=3 * YEAR + timedelta(days=30))
            authorities.append(one.authority)
        one.clock = at = began + half / 2 * YEAR
        assert seal_journal("acme", "life", one.ports, now=at) == 1
        assert not stamp_seals(one.ports, now=at).failed
    return began, authorities


def test_nine_years_on_old_seals_are_still_proven_by_later_tokens(one: Installation) -> None:
    """The authority's certificates of the first years have ended; each token was covered by a later one before that.

    Who has an old key of the authority can make tokens of that time, so a token that was not covered proves nothing any more.
    """
    began, authorities = decade(one)
    roots, now = [each.root for each in authorities], began + 9 * YEAR + timedelta(days=20)
    tokens = one.objects("token")

    checks = one.check(now=now, roots=roots, witnessed=None)
    proof = proof_of(one, 2, now)
    of_proof = check_proof(proof, now=now, keys={one.key.id}, roots=roots)

    assert failures(checks) == set()
    assert waiting(checks) == set()
    assert {check.status for check in of_proof} == {Status.PASS}
    [token] = [check for check in of_proof if check.name == "proof_token"]
    assert token.detail == f"existed at {began.replace(microsecond=0).isoformat()}"
    assert len(proof["chain"]) < 19

    alone = one.check(now=now, roots=roots, tokens={1: tokens[1]}, witnessed=None)
    without_the_second = {number: each for number, each in tokens.items() if not 7 <= number <= 12}
    gap = one.check(now=now, roots=roots, tokens=without_the_second, witnessed=None)
    unknown = one.check(now=now, roots=roots[1:], witnessed=None)
    assert ("seal_token", "acme/life/seal/1") in failures(alone)
    assert {("seal_token", f"acme/life/seal/{number}") for number in range(1, 7)} <= failures(gap)
    assert ("seal_token", "acme/life/seal/1") in failures(unknown)


def test_the_command_writes_the_proof(one: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/archive.md says; without `--json` it shows the checks."""
    opened = Opened()
    opened.engine, opened.settings = one.store.engine, settings()
    monkeypatch.setattr(command, "Opened", lambda: opened)
    one.append(*map(str, range(17)))
    run(one, datetime.now(UTC))

    written = CliRunner().invoke(command.app, ["prove", "acme", "life", "17", "--json"])
    shown = CliRunner().invoke(command.app, ["prove", "acme", "life", "17"])
    none = CliRunner().invoke(command.app, ["prove", "acme", "life", "18"])

    assert set(checked(one, json.loads(written.output), datetime.now(UTC)).values()) == {Status.PASS}
    assert shown.output.count("PASS") == 6
    assert isinstance(none.exception, ConfigurationError)


@pytest.mark.long
def test_a_journal_of_a_hundred_thousand_entries(one: Installation) -> None:
    """One seal, and proofs at any place; the computing of a seal is measured as processor time."""
    prev, entries = first_prev("acme", "life"), list[Entry]()
    for seq in range(1, 100_001):
        bare = Entry(seq, 1_800_000_000_000_000 + seq, f'{{"kind":"deposit","subject":"{seq:064d}"}}', prev, b"")
        prev = leaf_hash(bare)
        entries.append(bare._replace(hash=prev))
    began = time.process_time()
    tree = grown(Tree(), first_prev("acme", "life"), entries)
    hashlib.sha512(entries_document("acme", "life", entries)).hexdigest()
    took = time.process_time() - began
    columns = {name: [getattr(entry, name) for entry in entries] for name in ("seq", "at", "payload", "prev", "hash")}
    one.as_administrator(
        "insert into journal (tenant, stream, seq, at, payload, prev, hash) select 'acme', 'life', seq, 'epoch'::timestamptz"
        " + at * interval '1 microsecond', payload, prev, hash from unnest(cast(:seq as bigint[]), cast(:at as bigint[]),"
        " cast(:payload as text[]), cast(:prev as bytea[]), cast(:hash as bytea[])) as t(seq, at, payload, prev, hash)",
        "insert into journal_head values ('acme', 'life', 100000, 'epoch', :head, false)",
        head=prev,
        **columns,
    )

    assert seal_journal("acme", "life", one.ports, now=datetime.now(UTC)) == 1
    last = one.records.last("acme", "life")
    began = time.process_time()
    proofs = [proof_of(one, seq, datetime.now(UTC)) for seq in (1, 77_777, 100_000)]
    proving = (time.process_time() - began) / 3

    assert last is not None
    assert last.seal.tree == tree
    for proof in proofs:
        assert checked(one, proof, datetime.now(UTC))["proof_inclusion"] is Status.PASS
    print(f"a seal of 100,000 entries: {took:.2f} s of processor time; a proof: {proving:.2f} s")
    assert took < 1
