"""E-mails: the ledger's line and its items against the journal's entries and the manifests in the archive."""

import hashlib
import json
from collections import deque
from collections.abc import Container, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from mailroom.audit.archive_items import digest_of, unlike_raw
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope, facts_of, key_of, rows, time_of
from mailroom.audit.listings import archived_versions, side_by_side
from mailroom.audit.locks import code_of

_AT_ONCE, _WAITING = 8, 64
_FINAL = ("filed", "quarantined", "duplicate", "failed")


@dataclass(frozen=True, slots=True)
class Source:
    """Where objects of the archive are read: the first place."""

    s3: Any
    bucket: str

    def read(self, key: str, version: str | None) -> tuple[bytes, Any]:
        """Return an object's bytes, and S3's response."""
        which = {"Bucket": self.bucket, "Key": key} | ({"VersionId": version} if version else {})
        answer = self.s3.get_object(**which)
        return answer["Body"].read(), answer


@dataclass(slots=True)
class _Mail:
    """A ledger line, or what the journal says of one that is gone."""

    id: str
    line: Any | None
    archived: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    items: dict[str, str] = field(default_factory=dict)
    #: Digests that a rebuild or a recovery entered after another one of the same item.
    later: dict[str, set[str]] = field(default_factory=dict)
    manifests: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, items: dict[str, Any], *, is_again: bool) -> None:
        """Note the digests of an entry: the first of an item counts."""
        for one, digest in items.items():
            if self.items.setdefault(str(one), str(digest)) != str(digest) and is_again:
                self.later.setdefault(str(one), set()).add(str(digest))


class Mails:
    """Checks e-mails into a report; without `reading`, what needs the bytes of no object. `listed` has the manifests that are there."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        source: Source,
        report: ArchiveReport,
        *,
        since: datetime | None,
        reading: bool,
        listed: Container[tuple[str, str]] | None = None,
    ) -> None:
        self._connection, self._source, self._report = connection, source, report
        self._since, self._reading, self._listed = since, reading, listed
        #: Keys of manifests that the flow `audit` wrote again: since then another version has the bytes.
        self._restored = {one.subject for one in rows(connection, _RESTORED, {})}

    def check(self, scope: Scope) -> None:
        """Check the mails of a scope, some at once."""
        waiting: deque[Future[None]] = deque()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for mail in self._mails(scope):
                waiting.append(pool.submit(self._check_one, mail, scope.tenant is None))
                if len(waiting) >= _WAITING:
                    waiting.popleft().result()
            while waiting:
                waiting.popleft().result()

    def _mails(self, scope: Scope) -> Iterator[_Mail]:
        lines = rows(self._connection, _LINES, scope.values(), page=100)
        entries = rows(self._connection, _ENTRIES, scope.values())
        for name, found, about in side_by_side(lines, entries, lambda one: one.id):
            mail = _Mail(name, found[0] if found else None)
            for entry in about:
                facts = facts_of(entry.payload)
                if entry.kind == "archived":
                    mail.archived.append((entry, facts))
                elif isinstance(items := facts.get("items"), dict):
                    mail.enter(items, is_again="again" in facts or "rebuilt" in facts)
            yield mail

    def _check_one(self, mail: _Mail, is_whole: bool) -> None:
        try:
            self._look(mail, is_whole=is_whole)
        except Exception as error:  # noqa: BLE001 - one broken row must not end the check of the others
            what = f"its rows cannot be read ({type(error).__name__}); an administrator wrote what Mailroom does not"
            self._report.failed("readable", mail.id, what)

    def _look(self, mail: _Mail, *, is_whole: bool) -> None:
        if mail.line is None:
            what = (
                "the journal has entries about this e-mail, the database does not have it: it was removed; bring it back "
                "from the archive (docs/archive.md, rebuild)"
            )
            self._report.failed("mail_kept", mail.id, what)
            return
        self._report.passed("readable")
        items: list[dict[str, Any]] = list(mail.line.items)
        there = {one["id"] for one in items}
        for one in sorted(mail.items.keys() - there):
            what = f"the journal says that item {one} was filed; the database does not have it: it was removed"
            self._report.failed(
                "mail_kept", mail.id, f"{what}; bring it back from the archive (docs/archive.md, rebuild)"
            )
        if mail.items.keys() <= there:
            self._report.passed("mail_kept")
        self._check_entries(mail, items)
        if not self._reading:
            self._look_up_manifests(mail)
        else:
            self._read_manifests(mail, self._source)
            if mail.manifests:
                self._compare(mail, items, is_whole=is_whole)
        for item in items:
            self._check_item(mail, item)

    def _check_entries(self, mail: _Mail, items: list[dict[str, Any]]) -> None:
        """Check that a mail with deposits has an entry, and that its rows of manifests are those of its entries."""
        line: Any = mail.line
        said = {(facts.get("key"), facts.get("version"), facts.get("manifest")) for _, facts in mail.archived}
        extra = [one for one in line.manifests if (one["key"], one["version"], one["sha256"]) not in said]
        if extra:
            what = "a row of archived_mail is not what an entry of the journal says: it was forged or altered"
            self._report.failed("mail_entry", mail.id, f"{what}; find out who changed the database")
        elif mail.archived or not (line.archive_ids or items):
            self._report.passed("mail_entry")
        elif line.state not in _FINAL:
            self._report.add("mail_entry", Outcome.NOT_THERE_YET, mail.id, "it is in progress; verify again in an hour")
        elif self._is_earlier(line, items):
            what = "an earlier release filed it, before there were journals; its items are compared with the raw e-mail"
            self._report.add("mail_entry", Outcome.NOT_YET_SEALED, mail.id, what)
        else:
            what = "no entry of the journal says that it was archived: it is forged, or its entry was removed"
            self._report.failed("mail_entry", mail.id, f"{what}; find out who changed the database")

    def _is_earlier(self, line: Any, items: list[dict[str, Any]]) -> bool:
        """Return whether an e-mail's raw objects are, by S3's own time, from before there were journals."""
        raw = {one["raw_archive_id"] for one in items} or set(line.archive_ids)
        return bool(raw) and all(self._is_from_before(one) for one in raw)

    def _is_from_before(self, archive_id: str) -> bool:
        if self._since is None:
            return True
        pages = self._source.s3.get_paginator("list_object_versions")
        for page in pages.paginate(Bucket=self._source.bucket, Prefix=key_of(archive_id)):
            if any(one["LastModified"] < self._since for one in page.get("Versions", [])):
                return True
        return False

    def _look_up_manifests(self, mail: _Mail) -> None:
        """Check that the bucket's listing has every manifest that an entry names."""
        for _, facts in mail.archived if self._listed is not None else []:
            key, version = str(facts.get("key")), str(facts.get("version"))
            is_there = self._listed is None or (key, version) in self._listed or key in self._restored
            what = None if is_there else f"manifest {key} version {version} is not in the archive: it was removed"
            self._report.decide("manifest_there", mail.id, what)

    def _read_manifests(self, mail: _Mail, source: Source) -> None:
        """Read every manifest that an entry names; those with the entry's digest are what the rows are compared with."""
        for entry, facts in mail.archived:
            key, version = str(facts.get("key")), str(facts.get("version"))
            try:
                stored, answer = self._stored(source, key, version, facts.get("manifest"))
            except (ClientError, BotoCoreError) as error:
                what = f"manifest {key} version {version} cannot be read: S3 responds {code_of(error)}; it was removed, or S3"
                self._report.failed("manifest_there", mail.id, f"{what} denies access to the auditor")
                continue
            self._report.has_read(len(stored))
            manifest, wrong = _manifest(stored), None
            if hashlib.sha256(stored).hexdigest() != facts.get("manifest"):
                wrong = f"manifest {key} does not have the digest of entry {entry.seq}: one of them was altered"
            elif manifest is None:
                wrong = f"manifest {key} cannot be read"
            elif (until := answer.get("ObjectLockRetainUntilDate")) is not None and until < _until(manifest, until):
                wrong = f"manifest {key} is locked until {until:%Y-%m-%d} only, which is earlier than it says"
            if self._report.decide("manifest_there", mail.id, wrong) and manifest is not None:
                mail.manifests.append(manifest)

    def _stored(self, source: Source, key: str, version: str, digest: Any) -> tuple[bytes, Any]:
        """Return a manifest's bytes, and S3's response, from its version, or from one that the audit wrote in its place."""
        if key in self._restored:
            for one in archived_versions(source.s3, source.bucket, key=key):
                with suppress(ClientError, BotoCoreError):
                    stored, answer = source.read(key, one.version)
                    if hashlib.sha256(stored).hexdigest() == digest:
                        return stored, answer
        return source.read(key, version)

    def _compare(self, mail: _Mail, items: list[dict[str, Any]], *, is_whole: bool) -> None:
        line = mail.line
        self._decide("mail_source", mail.id, _unlike_source(line, mail.manifests, is_whole=is_whole))
        self._decide("mail_verdicts", mail.id, _unlike_verdicts(line, mail.manifests))
        routes = {
            (one["tenant"], to["recipient"], to["user"]) for one in mail.manifests for to in one["routing"]["routes"]
        }
        parts = {
            f"{one['tenant']}/{digest}"
            for one in mail.manifests
            for digest in [one.get("raw", {}).get("sha256"), *(part["sha256"] for part in one.get("parts", []))]
        }
        for item in items:
            is_routed = (item["tenant"], item["recipient"], item["user_name"]) in routes
            self._decide("mail_routes", item["id"], [] if is_routed else ["recipient or inbox"])
            named = {item["raw_archive_id"], *(one["archive_id"] for one in item["files"])}
            self._decide("mail_parts", item["id"], ["e-mail or files"] if named - parts else [])

    def _decide(self, check: str, subject: str, wrong: list[str]) -> None:
        what = f"{', '.join(wrong)} in the database are not what the manifest in the archive says: the row was altered"
        self._report.decide(check, subject, f"{what}; restore it from the manifest" if wrong else None)

    def _check_item(self, mail: _Mail, item: dict[str, Any]) -> None:
        digest, name = mail.items.get(item["id"]), item["id"]
        if digest is not None:
            what = "its fields or files do not have the digest of its entry in the journal: the row was altered"
            has = digest_of(item)
            if has in mail.later.get(name, ()):
                what = "it is not as it was filed first, but as a rebuild or a recovery entered it: compare it with its raw e-mail"
                self._report.add("item_fields", Outcome.NOTED, name, what)
                return
            do = "file its e-mail again from the archive (docs/archive.md, rebuild)"
            self._report.decide("item_fields", name, None if has == digest else f"{what}; {do}")
        elif mail.archived and mail.items:
            what = "no entry of the journal says that this item was filed, but others of its e-mail: it is forged"
            self._report.failed("item_fields", name, f"{what}; find out who changed the database")
        else:
            self._compare_with_raw(item, self._source)

    def _compare_with_raw(self, item: dict[str, Any], source: Source) -> None:
        name = item["id"]
        if not self._is_from_before(item["raw_archive_id"]):
            what = "no entry of the journal says that this item was filed: it is forged, or its entry was removed"
            self._report.failed("item_fields", name, f"{what}; find out who changed the database")
            return
        if not self._reading:
            return
        try:
            raw, _ = source.read(key_of(item["raw_archive_id"]), item["raw_version"])
        except (ClientError, BotoCoreError) as error:
            what = f"its raw e-mail cannot be read: S3 responds {code_of(error)}"
            self._report.failed("item_fields", name, what)
            return
        wrong = unlike_raw(item, raw)
        what = f"{', '.join(wrong)} are not what its raw e-mail says; read both, and file the e-mail again if it was altered"
        self._report.decide("item_fields", name, what if wrong else None)


def _manifest(stored: bytes) -> dict[str, Any] | None:
    """Return the facts of a manifest, with all that is compared; None for what is none."""
    try:
        facts = json.loads(stored)
        for one in ("tenant", "source", "envelope", "routing", "retention", "received_at"):
            facts[one]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _until(manifest: dict[str, Any], otherwise: datetime) -> datetime:
    until = time_of(manifest["retention"].get("until"))
    return until.replace(microsecond=0) if until else otherwise


def _unlike_source(line: Any, manifests: list[dict[str, Any]], *, is_whole: bool) -> list[str]:
    """Return what the ledger says of the object and the envelope that the manifests do not say.

    Unless they are the mail's manifests for all tenants, further recipients may be those of others.
    """
    sources, wrong = [one["source"] for one in manifests], []
    if not any((line.bucket, line.key) == (one["bucket"], one["key"]) for one in sources):
        wrong.append("object")
    if line.received_at not in [time_of(one["received_at"]) for one in manifests]:
        wrong.append("time of receipt")
    envelope = line.envelope
    by_ses = [one["envelope"] for one in manifests if one["envelope"].get("named_by") == "ses"]
    if not isinstance(envelope, dict):
        return [*wrong, "envelope"] if by_ses else wrong
    if not by_ses:
        return wrong
    if not any(envelope.get("sender") == one["sender"] for one in by_ses):
        wrong.append("sender")
    if time_of(envelope.get("received_at")) not in [time_of(one["received_at"]) for one in by_ses]:
        wrong.append("time of the envelope")
    named = {name for one in by_ses for name in one["recipients"]}
    has = set(envelope.get("recipients") or [])
    if has != named and (is_whole or not named <= has):
        wrong.append("recipients")
    return wrong


def _unlike_verdicts(line: Any, manifests: list[dict[str, Any]]) -> list[str]:
    """Return the verdicts of the ledger that no manifest has."""
    wrong = []
    if isinstance(line.envelope, dict) and isinstance(has := line.envelope.get("verdicts"), dict):
        said = [one["envelope"]["verdicts"] for one in manifests if one["envelope"].get("named_by") == "ses"]
        wrong += [
            f"verdict {name}" for name in sorted(has) if said and has[name] not in [one.get(name) for one in said]
        ]
    scans = [one["routing"]["scan"] for one in manifests if one["routing"].get("scan")]
    has = line.scan.get("finding") if isinstance(line.scan, dict) else None
    if scans and has not in [one.get("finding") for one in scans]:
        wrong.append("result of the virus scan")
    return wrong


def names_of(connection: psycopg.Connection[Any], names: Iterable[str]) -> set[str]:
    """Return those of these names of manifests that a ledger line has."""
    wanted = [bytes.fromhex(one) for one in names]
    return {one for (one,) in connection.execute(_NAMED, {"names": wanted}).fetchall()}


_LINES = """
select e.id::text as id, e.bucket, e.key, e.version, e.message_id, e.envelope, e.state, e.archive_ids, e.tenants, e.scan,
       e.received_at,
       (select coalesce(jsonb_agg(to_jsonb(m)), '[]') from archived_mail m
         where m.email_id = e.id and (%(tenant)s::text is null or m.tenant = %(tenant)s)) as manifests,
       (select coalesce(jsonb_agg(to_jsonb(i) - 'words' || jsonb_build_object(
                   'raw_version', (select c.version from deposit_copy c
                                    where c.archive_id = i.raw_archive_id and c.place = 'first'),
                   'files', (select coalesce(jsonb_agg(to_jsonb(a)), '[]') from attachment a where a.item_id = i.id))), '[]')
          from inbox_item i
         where i.email_id = e.id and (%(tenant)s::text is null or i.tenant = %(tenant)s)) as items
  from inbound_email e
 where (%(emails)s::text[] is null or e.id::text = any(%(emails)s))
       and (%(tenant)s::text is null or %(tenant)s = any(e.tenants)
            or exists (select from inbox_item i where i.email_id = e.id and i.tenant = %(tenant)s))
 order by e.id::text collate "C"
"""

_ENTRIES = """
select j.subject as id, j.tenant, j.kind, j.seq, j.at, j.payload from journal j
 where j.stream = 'life' and j.kind in ('archived', 'filed') and j.subject is not null
       and (%(emails)s::text[] is null or j.subject = any(%(emails)s))
       and (%(tenant)s::text is null or j.tenant = %(tenant)s)
 order by j.subject collate "C", j.tenant, j.seq
"""

_RESTORED = """
select distinct subject from journal where stream = 'operations' and kind = 'repair' and subject is not null
"""

_NAMED = """
select encode(sha256(convert_to(e.bucket || '/' || e.key, 'UTF8')), 'hex') from inbound_email e
 where sha256(convert_to(e.bucket || '/' || e.key, 'UTF8')) = any(%(names)s::bytea[])
"""
