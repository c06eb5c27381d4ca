"""A small archive of mails that are filed by the product's own steps, and an administrator of its database who alters it."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.aws.seals_s3 import S3Seals
from mailroom.adapters.postgres.archive.seals import SqlSeals
from mailroom.adapters.postgres.tenants.directory import SqlDirectory
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.archive.depositing import deposit_all
from mailroom.archive.mail_manifests import describe, with_attachments
from mailroom.archive.sealing import Sealing, give_to_witness, seal_journals
from mailroom.audit.archive_documents import FIRST, Place
from mailroom.audit.archive_report import ArchiveReport, Outcome
from mailroom.audit.archive_rows import Scope
from mailroom.audit.archive_seals import SealTrust
from mailroom.audit.verify import Installation, verify
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address, Route
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.domain.parsing import parse_email
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.manifests import KeptManifests
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.support.archive_store import RETENTION, Store
from tests.support.filed_mail import inbound_on
from tests.support.tampering import owner_of

ANNA = Route("anna@acme.test", "acme", "anna", "exact")
BOB = Route("bob@other.test", "other", "bob", "exact")

LEASE = b"""From: Carl <carl@sender.test>\r
To: anna@acme.test\r
Subject: the lease\r
Message-ID: <lease@sender.test>\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: text/plain; charset=utf-8\r
Content-Transfer-Encoding: 8bit\r
\r
The rent is 900 euros, \xc3\xa0 bient\xc3\xb4t.\r
--b\r
Content-Type: application/pdf; name=lease.pdf\r
Content-Disposition: attachment; filename=lease.pdf\r
\r
%PDF-1.7 lease\r
--b--\r
"""
NOTE = b"From: dora@sender.test\r\nTo: anna@acme.test\r\nSubject: a note\r\n\r\nCall me.\r\n"

#: Long enough that nothing of a test is young.
LATER = timedelta(hours=3)


@dataclass(slots=True)
class SmallArchive:
    """Mails of two tenants in a bucket and a database."""

    store: Store
    database_url: str
    witness: str = ""
    emails: list[str] = field(default_factory=list)

    @property
    def installation(self) -> Installation:
        """What is verified."""
        places = [Place(FIRST, self.store.s3, self.store.bucket)]
        witness = Place("witness", self.store.s3, self.witness) if self.witness else None
        return Installation(self.database_url, places, SealTrust(witness, {Ed25519SealKey(bytes(32)).id}))

    def seal(self) -> None:
        """Seal all journals, as the flow `seal` does."""
        rules = MemoryRetentionRules(RETENTION)
        seals = S3Seals(self.store.s3, bucket=self.store.bucket, lock_mode="GOVERNANCE", rules=rules)
        witness = S3Seals(self.store.s3, bucket=self.witness)
        ports = Sealing(SqlSeals(self.store.engine), seals, Ed25519SealKey(bytes(32)), witness=witness)
        seal_journals(ports, now=datetime.now(UTC))
        give_to_witness(ports, now=datetime.now(UTC))

    def archiving(self) -> dict[str, Any]:
        """Return what keeps deposits and manifests."""
        rules = MemoryRetentionRules(RETENTION)
        manifests = S3Manifests(self.store.s3, bucket=self.store.bucket, lock_mode="GOVERNANCE", rules=rules)
        return {"archive": self.store.archive(), "manifests": manifests}

    def file(self, raw: bytes, *routes: Route) -> str:
        """Archive and file a mail, and return its id."""
        now = datetime.now(UTC)
        inbound = inbound_on(self.store.engine, **self.archiving())
        for to in routes:
            SqlDirectory(self.store.engine).add(Address(to.recipient, to.tenant, to.user, to.processor))
        key = f"in/{hashlib.sha256(raw).hexdigest()[:20]}"
        verdicts = Verdicts(spam=Verdict.PASS, virus=Verdict.PASS, spf=Verdict.PASS, dkim=Verdict.FAIL)
        envelope = Envelope(tuple(to.recipient for to in routes), "carl@sender.test", now, verdicts)
        entry = inbound.ledger.register(Arrival(ObjectRef("inbound", key), envelope), now=now)
        assert entry is not None
        if entry.state is State.FILED:
            return entry.id
        entry = inbound.ledger.begin(entry.ref, now=now)
        inbound.ledger.routed(entry.id, list(routes), now=now)
        tenants = tuple(dict.fromkeys(to.tenant for to in routes))
        routing = RoutingDecision(tuple(routes), tenants, recipients=envelope.recipients, verdicts=verdicts)
        mail, stored = parse_email(raw), KeptManifests()
        how: dict[str, Any] = {**self.archiving(), "ledger": inbound.ledger, "now": now}
        kept = deposit_all(entry, routing.tenants, [raw], described=describe(entry, routing, raw), kept=stored, **how)
        if files := [part.content for part in mail.attachments]:
            described = with_attachments(stored.values(), mail.attachments)
            kept |= deposit_all(entry, routing.tenants, files, described=described, kept=stored, **how)
        inbound.inbox.file(entry.id, items_for(mail, raw, routing, kept, stored), now=now)
        inbound.ledger.close(entry.id, State.FILED, now=now)
        self.emails.append(entry.id)
        return entry.id

    def raw(self, email_id: str) -> str:
        """Return the id of the deposit of a mail's raw e-mail, of the tenant acme."""
        with administrator(self.database_url) as admin:
            [[found]] = admin.run(
                "select raw_archive_id from inbox_item where email_id = %s and tenant = 'acme'", email_id
            )
            return str(found)

    def verify(self, scope: Scope | None = None, *, url: str | None = None, reading: bool = True) -> ArchiveReport:
        """Return the report of the verification."""
        report = ArchiveReport()
        installation = replace(self.installation, database_url=url or self.database_url)
        # Nothing counts as under way: the patience is over before it begins.
        verify(installation, scope or Scope(), report, now=datetime.now(UTC), patience=-LATER, reading=reading)
        return report


def named(report: ArchiveReport, outcome: Outcome = Outcome.FAIL) -> set[tuple[str, str]]:
    """Return checks and subjects of the results."""
    return {(one.check, one.subject) for one in report.results if one.outcome is outcome}


class Administrator:
    """The owner of a database, who disables its triggers and knows how the journal is chained."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection

    def run(self, statement: str, *values: Any) -> list[Any]:
        """Execute a statement and return its rows."""
        cursor = self.connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def enter(self, tenant: str, payload: dict[str, Any], stream: str = "life") -> None:
        """Append a forged entry, as the application would."""
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"))
        self.run("select journal_append(%s, %s, %s)", tenant, stream, text)

    def chain_again(self, tenant: str, stream: str = "life") -> None:
        """Number and chain a journal again from its first entry, and move the head: nothing in the database shows it."""
        rows = self.run(
            "select seq, (extract(epoch from at) * 1000000)::bigint, payload from journal where tenant = %s and stream = %s "
            "order by seq",
            *(tenant, stream),
        )
        prev, number = hashlib.sha256(f"mailroom journal {tenant} {stream}".encode()).digest(), 0
        for seq, at, payload in rows:
            number += 1
            leaf = b"\0" + prev + number.to_bytes(8, "big") + at.to_bytes(8, "big") + payload.encode()
            entry = hashlib.sha256(leaf).digest()
            self.run(
                "update journal set seq = %s, prev = %s, hash = %s where tenant = %s and stream = %s and seq = %s",
                *(number, prev, entry, tenant, stream, seq),
            )
            prev = entry
        self.run(
            "update journal_head set seq = %s, hash = %s where tenant = %s and stream = %s",
            number,
            prev,
            tenant,
            stream,
        )


@contextmanager
def administrator(url: str) -> Iterator[Administrator]:
    """Connect to a database as its owner, with triggers and foreign keys disabled."""
    with psycopg.connect(owner_of(url)) as connection:
        connection.execute("set session_replication_role = replica")
        yield Administrator(connection)


def archive_on(store: Store, database_url: str) -> SmallArchive:
    """Return a sealed archive with a mail that has a file, for two tenants."""
    archive = SmallArchive(store, database_url, witness=f"{store.bucket}-witness")
    where: Any = {"LocationConstraint": "eu-west-1"}
    store.s3.create_bucket(Bucket=archive.witness, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    archive.file(LEASE, ANNA, BOB)
    archive.seal()
    return archive
