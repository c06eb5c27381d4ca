"""Sealing: a signed statement of each journal, kept in the archive and by a witness, with the token of an authority.

The archive decides which seal has a number, because nothing stored there under a key can be replaced: a seal is put there
first and recorded then. A run that was killed between, or that runs beside another, finds the seal there, checks it against
the journal, and records it. A seal in the archive that the journal does not agree with is never followed by another: the
database is older than the archive, or was altered.

A seal of `life` is an entry of `operations`, which is sealed after it. A seal of `operations` is no entry, else each seal
would need another one; the next seal names it.
"""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailroom.crash_points import crash_point
from mailroom.domain.archive.merkle import Tree
from mailroom.domain.archive.seals import (
    MONTH,
    MOST_ENTRIES,
    YEAR,
    Entry,
    Seal,
    SignedSeal,
    described,
    document,
    entries_document,
    first_prev,
    grown,
    is_due,
    key_of,
    read_statement,
    sealing_time,
    token_document,
)
from mailroom.domain.errors import MailroomError, PermanentError, TransientError
from mailroom.ports.seals import SealKey, SealRecords, SealStore, TimeStamping

log = logging.getLogger("mailroom.seals")

#: Seals that get their token, or are given to the witness, in one run.
_MOST = 500
#: Tries of a seal while another process seals the same journal.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class Sealing:
    """The ports of sealing; without authorities seals have no tokens, without a witness nobody else has them."""

    records: SealRecords
    archive: SealStore
    key: SealKey
    authorities: TimeStamping | None = None
    witness: SealStore | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did: how many were done, and what failed, as `<tenant>/<stream>: why`."""

    done: int
    failed: Sequence[str] = ()


def seal_journals(ports: Sealing, *, now: datetime) -> Outcome:
    """Seal every journal that has new entries, or no seal of this day; one that fails stops no other."""
    done, failed = 0, []
    for tenant, stream in ports.records.journals():
        try:
            done += seal_journal(tenant, stream, ports, now=now)
        except MailroomError as error:
            log.error("%s/%s is not sealed: %s", tenant, stream, error)
            failed.append(f"{tenant}/{stream}: {error}")
    return Outcome(done, failed)


def seal_journal(tenant: str, stream: str, ports: Sealing, *, now: datetime) -> int:
    """Seal one journal until no entry is left, and return the number of seals.

    Raises:
        PermanentError: the journal, or the seals in the archive, do not agree with what was sealed before.
    """
    done = 0
    for _ in range(_TRIES):
        while True:
            last = ports.records.last(tenant, stream)
            new = ports.records.entries(tenant, stream, after=last.seal.tree.size if last else 0, limit=MOST_ENTRIES)
            if not is_due(last, has_new=bool(new), now=now):
                return done
            if not _seal_next(tenant, stream, last, new, ports, now=now):
                break
            done += 1
            if len(new) < MOST_ENTRIES:
                return done
    raise TransientError("another process is sealing the same journal", tenant=tenant, stream=stream)


def _seal_next(
    tenant: str, stream: str, last: SignedSeal | None, new: Sequence[Entry], ports: Sealing, *, now: datetime
) -> bool:
    """Make the next seal, and return True; False if another process made it, which is then recorded."""
    records = ports.records
    tree, head = (last.seal.tree, last.seal.head) if last else (Tree(), first_prev(tenant, stream))
    entries = entries_document(tenant, stream, new)
    moment = sealing_time(last, new, now=now)
    seal = Seal(
        tenant=tenant,
        stream=stream,
        number=last.seal.number + 1 if last else 1,
        tree=grown(tree, head, new),
        head=new[-1].hash if new else head,
        entries_sha512=hashlib.sha512(entries).hexdigest(),
        sealed_at=moment,
        previous=last.link if last else None,
        month=records.before(tenant, stream, moment - MONTH),
        year=records.before(tenant, stream, moment - YEAR),
        tokens=records.unnamed_tokens(tenant, stream),
    )
    statement = seal.statement(ports.key.id)
    signature = ports.key.sign(statement.encode())
    made = document(statement, signature=signature, public_key=ports.key.public_key)
    crash_point("before", "seal")
    stored = ports.archive.keep(key_of(tenant, stream, seal.number), made)
    crash_point("after", "seal")
    if stored == made:
        _keep_entries(seal, entries, ports)
        records.record(SignedSeal(seal, made))
        return True
    _adopt(stored, seal, last, ports)
    return False


def _adopt(stored: bytes, mine: Seal, last: SignedSeal | None, ports: Sealing) -> None:
    """Record the seal that is in the archive under the next number, if it is a seal of this journal that continues `last`.

    Raises:
        PermanentError: it is not.
    """
    tenant, stream, number = mine.tenant, mine.stream, mine.number
    try:
        facts, statement, signature, public_key = described(stored)
        size, key = int(facts["size"]), str(facts["key"])
        is_signed = ports.key.is_signed(statement.encode(), signature, public_key)
    except (ValueError, KeyError, TypeError):
        raise _refusal("the archive has no seal, but something else, under the next number", mine) from None
    tree, head = (last.seal.tree, last.seal.head) if last else (Tree(), first_prev(tenant, stream))
    if not is_signed:
        why = (
            "the archive has a seal of the next number that this installation did not make, by a key that is not known"
        )
        raise _refusal(why, mine, key=key)
    if size < tree.size or size > tree.size + MOST_ENTRIES:
        raise _refusal("the archive has a seal of the next number with another size than the journal", mine)
    new = ports.records.entries(tenant, stream, after=tree.size, limit=size - tree.size) if size > tree.size else []
    if len(new) < size - tree.size:
        raise _refusal("the journal is shorter than the archive's seals: an older database was restored", mine)
    try:
        seal = read_statement(facts, grown(tree, head, new), new[-1].hash if new else head)
    except ValueError:
        raise _refusal("the archive has no seal, but something else, under the next number", mine) from None
    entries = entries_document(tenant, stream, new)
    is_same = (seal.tenant, seal.stream, seal.number, seal.previous) == (tenant, stream, number, mine.previous)
    if not is_same or seal.statement(key) != statement:
        raise _refusal(
            "the archive's seal of the next number is not of this journal: an older database was restored", mine
        )
    if hashlib.sha512(entries).hexdigest() != seal.entries_sha512:
        raise _refusal("the archive's seal of the next number has other entries than the journal", mine)
    _keep_entries(seal, entries, ports)
    ports.records.record(SignedSeal(seal, stored))


def _keep_entries(seal: Seal, entries: bytes, ports: Sealing) -> None:
    """Store the sealed entries beside their seal: from these the journal can be read when the database is gone."""
    crash_point("before", "sealed entries")
    if ports.archive.keep(key_of(seal.tenant, seal.stream, seal.number, "entries"), entries) != entries:
        raise _refusal("the archive has other entries of this seal", seal)
    crash_point("after", "sealed entries")


def stamp_seals(ports: Sealing, *, now: datetime) -> Outcome:
    """Get tokens for seals that have none; when no authority answers, the rest waits for the next run."""
    if ports.authorities is None:
        return Outcome(0)
    done, failed = 0, dict[str, str]()
    for sealed in ports.records.unstamped(limit=_MOST):
        seal, journal = sealed.seal, f"{sealed.seal.tenant}/{sealed.seal.stream}"
        if journal in failed:
            continue
        try:
            token = ports.authorities.stamp(sealed.document, not_before=seal.sealed_at, now=now)
        except TransientError as error:
            failed[journal] = str(error)
            break
        crash_point("before", "token")
        stored = ports.archive.keep(
            key_of(seal.tenant, seal.stream, seal.number, "token"), token_document(sealed, token)
        )
        crash_point("after", "token")
        try:
            ports.records.record_token(sealed, stored)
            done += 1
        except ValueError:
            failed[journal] = f"the archive has no token, but something else, for seal {seal.number}"
    return Outcome(done, [f"{journal}: {why}" for journal, why in failed.items()])


def give_to_witness(ports: Sealing, *, now: datetime) -> Outcome:
    """Give the witness the seals that it does not have, the oldest of each journal first.

    Another seal of the same number that it has is a failure: the journal that it saw is not the one that is here.
    """
    if ports.witness is None:
        return Outcome(0)
    done, failed = 0, dict[str, str]()
    for sealed in ports.records.unwitnessed(ports.witness.name, limit=_MOST):
        seal, journal = sealed.seal, f"{sealed.seal.tenant}/{sealed.seal.stream}"
        if journal in failed:
            continue
        try:
            crash_point("before", "witness")
            stored = ports.witness.keep(key_of(seal.tenant, seal.stream, seal.number), sealed.document)
            crash_point("after", "witness")
        except MailroomError as error:
            failed[journal] = f"the witness cannot be reached: {error}"
            break
        if stored == sealed.document:
            ports.records.record_witnessed(sealed, ports.witness.name, now=now)
            done += 1
        else:
            failed[journal] = f"the witness has another seal {seal.number}: an older database was restored, or altered"
    return Outcome(done, [f"{journal}: {why}" for journal, why in failed.items()])


def _refusal(what: str, seal: Seal, **facts: str) -> PermanentError:
    return PermanentError(what, tenant=seal.tenant, stream=seal.stream, number=seal.number, **facts)
