"""Seals: signed statements of how a journal was at a time, each linked to earlier ones. Forms and rules; no keys, no calls.

A seal states the RFC 9162 tree head of all entries so far, and the SHA-512 of the document with the entries since the seal
before it. It names that seal, the newest one at least a month old and the newest one at least a year old, so that ten years
are checked in few steps; and the tokens that earlier seals got meanwhile, so that its own token covers them.

Every form is canonical JSON. Nothing of a seal is ever changed: its token, which may come later, is a document of its own.
"""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from mailroom.domain.archive.manifests import canonical
from mailroom.domain.archive.merkle import Tree
from mailroom.domain.errors import PermanentError

FORMAT, TOKEN_FORMAT, ENTRIES_FORMAT, VERSION = "mailroom.seal", "mailroom.token", "mailroom.entries", 1

#: Folder of the seals in a tenant's part of the archive.
FOLDER = "seals"

#: The age of the seals that a seal names besides the one before it.
MONTH, YEAR = timedelta(days=30), timedelta(days=365)

#: The most entries that one seal adds; what is left is in the next.
MOST_ENTRIES = 100_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Entry(NamedTuple):
    """A journal's entry; `at` is microseconds since 1970. A tuple, because a seal has up to 100,000 of them."""

    seq: int
    at: int
    payload: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """An earlier seal as a later one names it: its number, and the SHA-512 of its document."""

    number: int
    sha512: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """A seal: the tree of a journal at a time. `head` is the hash of its last entry, from which the next seal goes on."""

    tenant: str
    stream: str
    number: int
    tree: Tree
    head: bytes
    entries_sha512: str
    sealed_at: datetime
    previous: Link | None = None
    month: Link | None = None
    year: Link | None = None
    tokens: Mapping[int, str] = field(default_factory=dict)

    def statement(self, key_id: str) -> str:
        """Return what is signed: canonical JSON, with the id of the key that signs."""
        links = {"previous": self.previous, "month": self.month, "year": self.year}
        named = {name: {"number": one.number, "sha512": one.sha512} for name, one in links.items() if one is not None}
        return canonical(
            {
                "format": FORMAT,
                "version": VERSION,
                "tenant": self.tenant,
                "stream": self.stream,
                "number": self.number,
                "size": self.tree.size,
                "root": self.tree.root.hex(),
                "entries_sha512": self.entries_sha512,
                "sealed_at": _text(self.sealed_at),
                "key": key_id,
                "tokens": {str(number): sha512 for number, sha512 in self.tokens.items()},
                **named,
            }
        ).decode()


@dataclass(frozen=True, slots=True)
class SignedSeal:
    """A seal and its document, whose SHA-512 identifies it."""

    seal: Seal
    document: bytes

    @property
    def link(self) -> Link:
        """How a later seal names it."""
        return Link(self.seal.number, hashlib.sha512(self.document).hexdigest())


@dataclass(frozen=True, slots=True)
class Token:
    """The answer of a time stamping authority; `ends_at` is when its certificate ends, `roots` (PEM) what it was trusted by."""

    response: bytes
    at: datetime
    ends_at: datetime
    authority: str
    roots: str


def key_of(tenant: str, stream: str, number: int, part: str = "") -> str:
    """Return the key in the archive of a seal, or of the `entries` that it sealed, or of its `token`."""
    return f"{tenant}/{FOLDER}/{stream}/{number:08d}{'.' if part else ''}{part}.json"


def document(statement: str, *, signature: bytes, public_key: str) -> bytes:
    """Return a seal's document. The statement is in it as text, so that its signed bytes need no rule of writing."""
    return canonical(
        {
            "format": FORMAT,
            "version": VERSION,
            "seal": statement,
            "signature": b64encode(signature).decode(),
            "public_key": public_key,
        }
    )


def entries_document(tenant: str, stream: str, entries: Iterable[Entry]) -> bytes:
    """Return the document of the entries that one seal adds: `seq`, `at` and `payload` of each."""
    return canonical(
        {
            "format": ENTRIES_FORMAT,
            "version": VERSION,
            "tenant": tenant,
            "stream": stream,
            "entries": [one[:3] for one in entries],
        }
    )


def token_document(sealed: SignedSeal, token: Token) -> bytes:
    """Return the document of a token."""
    return canonical(
        {
            "format": TOKEN_FORMAT,
            "version": VERSION,
            "tenant": sealed.seal.tenant,
            "stream": sealed.seal.stream,
            "number": sealed.seal.number,
            "seal_sha512": sealed.link.sha512,
            "authority": token.authority,
            "at": _text(token.at),
            "certificate_ends_at": _text(token.ends_at),
            "response": b64encode(token.response).decode(),
            "roots": token.roots,
        }
    )


def times_of_token(stored: bytes) -> tuple[datetime, datetime]:
    """Return the time of a stored token, and when its authority's certificate ends.

    Raises:
        ValueError: it is no token.
    """
    try:
        facts = json.loads(stored)
        if facts["format"] != TOKEN_FORMAT:
            raise ValueError("no token")
        at, ends_at = (datetime.fromisoformat(facts[name]) for name in ("at", "certificate_ends_at"))
        return at.astimezone(UTC), ends_at.astimezone(UTC)
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError("no token") from error


def first_prev(tenant: str, stream: str) -> bytes:
    """Return what the first entry of a journal is linked to."""
    return hashlib.sha256(f"mailroom journal {tenant} {stream}".encode()).digest()


def leaf_hash(entry: Entry) -> bytes:
    """Return the hash that an entry must have: a leaf of RFC 9162."""
    numbers = entry.seq.to_bytes(8, "big") + entry.at.to_bytes(8, "big")
    return hashlib.sha256(b"\x00" + entry.prev + numbers + entry.payload.encode()).digest()


def grown(tree: Tree, head: bytes, entries: Sequence[Entry]) -> Tree:
    """Return the tree with these entries added.

    Raises:
        PermanentError: they do not continue the journal, or one is not what its hash says: nothing is sealed.
    """
    seq = tree.size
    for entry in entries:
        seq += 1
        if entry.seq != seq or entry.prev != head or leaf_hash(entry) != entry.hash:
            raise PermanentError("an entry of the journal was altered, so it is not sealed", seq=seq)
        head = entry.hash
    return tree.grown(one.hash for one in entries)


def is_due(last: SignedSeal | None, *, has_new: bool, now: datetime) -> bool:
    """Return whether a journal gets a seal now: it has new entries, or none of its seals is of this day."""
    return has_new or (last is not None and last.seal.sealed_at.date() < now.astimezone(UTC).date())


def sealing_time(last: SignedSeal | None, entries: Sequence[Entry], *, now: datetime) -> datetime:
    """Return the time of a seal: now, but never before the last seal or the last entry; the clock may have been set back."""
    moments = [now, *([last.seal.sealed_at] if last else []), *(time_of(one) for one in entries[-1:])]
    return max(moments)


def time_of(entry: Entry) -> datetime:
    """Return an entry's time."""
    return _EPOCH + timedelta(microseconds=entry.at)


def described(stored: bytes) -> tuple[Mapping[str, Any], str, bytes, str]:
    """Return the facts in a seal's document, its statement, its signature, and the public key (PEM).

    Raises:
        ValueError: it is no seal.
    """
    try:
        outer = json.loads(stored)
        facts = json.loads(outer["seal"])
        if outer["format"] != FORMAT or facts["format"] != FORMAT:
            raise ValueError("no seal")
        return facts, outer["seal"], b64decode(outer["signature"]), str(outer["public_key"])
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("no seal") from error


def read_statement(facts: Mapping[str, Any], tree: Tree, head: bytes) -> Seal:
    """Return the seal that a document describes, with the tree and the head that the reader computed.

    Raises:
        ValueError: it is no seal.
    """
    try:
        links = {name: Link(int(facts[name]["number"]), facts[name]["sha512"]) for name in _LINKS if name in facts}
        return Seal(
            tenant=facts["tenant"],
            stream=facts["stream"],
            number=int(facts["number"]),
            tree=tree,
            head=head,
            entries_sha512=facts["entries_sha512"],
            sealed_at=datetime.fromisoformat(facts["sealed_at"]).astimezone(UTC),
            tokens={int(number): sha512 for number, sha512 in facts["tokens"].items()},
            **links,
        )
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("no seal") from error


_LINKS = ("previous", "month", "year")


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
