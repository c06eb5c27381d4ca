"""What the verifier names: every change of a journal's rows, also where the whole chain was computed again."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.audit.journals import Check, Entry, Status, check_journal, first_prev
from mailroom.audit.seals import check_seals
from mailroom.domain.archive.merkle import Tree
from mailroom.domain.archive.seals import Entry as SealedEntry
from mailroom.domain.archive.seals import Seal, SignedSeal, document, entries_document

BEGAN = datetime(2026, 11, 30, 8, tzinfo=UTC)
MICROSECONDS = int(BEGAN.timestamp()) * 1_000_000
KEY, OTHER_KEY = Ed25519SealKey(bytes(32)), Ed25519SealKey(bytes(31) + b"\x01")
SIZES = (3, 3, 7, 12)


def journal(payloads: list[tuple[int, str]]) -> list[Entry]:
    """Return a journal of these times and payloads, chained as PostgreSQL does it."""
    prev, rows = first_prev("acme", "life"), list[Entry]()
    for seq, (at, payload) in enumerate(payloads, 1):
        row = Entry(seq, at, payload, prev, b"")
        prev = row.computed
        rows.append(replace(row, hash=prev))
    return rows


def content() -> list[tuple[int, str]]:
    return [(MICROSECONDS + number, f'{{"kind":"deposit","subject":"{number}"}}') for number in range(1, 15)]


def seals_of(
    rows: list[Entry], sizes: tuple[int, ...] = SIZES, key: Ed25519SealKey = KEY
) -> tuple[dict[int, bytes], dict[int, bytes]]:
    """Return seals of these sizes as the product makes them, and the documents of the sealed entries."""
    seals, entries, last, first = dict[int, bytes](), dict[int, bytes](), None, 0
    for number, size in enumerate(sizes, 1):
        new = [SealedEntry(row.seq, row.at, row.payload, row.prev, row.hash) for row in rows[first:size]]
        entries[number] = entries_document("acme", "life", new)
        seal = Seal(
            tenant="acme",
            stream="life",
            number=number,
            tree=Tree().grown(row.hash for row in rows[:size]),
            head=rows[size - 1].hash,
            entries_sha512=hashlib.sha512(entries[number]).hexdigest(),
            sealed_at=BEGAN + timedelta(hours=number),
            previous=last.link if last else None,
        )
        last = SignedSeal(seal, signed(seal, key))
        seals[number], first = last.document, size
    return seals, entries


def signed(seal: Seal, key: Ed25519SealKey) -> bytes:
    statement = seal.statement(key.id)
    return document(statement, signature=key.sign(statement.encode()), public_key=key.public_key)


ROWS = journal(content())
SEALS, ENTRIES = seals_of(ROWS)


def found(rows: list[Entry] = ROWS, seals: dict[int, bytes] = SEALS, **given: object) -> set[tuple[str, str]]:
    """Return names and subjects of what fails, tokens apart."""
    facts: dict[str, object] = {"entries": ENTRIES, "witnessed": SEALS, "keys": {KEY.id}, "roots": []} | given
    checks: list[Check] = check_journal(rows, tenant="acme", stream="life")
    checks += check_seals(seals, rows, tenant="acme", stream="life", now=BEGAN, **facts)  # type: ignore[arg-type]
    return {(one.name, one.subject.removeprefix("acme/life/")) for one in checks if one.status is Status.FAIL}


def test_an_untouched_journal_has_no_failure() -> None:
    """Each name passes; two entries are not sealed yet, and no seal has a token."""
    checks = check_seals(
        SEALS, ROWS, tenant="acme", stream="life", now=BEGAN, entries=ENTRIES, witnessed=SEALS, keys={KEY.id}
    )

    assert found() == set()
    assert {one.name: one.subject for one in checks if one.status is Status.NOT_YET_SEALED} == {
        "journal_sealed": "acme/life/13",
        "seal_token": "acme/life/seal/1",
    }


def altered(at: int) -> list[tuple[int, str]]:
    rows = content()
    rows[at] = (rows[at][0], '{"kind":"deposit","subject":"forged"}')
    return rows


def deleted(at: int) -> list[tuple[int, str]]:
    rows = content()
    del rows[at]
    return rows


def inserted(at: int) -> list[tuple[int, str]]:
    rows = content()
    rows.insert(at, (rows[at][0], '{"kind":"deposit","subject":"forged"}'))
    return rows


def moved(at: int) -> list[tuple[int, str]]:
    rows = content()
    (one, first), (other, second) = rows[at], rows[at + 1]
    rows[at], rows[at + 1] = (one, second), (other, first)
    return rows


def later(at: int) -> list[tuple[int, str]]:
    rows = content()
    rows[at] = (rows[at][0] + 1, rows[at][1])
    return rows


@pytest.mark.parametrize("change", [altered, deleted, inserted, moved, later])
@pytest.mark.parametrize("at", [0, 2, 3, 6, 10])
def test_a_changed_entry_is_named_though_the_whole_chain_was_computed_again(
    change: Callable[[int], list[tuple[int, str]]], at: int
) -> None:
    """Who owns the database can compute every hash; who cannot sign cannot make a seal of it."""
    rows = journal(change(at))

    names = found(rows)

    assert ("seal_entries", str(at + 1)) in names
    assert not {name for name, _ in names if name.startswith("journal_") and name != "journal_length"}


@pytest.mark.parametrize("change", [altered, deleted, inserted, moved])
@pytest.mark.parametrize("at", [0, 2, 3, 6, 10])
def test_a_changed_entry_is_placed_by_its_seal_without_the_archived_entries(
    change: Callable[[int], list[tuple[int, str]]], at: int
) -> None:
    """The seals alone name the range: the first seal that has the entry no longer agrees."""
    sealed_by = next(number for number, size in enumerate(SIZES, 1) if size > at)

    names = found(journal(change(at)), entries={})

    assert ("seal_root", f"seal/{sealed_by}") in names
    assert not {subject for name, subject in names if name == "seal_root" and int(subject[5:]) < sealed_by}


def test_rows_changed_without_a_new_chain_are_named_by_the_chain() -> None:
    """An edit, a deletion, an insertion, a new number, a swap: the journal alone shows it."""
    edited = [*ROWS[:4], replace(ROWS[4], payload="{}"), *ROWS[5:]]
    gone = [*ROWS[:4], *ROWS[5:]]
    extra = [*ROWS[:4], replace(ROWS[4], seq=5, payload="{}"), *[replace(row, seq=row.seq + 1) for row in ROWS[4:]]]
    renumbered = [*ROWS[:4], replace(ROWS[4], seq=50), *ROWS[5:]]
    swapped = [*ROWS[:4], replace(ROWS[5], seq=5), replace(ROWS[4], seq=6), *ROWS[6:]]

    assert ("journal_hash", "5") in found(edited)
    assert {("journal_sequence", "5"), ("journal_link", "6")} <= found(gone)
    assert ("journal_hash", "5") in found(extra)
    assert {("journal_sequence", "5"), ("journal_hash", "50")} <= found(renumbered)
    assert {("journal_link", "5"), ("journal_hash", "5"), ("journal_hash", "6")} <= found(swapped)


def test_a_cut_end_is_named_as_a_shorter_journal() -> None:
    """An old backup was restored: the rows that are left agree with each other."""
    assert ("journal_length", "seal/4") in found(ROWS[:10])
    assert ("journal_length", "seal/1") in found([])


def test_a_dropped_seal_is_named() -> None:
    """In the archive only, at both places, the last one; without a witness the last one leaves no gap."""
    without = {number: seal for number, seal in SEALS.items() if number != 2}
    shorter = {number: seal for number, seal in SEALS.items() if number != 4}

    assert found(seals=without) == {("seal_witness", "seal/2")}
    assert found(seals=without, witnessed=None) == {("seal_sequence", "seal/2")}
    assert found(seals=shorter) == {("seal_witness", "seal/4")}
    assert found(seals={}, witnessed=None) == set()


def test_a_forged_seal_is_named() -> None:
    """Another key, a statement that was not signed, a seal for a journal that was forged as a whole."""
    rows = journal(altered(4))
    forged, entries = seals_of(rows, key=OTHER_KEY)
    unsigned = {**SEALS, 3: SEALS[3].replace(b'\\"size\\":7', b'\\"size\\":8')}

    assert ("seal_key", "seal/3") in found(rows, forged, entries=entries, witnessed=None)
    assert ("seal_key", "seal/3") in found(rows, {**SEALS, 3: forged[3]}, keys=None, witnessed=None)
    assert ("seal_link", "seal/4") in found(rows, {**SEALS, 3: forged[3]}, witnessed=None)
    assert ("seal_witness", "seal/3") in found(rows, forged, entries=entries)
    assert {("seal_signature", "seal/3"), ("seal_link", "seal/4")} <= found(seals=unsigned, witnessed=None)


def test_a_forgery_with_the_stolen_key_is_named_by_the_witness() -> None:
    """Who has the key, the database and the archive can make all of it, but not what the witness has."""
    rows = journal(altered(4))
    forged, entries = seals_of(rows)

    assert found(rows, forged, entries=entries, witnessed=None) == set()
    assert ("seal_witness", "seal/3") in found(rows, forged, entries=entries)


def test_seals_that_contradict_each_other_are_named() -> None:
    """Renumbered, of another journal, smaller or earlier than the one before, or no seal at all."""
    assert ("seal_form", "seal/2") in found(seals={**SEALS, 2: SEALS[3]}, witnessed=None)
    assert ("seal_form", "seal/2") in found(seals={**SEALS, 2: b"\xff"}, witnessed=None)
    smaller, _ = seals_of(ROWS, sizes=(7, 3))
    assert ("seal_root", "seal/2") in found(seals=smaller, witnessed=None, entries={})
    assert found(seals={1: SEALS[1]}, witnessed=None) == set()


@pytest.mark.parametrize("stored", [b"", b"{}", b"[]", b'{"entries":7}'])
def test_archived_entries_that_were_replaced_are_named(stored: bytes) -> None:
    """The seal has their digest."""
    assert ("seal_entries", "seal/3") in found(entries={**ENTRIES, 3: stored})


@given(seed=st.binary(min_size=1, max_size=200), at=st.integers(0, 400))
@settings(max_examples=100)
def test_no_bytes_in_place_of_a_seal_end_the_verifier(seed: bytes, at: int) -> None:
    """What lies in the bucket is from outside."""
    document = SEALS[2][:at] + seed + SEALS[2][at + len(seed) :]

    names = found(seals={**SEALS, 2: document}, witnessed=None)

    assert names or document == SEALS[2]
