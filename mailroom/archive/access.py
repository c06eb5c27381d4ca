"""Reads of archived content, manifests too: each is an entry `access` of its tenant's journal, written before a byte is returned.

    request or task ──> Look (who, what for) ──> JournalledArchive.read ──> entry ──> the archive

The entry says who by a pseudonym: `user:<id>`, `key:<id>`, `worker` or `operator`. Within one look, which is one request, a
document is entered once, however often it is read. A read whose entry cannot be written fails, and serves nothing.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import IO, Protocol

from mailroom.domain.archive.journal import JournalEntry, Kind, OperationsKind, Stream
from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.archive.retention import RetentionClass
from mailroom.domain.errors import MailroomError, NotPermitted
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.tenants import NOBODY, tenant_name
from mailroom.ports.archive import Archive, Content, Deposit
from mailroom.ports.journal import Journal
from mailroom.ports.manifests import KeptManifest, Manifests

log = logging.getLogger(__name__)


class CheckedArchive(Archive, Protocol):
    """An archive whose permissions can be checked."""

    def check(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, by a pseudonym, and what for, in a word."""

    actor: str
    purpose: str


@dataclass(slots=True)
class Look:
    """One request that reads archived content: its reader, and what of it is entered already.

    `mail` is the raw e-mail whose text the response shows, `files` are deposits that it will contain: both are entered by
    `pending` when the response begins, because their text is in the database, or their bytes are read later.
    """

    who: Callable[[], Reader]
    mail: str | None = None
    files: list[str] = field(default_factory=list)
    _entered: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def entries(self, archive_ids: Iterable[str]) -> list[JournalEntry]:
        """Return the entries about those of these deposits that are not entered yet."""
        with self._lock:
            return _entries(self.who(), [one for one in dict.fromkeys(archive_ids) if one not in self._entered])

    def entered(self, entries: Iterable[JournalEntry]) -> None:
        """Note that these entries are stored."""
        with self._lock:
            self._entered.update(one.subject for one in entries if one.subject)


_look: ContextVar[Look | None] = ContextVar("look", default=None)


@contextmanager
def looking(look: Look) -> Iterator[None]:
    """Run the block as this look."""
    before = _look.set(look)
    try:
        yield
    finally:
        _look.reset(before)


def show_mail(archive_id: str) -> None:
    """Note that the current look shows the text of this raw e-mail, if its route shows mail at all."""
    if look := _look.get():
        look.mail = archive_id


def show_files(archive_ids: Iterable[str]) -> None:
    """Note that the current look's response will contain these deposits."""
    if look := _look.get():
        look.files += archive_ids


class JournalledArchive:
    """The port `Archive`, whose reads are journalled: by the current look, else by the process's own reader."""

    def __init__(self, archive: CheckedArchive, journal: Journal, reader: Reader) -> None:
        self._archive, self._journal, self._reader = archive, journal, reader
        self._refused: set[str] = set()

    def deposit(self, tenant: str, content: bytes, *, retention: RetentionClass = RetentionClass.DOCUMENT) -> Deposit:
        """Archive `content`; a permission that is denied is an entry, once until it is granted again."""
        try:
            return self._archive.deposit(tenant, content, retention=retention)
        except NotPermitted as error:
            self._enter_refusal(error)
            raise

    def deposit_all(self, contents: Sequence[Content], *, pool: Executor) -> list[Deposit]:
        """Archive each of `contents`; see `deposit`."""
        try:
            return self._archive.deposit_all(contents, pool=pool)
        except NotPermitted as error:
            self._enter_refusal(error)
            raise

    def find(self, archive_id: str) -> Deposit | None:
        """Return the receipt of `archive_id`, or None; it has no content."""
        return self._archive.find(archive_id)

    def read(self, archive_id: str) -> bytes:
        """Return the content."""
        self._enter(archive_id)
        return self._archive.read(archive_id)

    def copy(self, archive_id: str, target: IO[bytes]) -> None:
        """Write the content to `target`."""
        self._enter(archive_id)
        self._archive.copy(archive_id, target)

    def check(self) -> None:
        """Return if the archive works."""
        try:
            self._archive.check()
        except NotPermitted as error:
            self._enter_refusal(error)
            raise
        self._refused.clear()

    def _enter_refusal(self, refusal: NotPermitted) -> None:
        if refusal.permission in self._refused:
            return
        self._refused.add(refusal.permission)
        try:
            facts = {"permission": refusal.permission}
            self._journal.append(NOBODY, Stream.OPERATIONS, OperationsKind.REFUSED, facts=facts)
        except MailroomError as error:
            log.error("not journalled that %s was refused: %s", refusal.permission, error)

    def _enter(self, archive_id: str) -> None:
        look = _look.get()
        entries = look.entries([archive_id]) if look else _entries(self._reader, [archive_id])
        self._journal.append_all(entries)
        if look:
            look.entered(entries)


class JournalledManifests:
    """The port `Manifests`: what `find` returns was entered before. It reads who received a mail, to process it again.

    What `keep` reads of earlier versions, to write no fewer facts, is read for nobody and is no entry.
    """

    def __init__(self, manifests: Manifests, journal: Journal, reader: Reader) -> None:
        self._manifests, self._journal, self._reader = manifests, journal, reader

    def keep(self, manifest: Manifest) -> KeptManifest:
        """Store a tenant's manifest."""
        return self._manifests.keep(manifest)

    def renew(self, kept: KeptManifest, manifest: Manifest) -> KeptManifest:
        """Store the manifest as a version after `kept`."""
        return self._manifests.renew(kept, manifest)

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object.

        One of a tenant that cannot be, which a stranger put into the bucket, has no journal.
        """
        found = self._manifests.find(ref)
        keys = sorted({one.key for one in found if _has_journal(one.tenant)})
        self._journal.append_all(_entries(self._reader, keys))
        return found


def _has_journal(tenant: str) -> bool:
    try:
        return tenant == NOBODY or bool(tenant_name(tenant))
    except ValueError:
        return False


def _entries(reader: Reader, archive_ids: Iterable[str]) -> list[JournalEntry]:
    facts = {"actor": reader.actor, "purpose": reader.purpose}
    return [JournalEntry(one.partition("/")[0], Kind.ACCESS, one, facts) for one in archive_ids]
