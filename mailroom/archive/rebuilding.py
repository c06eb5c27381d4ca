"""Rebuilds a lost database from the archive: the installation from its export, journals from their seals, mails from manifests.

The journal says which manifests and items there were; what it does not name is not put back, because anybody who may write
into the bucket could have put it there. What was under way when the journal ended is left to the flow `sweep-inbound`, which
files it from the inbound bucket. Nothing is sent, and no processor runs. Each step may be killed and run again.
"""

import hashlib
import json
import logging
import tempfile
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO
from uuid import UUID

from mailroom.archive.depositing import DepositReceipts
from mailroom.archive.exporting import Verified, newest_export
from mailroom.domain.archive.item_digests import item_id
from mailroom.domain.archive.journal import OperationsKind
from mailroom.domain.archive.manifests import Manifest, read
from mailroom.domain.archive.rebuilt import Described, RebuiltMail, described, filed_routes, rebuilt, with_items
from mailroom.domain.errors import ConfigurationError, MailroomError, PermanentError, TransientError
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.archive import Archive
from mailroom.ports.exports import ExportedRows, ExportStore, Signer
from mailroom.ports.manifests import KeptManifest
from mailroom.ports.parser import Parser
from mailroom.ports.rebuilding import (
    ArchivedObjects,
    ArchivedVersion,
    JournalledMail,
    PutBack,
    RebuiltRows,
    SealedEntries,
)

log = logging.getLogger("mailroom.archive")

STREAMS = ("life", "operations")

#: Mails that are looked up at once.
_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class Rebuilding:
    """The ports of a rebuild; `archive` reads deposits whose receipts were put back."""

    objects: ArchivedObjects
    rows: RebuiltRows
    exports: ExportStore
    exported: ExportedRows
    archive: Archive
    parser: Parser
    signer: Signer
    recognise: Callable[[], object]
    """Marks the database as restored, so that nothing that may have left before is sent again."""
    copies: ArchivedObjects | None = None
    """The bucket of second copies, if there is one."""


@dataclass(slots=True)
class Rebuilt:
    """What was put back. `left` are mails for `sweep-inbound`; `different` items that are not as the journal says."""

    export: str = ""
    exported_at: datetime | None = None
    tables: dict[str, int] = field(default_factory=dict)
    journals: dict[str, int] = field(default_factory=dict)
    mails: int = 0
    items: int = 0
    left: list[str] = field(default_factory=list)
    different: int = 0


Progress = Callable[[str], None]


def rebuild(ports: Rebuilding, *, now: Callable[[], datetime], progress: Progress = lambda _: None) -> Rebuilt:
    """Rebuild the database, or continue to, and return what was put back by this call.

    Raises:
        ConfigurationError: the database has mail, or the archive has no export that this installation signed.
    """
    done = Rebuilt()
    ports.rows.begin(now=now())
    _put_export(ports, done, progress)
    for tenant in ports.objects.tenants():
        for stream in STREAMS:
            if put := put_journal(ports, tenant, stream, kind=OperationsKind.REBUILT):
                done.journals[f"{tenant}/{stream}"] = put.last
                progress(f"journal {tenant}/{stream}: {put.last:,} entries")
    put_mails(ports, done, now=now, progress=progress)
    ports.recognise()
    ports.rows.finish({"mails": done.mails, "left": len(done.left), "different": done.different}, now=now())
    return done


def put_mails(ports: Rebuilding, done: Rebuilt, *, now: Callable[[], datetime], progress: Progress) -> None:
    """Put back the e-mails that the journals call archived and the database does not have, into `done`."""
    total = ports.rows.put_archived()
    progress(f"{total:,} e-mails in the journals")
    for mail in _all_missing(ports.rows):
        _put_mail(ports, mail, done, now=now())
        if (done.mails + len(done.left)) % _TOGETHER == 0:
            progress(f"{done.mails:,} e-mails put back")


def survey(ports: Rebuilding) -> Rebuilt:
    """Return what a rebuild would put back, by the export and the journals alone; nothing is written.

    Raises:
        ConfigurationError: the database has mail, or the archive has no export that this installation signed.
    """
    ports.rows.refuse_mail()
    found, mails = Rebuilt(), set[str]()
    with tempfile.TemporaryFile() as body:
        export = _export(ports, body)
        found.export, found.exported_at = export.kept.key, export.made_at
        for row in export.rows():
            found.tables[row.table] = found.tables.get(row.table, 0) + 1
    for tenant in ports.objects.tenants():
        for stream in STREAMS:
            entries = _entries(ports.objects.sealed(tenant, stream), ports.signer, f"{tenant}/{stream}")
            for seq, _, payload in entries:
                found.journals[f"{tenant}/{stream}"] = seq
                facts = json.loads(payload)
                if facts.get("kind") == "archived":
                    mails.add(str(facts.get("subject")))
    found.mails = len(mails)
    return found


def _export(ports: Rebuilding, body: IO[bytes]) -> Verified:
    """Return the newest export of this installation.

    Raises:
        ConfigurationError: there is none.
    """
    export = newest_export(ports.exports, ports.signer, body)
    if export is None:
        raise ConfigurationError(
            "the archive has no export that MAILROOM_SEAL_KEY signed; without one tenants and addresses are not known"
        )
    return export


def _put_export(ports: Rebuilding, done: Rebuilt, progress: Progress) -> None:
    with tempfile.TemporaryFile() as body:
        export = _export(ports, body)
        done.export, done.exported_at = export.kept.key, export.made_at
        done.tables = dict(ports.exported.put_back(export.rows()))
    progress(f"installation as of {export.made_at:%Y-%m-%d %H:%M} UTC, from {export.kept.key}")


def put_journal(
    ports: Rebuilding, tenant: str, stream: str, *, kind: OperationsKind, dry_run: bool = False
) -> PutBack | None:
    """Put back the entries of a journal that seals of this installation have; None if the database has all of them."""
    entries = _entries(ports.objects.sealed(tenant, stream), ports.signer, f"{tenant}/{stream}")
    return ports.rows.put_journal(tenant, stream, entries, kind=kind, dry_run=dry_run)


def _entries(sealed: Iterator[SealedEntries], signer: Signer, journal: str) -> Iterator[tuple[int, int, str]]:
    """Yield the entries that seals of this installation have; what is behind a seal that is not its own is not used."""
    for number, one in enumerate(sealed, start=1):
        try:
            outer = json.loads(one.seal)
            facts = json.loads(outer["seal"])
            signature, key = b64decode(outer["signature"]), str(outer["public_key"])
            is_signed = signer.is_signed(outer["seal"].encode(), signature, key)
            entries = json.loads(one.entries)["entries"]
        except (ValueError, KeyError, TypeError, AttributeError):
            is_signed, facts, entries = False, {}, []
        is_of = f"{facts.get('tenant')}/{facts.get('stream')}" == journal and facts.get("number") == number
        if not (is_signed and is_of and hashlib.sha512(one.entries).hexdigest() == facts.get("entries_sha512")):
            what = "journal %s: seal %d, or its entries, is missing or not this installation's (key %s); what follows is not used"
            log.error(what, journal, number, str(facts.get("key"))[:64])
            return
        yield from ((int(seq), int(at), str(payload)) for seq, at, payload in entries)


def _all_missing(rows: RebuiltRows) -> Iterator[JournalledMail]:
    after = ""
    while page := rows.missing(after=after, limit=_TOGETHER):
        yield from page
        after = page[-1].email_id


def _put_mail(ports: Rebuilding, journalled: JournalledMail, done: Rebuilt, *, now: datetime) -> None:
    try:
        mail = _read_mail(ports, journalled)
        if mail is not None:
            done.different += ports.rows.put_mail(mail, now=now)
            done.mails += 1
            done.items += len(mail.items)
            return
    except TransientError:
        raise
    except (MailroomError, LookupError, ValueError) as error:
        log.warning("e-mail %s cannot be put back: %s", journalled.email_id, error)
    done.left.append(journalled.email_id)


def _read_mail(ports: Rebuilding, journalled: JournalledMail) -> RebuiltMail | None:
    """Return an e-mail with its items, after its receipts were put back; None if it is left to be processed again."""
    manifests = [found for one in journalled.manifests if (found := _manifest(ports.objects, one))]

    def id_of(tenant: str, recipient: str) -> str:
        return str(item_id(UUID(journalled.email_id), tenant, recipient))

    mail = rebuilt(
        journalled.email_id,
        manifests,
        items=journalled.items,
        filed_at=journalled.filed_at,
        item_id=id_of,
        withdrawn=journalled.withdrawn,
        quarantined=journalled.state is not None,
    )
    if mail is None:
        return None
    of_mail = described(manifests)
    deposits = _put_deposits(ports, of_mail)
    routes = filed_routes(of_mail, journalled.items, id_of)
    if not routes:
        return mail
    first = of_mail.newest[routes[0].tenant]
    raw = ports.archive.read(f"{first.tenant}/{first.parts[0].sha256}")
    routing = RoutingDecision(tuple(routes), ())
    salts = {tenant: KeptManifest(one, "", "") for tenant, one in of_mail.newest.items()}
    return with_items(mail, items_for(ports.parser.parse(raw), raw, routing, deposits, salts))


def _put_deposits(ports: Rebuilding, mail: Described) -> DepositReceipts:
    """Put back the receipts of all parts and the places of their copies, and return the receipts.

    Raises:
        PermanentError: the bucket has no locked version with the bytes of a part.
    """
    parts = {(one.tenant, part.sha256): part for one in mail.deposited for part in one.parts}
    found = {which: ports.objects.find(which[0], part) for which, part in parts.items()}
    there = {which: one for which, one in found.items() if one is not None}
    if len(there) < len(parts):
        raise PermanentError("a deposit is missing in the archive's bucket")
    ports.rows.put_deposits(list(there.values()))
    if ports.copies is not None:
        second = [ports.copies.find(which[0], part) for which, part in parts.items()]
        ports.rows.put_copies([one.deposit for one in second if one is not None])
    return {which: one.deposit for which, one in there.items()}


def _manifest(objects: ArchivedObjects, wanted: ArchivedVersion) -> Manifest | None:
    """Return the manifest that has the bytes that the journal names: in its version, or in one that the audit wrote in its place."""
    stored = objects.read(wanted.key, wanted.version)
    if stored is None or hashlib.sha256(stored).hexdigest() != wanted.sha256:
        stored = next(
            (one for one in objects.versions(wanted.key) if hashlib.sha256(one).hexdigest() == wanted.sha256), None
        )
    if stored is None:
        log.error("manifest %s version %s is missing or altered", wanted.key, wanted.version)
        return None
    return read(stored)
