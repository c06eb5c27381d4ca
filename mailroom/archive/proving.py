"""Proofs about one entry of a journal, for somebody who has nothing of this installation but the proof and its public key.

A proof has the entry, the seal that covers it, and the path between them (RFC 9162); the token of that seal; and a chain of
seals from the newest down to it. The chain shows that the journal was only added to since, and that later tokens cover the
token of the seal, so that it counts when its authority's certificate has ended.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from mailroom.domain.archive.merkle import consistency_proof, inclusion_proof
from mailroom.domain.archive.seals import SignedSeal
from mailroom.ports.seals import SealRecords

FORMAT, VERSION = "mailroom.proof", 1


def prove(tenant: str, stream: str, seq: int, records: SealRecords, *, now: datetime) -> Mapping[str, Any]:
    """Return the proof that this entry is in the journal that was sealed, as a value of JSON.

    Raises:
        LookupError: there is no such entry, or no seal covers it yet.
    """
    entry = next(iter(records.entries(tenant, stream, after=seq - 1, limit=1)), None)
    if seq < 1 or entry is None or entry.seq != seq:
        raise LookupError("no such entry")
    sealed, newest = records.covering(tenant, stream, seq), records.last(tenant, stream)
    if sealed is None or newest is None:
        raise LookupError("the entry has no seal yet; the flow seal makes one every hour")
    leaves = records.hashes(tenant, stream, size=newest.seal.tree.size)
    size = sealed.seal.tree.size
    return {
        "format": FORMAT,
        "version": VERSION,
        "tenant": tenant,
        "stream": stream,
        "entry": {"seq": seq, "at": entry.at, "payload": entry.payload, "prev": entry.prev.hex()},
        "inclusion": [one.hex() for one in inclusion_proof(leaves[:size], seq - 1)],
        "consistency": [one.hex() for one in consistency_proof(leaves, size)],
        "chain": _Chain(records, tenant, stream, now).documents(sealed, newest),
    }


class _Chain:
    """The seals between the newest and the one that covers an entry, as few as prove what is needed."""

    def __init__(self, records: SealRecords, tenant: str, stream: str, now: datetime) -> None:
        self._records, self._journal, self._now = records, (tenant, stream), now
        times = records.token_times(tenant, stream)
        self._tokens = {number: (at, ends_at) for number, at, ends_at in times}
        self._at = sorted((at, number) for number, at, _ in times)

    def documents(self, sealed: SignedSeal, newest: SignedSeal) -> list[Mapping[str, str]]:
        """Return the seals, the newest first and `sealed` last, each with its token if it has one."""
        numbers = [sealed.seal.number]
        while (later := self._needed_for(numbers[-1])) is not None:
            numbers.append(later)
        if newest.seal.number > numbers[-1]:
            numbers.append(newest.seal.number)
        walked: list[SignedSeal] = []
        for high, low in zip(reversed(numbers), reversed(numbers[:-1]), strict=False):
            walked += self._between(high, low)
        walked.append(sealed)
        return [self._document(one) for one in walked]

    def _needed_for(self, number: int) -> int | None:
        """Return the seal whose token has to cover this one's: the newest from before the certificate ended; None if it lasts."""
        _, ends_at = self._tokens.get(number, (self._now, self._now))
        if ends_at >= self._now:
            return None
        later = [one for _, one in self._at[: bisect_right(self._at, (ends_at, 1 << 62))] if one > number]
        return max(later) if later else None

    def _between(self, high: int, low: int) -> Sequence[SignedSeal]:
        """Return the seals from `high` down, each naming the next, to the one before `low`; one of them names its token."""
        walked, one = list[SignedSeal](), self._seal(high)
        names_token = self._naming(low)
        while one.seal.number != low:
            walked.append(one)
            floor = names_token if names_token and one.seal.number > names_token else low
            links = [link.number for link in (one.seal.year, one.seal.month, one.seal.previous) if link]
            one = self._seal(next(number for number in links if number >= floor))
        return walked

    def _naming(self, number: int) -> int | None:
        """Return the seal that names the token of this one: one of the next few."""
        if number not in self._tokens:
            return None
        for later in range(number + 1, number + _LATEST):
            found = self._records.find(*self._journal, later)
            if found is None or number in found.seal.tokens:
                return later if found else None
        return None

    def _seal(self, number: int) -> SignedSeal:
        found = self._records.find(*self._journal, number)
        if found is None:
            raise LookupError("a seal is missing")
        return found

    def _document(self, sealed: SignedSeal) -> Mapping[str, str]:
        token = self._records.token(*self._journal, sealed.seal.number)
        return {"seal": sealed.document.decode()} | ({"token": token.decode()} if token else {})


#: A token is named by the next seal after it was obtained; authorities may be away for weeks.
_LATEST = 2000
