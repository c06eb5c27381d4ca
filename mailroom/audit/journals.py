"""Checks a journal by itself: numbers without gaps, each entry linked to the one before it, and the tree over them.

The standard library is enough. With `seals` and `tokens` this file is the verifier of an export: it imports nothing else of
Mailroom, and shares no code with what it checks.

An entry's hash is SHA-256(0x00 | prev | seq | at | payload); seq and at (microseconds since 1970) are 8 bytes, big-endian.
The first entry's prev is SHA-256('mailroom journal <tenant> <stream>'). So an entry's hash is also a leaf of RFC 9162.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The outcome of a check."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    NOT_YET_SEALED = "NOT_YET_SEALED"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its name, its outcome, what it is about (`acme/life`, `acme/life/17`), and what was found."""

    name: str
    status: Status
    subject: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a journal; `at` is microseconds since 1970."""

    seq: int
    at: int
    payload: str
    prev: bytes
    hash: bytes

    @property
    def computed(self) -> bytes:
        """The hash that the entry should have."""
        numbers = self.seq.to_bytes(8, "big", signed=True) + self.at.to_bytes(8, "big", signed=True)
        return hashlib.sha256(b"\x00" + self.prev + numbers + self.payload.encode("utf-8", "surrogatepass")).digest()


def first_prev(tenant: str, stream: str) -> bytes:
    """Return what the first entry of a journal is linked to."""
    return hashlib.sha256(f"mailroom journal {tenant} {stream}".encode()).digest()


def check_journal(rows: Iterable[Entry], *, tenant: str, stream: str) -> list[Check]:
    """Return the checks of a journal's chain, for rows in the order of their `seq`, from the first.

    Each failure names its entry. A name without failures has one check, which passes:

        journal_sequence   numbers from 1, without gaps, none twice
        journal_link       each entry names the hash of the one before it
        journal_hash       each entry's hash is that of its content
        journal_time       times never go back
    """
    subject = f"{tenant}/{stream}"
    failures: list[Check] = []

    def fail(name: str, seq: int, detail: str) -> None:
        failures.append(Check(name, Status.FAIL, f"{subject}/{seq}", detail))

    last, seq, at, count = first_prev(tenant, stream), 0, 0, 0
    for row in rows:
        count += 1
        if row.seq > seq + 1:
            gone = f"entry {seq + 1} is" if row.seq == seq + 2 else f"entries {seq + 1} to {row.seq - 1} are"
            fail("journal_sequence", seq + 1, f"{gone} missing")
        elif row.seq <= seq:
            fail("journal_sequence", row.seq, "an entry with this number, or a later one, comes before it")
        if row.prev != last:
            fail(
                "journal_link",
                row.seq,
                "the entry is not linked to the one before it: inserted, moved, or one is missing",
            )
        if row.computed != row.hash:
            fail("journal_hash", row.seq, "the entry was altered: its hash is not that of its content")
        if row.at < at:
            fail("journal_time", row.seq, "the entry is earlier than the one before it")
        last, seq, at = row.hash, row.seq, row.at
    failed = {one.name for one in failures}
    names = ("journal_sequence", "journal_link", "journal_hash", "journal_time")
    return failures + [Check(name, Status.PASS, subject, f"{count} entries") for name in names if name not in failed]


def differences(
    sealed: Sequence[tuple[int, int, str]], there: Sequence[tuple[int, int, str]]
) -> Iterator[tuple[int, str]]:
    """Yield the number of each entry (seq, at, payload) that differs from those sealed, and how; the first hundred."""
    contents, present = [one[1:] for one in sealed], [one[1:] for one in there]
    found = 0
    counts: dict[tuple[int, str], int] = {}
    for content in contents:
        counts[content] = counts.get(content, 0) + 1
    i = j = 0
    while (i < len(contents) or j < len(present)) and found < 100:
        mine, other = contents[i] if i < len(contents) else None, present[j] if j < len(present) else None
        if mine is not None and mine == other:
            if sealed[i][0] != there[j][0] and i == j:
                found += 1
                yield sealed[i][0], f"the entry was renumbered: it is {there[j][0]} now"
            i, j = i + 1, j + 1
            continue
        found += 1
        is_known = other is not None and counts.get(other, 0) > 0
        if mine is None or (other is not None and not is_known and j + 1 < len(present) and present[j + 1] == mine):
            yield there[j][0], "the entry was inserted: it was not sealed"
            j += 1
        elif other is None or (i + 1 < len(contents) and contents[i + 1] == other):
            moved = mine in present
            yield sealed[i][0], "the entry was moved: it stands elsewhere" if moved else "the entry was deleted"
            i += 1
        else:
            yield sealed[i][0], "the entry was altered" if not is_known else "the entry was altered or moved"
            i, j = i + 1, j + 1


class Heads:
    """The tree heads of a growing journal."""

    def __init__(self) -> None:
        self._subtrees: list[tuple[int, bytes]] = []
        self.size = 0

    def add(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        height, node = 0, leaf
        while self._subtrees and self._subtrees[-1][0] == height:
            node = _node(self._subtrees.pop()[1], node)
            height += 1
        self._subtrees.append((height, node))
        self.size += 1

    @property
    def root(self) -> bytes:
        """The tree head of the leaves that were added so far."""
        if not self._subtrees:
            return hashlib.sha256(b"").digest()
        root = self._subtrees[-1][1]
        for _, subtree in self._subtrees[-2::-1]:
            root = _node(subtree, root)
        return root


def root_of_inclusion(leaf: bytes, *, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """Return the root that an inclusion proof leads to (RFC 9162, 2.1.3.2); None for a path of the wrong length.

    Args:
        index: The leaf's place, counted from 0.
    """
    if not 0 <= index < size:
        return None
    fn, sn, root = index, size - 1, leaf
    for sibling in path:
        if sn == 0 or len(sibling) != 32:
            return None
        if fn & 1 or fn == sn:
            root = _node(sibling, root)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = _node(root, sibling)
        fn, sn = fn >> 1, sn >> 1
    return root if sn == 0 else None


def is_consistent(first: bytes, second: bytes, *, sizes: tuple[int, int], path: Sequence[bytes]) -> bool:
    """Return whether the tree with the root `first` is the beginning of the one with the root `second` (RFC 9162, 2.1.4.2)."""
    before, after = sizes
    if not 0 < before <= after or any(len(one) != 32 for one in path):
        return False
    if before == after:
        return first == second and not path
    hashes = [first, *path] if before & (before - 1) == 0 else list(path)
    if not hashes:
        return False
    fn, sn = before - 1, after - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = hashes[0]
    for one in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = _node(one, fr), _node(one, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = _node(sr, one)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == first and sr == second


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
