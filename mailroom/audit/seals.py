"""Checks seals over journals, from the archive and from the witness: signatures, links, tree heads, tokens.

With `journals`, `tokens` and `proofs` this file is the verifier of an export: the standard library and `cryptography` are
enough, and nothing else of Mailroom is imported.

A seal is a JSON document with the members `seal` (a text: canonical JSON), `signature` (Ed25519, of the bytes of that text)
and `public_key`. Its identity, by which later seals name it, is the SHA-512 of the document, which is also what the token of
a time stamping authority is for. A later seal names the tokens that were obtained meanwhile: so each token is covered by
those of later seals, and stays valid when its authority's certificate has ended.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from mailroom.audit.journals import Check, Entry, Heads, Status, differences
from mailroom.audit.tokens import Stamp, check_token, load_roots

_NAMES = (
    "seal_form", "seal_sequence", "seal_signature", "seal_key", "seal_link", "seal_time", "seal_witness", "seal_token",
    "seal_root", "seal_entries", "journal_length",
)  # fmt: skip
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: The clock of an authority may be behind that of the database by so much.
CLOCKS_DIFFER = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal as it was read; `links` are the seals that it names, `tokens` those of earlier seals, by number."""

    tenant: str
    stream: str
    number: int
    size: int
    root: str
    entries_sha512: str
    sealed_at: datetime
    links: Mapping[int, str]
    tokens: Mapping[int, str]
    key: str
    statement: bytes
    signature: bytes
    public_key: Ed25519PublicKey
    document: bytes

    @property
    def sha512(self) -> str:
        """What identifies the seal."""
        return hashlib.sha512(self.document).hexdigest()

    def is_signed(self) -> bool:
        """Return whether the signature is of this statement, by the key in the document."""
        try:
            self.public_key.verify(self.signature, self.statement)
        except InvalidSignature:
            return False
        return self.key == key_id(self.public_key)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the id of a key: the SHA-256 of its 32 bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()


def read_seal(document: bytes) -> Seal:
    """Return the seal in a document.

    Raises:
        ValueError: it is no seal.
    """
    try:
        outer = json.loads(document)
        facts = json.loads(outer["seal"])
        if outer["format"] != "mailroom.seal" or facts["format"] != "mailroom.seal":
            raise ValueError("no seal")
        key = serialization.load_pem_public_key(outer["public_key"].encode())
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError("no seal")
        links = [facts[name] for name in ("previous", "month", "year") if name in facts]
        sealed_at = datetime.fromisoformat(facts["sealed_at"])
        return Seal(
            tenant=facts["tenant"],
            stream=facts["stream"],
            number=int(facts["number"]),
            size=int(facts["size"]),
            root=facts["root"],
            entries_sha512=facts["entries_sha512"],
            sealed_at=sealed_at.astimezone(UTC),
            links={int(one["number"]): one["sha512"] for one in links},
            tokens={int(number): sha512 for number, sha512 in facts["tokens"].items()},
            key=facts["key"],
            statement=outer["seal"].encode(),
            signature=b64decode(outer["signature"]),
            public_key=key,
            document=document,
        )
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError, UnsupportedAlgorithm) as error:
        raise ValueError("no seal") from error


def check_seals(
    seals: Mapping[int, bytes],
    rows: Sequence[Entry],
    *,
    tenant: str,
    stream: str,
    now: datetime,
    entries: Mapping[int, bytes] | None = None,
    tokens: Mapping[int, bytes] | None = None,
    witnessed: Mapping[int, bytes] | None = None,
    keys: Collection[str] | None = None,
    roots: Sequence[x509.Certificate] | None = None,
) -> list[Check]:
    """Return the checks of a journal's seals, and of the journal against them. Each failure names its subject.

    A check without failures passes if it was made: without a seal none is, without `entries` or `witnessed` not theirs.

    Args:
        seals: The seals in the archive, by the number in their key; so are `tokens`, and `entries` (the sealed entries),
            which are None if they were not read.
        rows: The journal's entries, in the order of their `seq`, from the first.
        witnessed: The seals that the witness has; None without a witness.
        keys: Ids of the keys that may have signed; None accepts the first seal's, and reports a change.
        roots: Certificates to which authorities must lead; None takes those that were stored with each token.
    """
    return _Sealed(tenant, stream, seals, rows, entries, tokens or {}, witnessed, keys, roots, now).check()


class _Sealed:
    """One journal with its seals."""

    def __init__(
        self,
        tenant: str,
        stream: str,
        seals: Mapping[int, bytes],
        rows: Sequence[Entry],
        entries: Mapping[int, bytes] | None,
        tokens: Mapping[int, bytes],
        witnessed: Mapping[int, bytes] | None,
        keys: Collection[str] | None,
        roots: Sequence[x509.Certificate] | None,
        now: datetime,
    ) -> None:
        self._subject, self._rows, self._archived, self._entries = f"{tenant}/{stream}", rows, seals, entries
        self._tokens, self._witnessed, self._keys, self._roots, self._now = tokens, witnessed, keys, roots, now
        self._tenant, self._stream = tenant, stream
        self._found: list[Check] = []
        self._seals: dict[int, Seal] = {}

    def check(self) -> list[Check]:
        """Return all checks; a name without failures has one that passes."""
        self._read()
        self._check_chain()
        self._check_times()
        self._check_journal()
        left_out = {one.name for one in self._found}
        left_out |= {"seal_entries"} if self._entries is None else set()
        left_out |= {"seal_witness"} if self._witnessed is None else set()
        good = f"{len(self._seals)} seals, {len(self._rows)} entries"
        made = [name for name in _NAMES if name not in left_out] if self._seals else []
        return self._found + [Check(name, Status.PASS, self._subject, good) for name in made]

    def _fail(self, name: str, number: int | str, detail: str, status: Status = Status.FAIL) -> None:
        self._found.append(Check(name, status, f"{self._subject}/{number}", detail))

    def _read(self) -> None:
        """Read the seals; one that only the witness has is reported, and used."""
        outside = self._witnessed or {}
        for number in sorted({*self._archived, *outside}):
            document, other = self._archived.get(number), outside.get(number)
            if document is None:
                self._fail("seal_witness", f"seal/{number}", "the witness has this seal, the archive does not")
            elif self._witnessed is not None and other is None:
                self._fail("seal_witness", f"seal/{number}", "the witness does not have it", Status.NOT_YET_SEALED)
            elif other is not None and other != document:
                self._fail("seal_witness", f"seal/{number}", "the witness has another seal of this number")
            try:
                seal = read_seal(document if document is not None else outside[number])
            except ValueError:
                self._fail("seal_form", f"seal/{number}", "the object is no seal")
                continue
            if (seal.tenant, seal.stream, seal.number) != (self._tenant, self._stream, number):
                self._fail("seal_form", f"seal/{number}", "the seal is of another journal, or has another number")
                continue
            self._seals[number] = seal

    def _check_chain(self) -> None:
        """Check signatures, and that each seal continues the one before it."""
        keys = self._keys
        for number in range(1, max(self._seals, default=0) + 1):
            seal, before = self._seals.get(number), self._seals.get(number - 1)
            if seal is None:
                self._fail("seal_sequence", f"seal/{number}", "the seal is missing")
                continue
            if not seal.is_signed():
                self._fail("seal_signature", f"seal/{number}", "the signature is wrong: the seal is forged")
            keys = {seal.key} if keys is None else keys
            if seal.key not in keys:
                self._fail("seal_key", f"seal/{number}", f"signed by another key: {seal.key}")
            if number > 1 and number - 1 not in seal.links:
                self._fail("seal_link", f"seal/{number}", "the seal names no seal before it")
            for other, sha512 in seal.links.items():
                if other >= number or (other in self._seals and self._seals[other].sha512 != sha512):
                    self._fail(
                        "seal_link", f"seal/{number}", f"it names another seal {other} than the one that is there"
                    )
            if before is not None and seal.sealed_at < before.sealed_at:
                self._fail("seal_time", f"seal/{number}", "the seal is earlier than the one before it")
            if before is not None and seal.size < before.size:
                self._fail("seal_root", f"seal/{number}", "the seal has fewer entries than the one before it")

    def _check_times(self) -> None:
        chain = [(self._seals[number], self._tokens.get(number)) for number in sorted(self._seals, reverse=True)]
        for seal, what, stamp in stamps(chain, self._roots, self._now):
            pending = what == PENDING
            if stamp is None:
                status = Status.NOT_YET_SEALED if pending else Status.FAIL
                self._fail("seal_token", f"seal/{seal.number}", what, status)
            elif stamp.at < self._last_at(seal) - CLOCKS_DIFFER:
                self._fail("seal_token", f"seal/{seal.number}", "the token is older than the entries that the seal has")

    def _last_at(self, seal: Seal) -> datetime:
        """Return the time of the last sealed entry."""
        if not 0 < seal.size <= len(self._rows):
            return _EPOCH
        return _EPOCH + timedelta(microseconds=self._rows[seal.size - 1].at)

    def _check_journal(self) -> None:
        """Compare the entries with what each seal says about them."""
        heads, first = Heads(), 1
        for number in sorted(self._seals):
            seal = self._seals[number]
            sealed = self._rows[heads.size : seal.size]
            for row in sealed:
                heads.add(row.computed)
            is_same = self._compare(seal, first, sealed)
            if seal.size > len(self._rows):
                detail = (
                    f"the journal has {len(self._rows)} entries, the seal {seal.size}: entries were removed from its end, "
                    "or an older database was restored"
                )
                self._fail("journal_length", f"seal/{number}", detail)
                return
            if heads.size == seal.size and heads.root.hex() != seal.root and is_same:
                self._fail(
                    "seal_root", f"seal/{number}", f"entries {first} to {seal.size}, or earlier ones, were altered"
                )
            if sealed and seal.sealed_at < _EPOCH + timedelta(microseconds=sealed[-1].at):
                self._fail("seal_time", f"seal/{number}", "the seal is earlier than its entries")
            first = seal.size + 1
        new = len(self._rows) - heads.size
        if new > 0:
            since = f"{new} entries since the last seal" if self._seals else f"{new} entries, and no seal yet"
            self._found.append(Check("journal_sealed", Status.NOT_YET_SEALED, f"{self._subject}/{first}", since))

    def _compare(self, seal: Seal, first: int, rows: Sequence[Entry]) -> bool:
        """Report how the journal differs from the sealed entries that the archive has, and return whether it does not."""
        if self._entries is None:
            return True
        stored = self._entries.get(seal.number)
        if stored is None:
            # They are stored after the seal; what interrupted the newest one is continued by the next run.
            status = Status.NOT_YET_SEALED if seal.number == max(self._seals) else Status.FAIL
            self._fail("seal_entries", f"seal/{seal.number}", "the sealed entries are not in the archive", status)
            return True
        if hashlib.sha512(stored).hexdigest() != seal.entries_sha512:
            self._fail("seal_entries", f"seal/{seal.number}", "the archived entries are not those that were sealed")
            return True
        try:
            archived = [(int(seq), int(at), str(payload)) for seq, at, payload in json.loads(stored)["entries"]]
        except (ValueError, KeyError, TypeError):
            self._fail("seal_entries", f"seal/{seal.number}", "the archived entries cannot be read")
            return True
        there = [(row.seq, row.at, row.payload) for row in rows]
        if there == archived:
            return True
        for seq, detail in differences(archived, there):
            self._fail("seal_entries", seq, detail)
        return False


PENDING = "there is no token yet"


def stamps(
    chain: Sequence[tuple[Seal, bytes | None]], roots: Sequence[x509.Certificate] | None, now: datetime
) -> Iterator[tuple[Seal, str, Stamp | None]]:
    """Yield each seal of a chain, the newest first, with what its valid token states, or why there is none.

    A token whose authority's certificate has ended is valid if a later seal names it, whose token is from before that.
    """
    proven_at, named = now, dict[int, tuple[str, datetime]]()
    for seal, document in chain:
        if document is None:
            yield seal, PENDING, None
        else:
            try:
                stamp = read_token(document, seal, roots)
            except ValueError as error:
                yield seal, str(error), None
            else:
                # At this time the token existed: now, or when a later one was made that covers it.
                sha512, covered_at = named.get(seal.number, ("", now))
                known_at = covered_at if sha512 == hashlib.sha512(document).hexdigest() else now
                if stamp.ends_at < known_at:
                    yield seal, "the authority's certificate has ended, and no later token covers this one", None
                else:
                    proven_at = min(proven_at, stamp.at)
                    yield seal, "", stamp
        # A token covers what its own seal names, and the seals before it; not what a later seal names.
        named |= {number: (sha512, proven_at) for number, sha512 in seal.tokens.items()}


def read_token(document: bytes, seal: Seal, roots: Sequence[x509.Certificate] | None) -> Stamp:
    """Return what a stored token states about a seal.

    Raises:
        ValueError: it is no valid token for this seal.
    """
    try:
        facts = json.loads(document)
        if facts["format"] != "mailroom.token" or facts["seal_sha512"] != seal.sha512:
            raise ValueError("the token is for another seal")
        response, stored = b64decode(facts["response"]), facts["roots"].encode()
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("the object is no token") from error
    return check_token(response, seal.document, load_roots(stored) if roots is None else roots)
