"""An installation on a real database and emulated S3, filed by the product's own steps, to be lost and rebuilt."""

import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Engine, text

from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.archived_s3 import S3Archived
from mailroom.adapters.aws.exports_s3 import S3Exports
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.aws.seals_s3 import S3Seals
from mailroom.adapters.postgres.archive.exports import SqlExports
from mailroom.adapters.postgres.archive.rebuilt import SqlRebuiltRows
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.adapters.postgres.archive.seals import SqlSeals
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.archive.depositing import deposit_all
from mailroom.archive.exporting import Exporting
from mailroom.archive.mail_manifests import describe, recall_envelope, with_attachments
from mailroom.archive.rebuilding import Rebuilding
from mailroom.archive.sealing import Sealing, seal_journals
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.inbound.received_email import MOST_DEATHS, Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import decide_routing
from mailroom.ports.inbound import Inbound
from mailroom.ports.manifests import KeptManifests
from mailroom.ports.scanner import Scanner
from mailroom.testing.counter import MemoryCounter
from mailroom.testing.parser import MemoryParser
from tests.support.archive_store import Store
from tests.support.filed_mail import inbound_on

GOOD = Verdicts(*[Verdict.PASS] * 5)
_numbers = count()

#: Of each table: how its rows are ordered, and the columns that may differ after a rebuild, with the reason.
COMPARED: dict[str, tuple[str, dict[str, str]]] = {
    "tenant": ("id", {}),
    "address": ("tenant, pattern", {}),
    "person": ("id", {"last_seen_at": "changes all the time, so it is not exported"}),
    "api_key": ("sha256", {"last_used_at": "changes all the time, so it is not exported"}),
    "suppression": ("id", {}),
    "sender": ("pattern", {}),
    "inbound_email": (
        "id",
        {
            "facts": "of an outcome: in no manifest",
            "run_id": "of a run of the lost time; it is in the orchestrator",
            "deaths": "of attempts; in no manifest",
            "attempts": "that of the last manifest; an attempt that described the mail alike wrote none",
            "closed_at": "the time of the journal's entry, or of the last manifest",
            "worker": "no worker has it",
        },
    ),
    "inbox_item": (
        "id",
        {
            "filed_at": "the time of the journal's entry",
            "listed_at": "it is listed again",
            "withdrawn_at": "the time of the journal's entry",
        },
    ),
    "attachment": ("item_id, number", {}),
    "deposit": (
        "archive_id",
        {"deposited_at": "the time of the journal's entry", "verified_at": "nobody has read the bytes since"},
    ),
    "deposit_copy": ("archive_id, place", {"verified_at": "nobody has read the bytes since"}),
    "retention_rule": ("name, version", {"since": "that of the new database, which has the first versions too"}),
    "archived_mail": ("tenant, email_id, version", {"archived_at": "the time of the journal's entry"}),
}


@dataclass(frozen=True, slots=True)
class Installation:
    """Its database, its bucket, and its key."""

    store: Store
    engine: Engine
    key: Ed25519SealKey
    inbound: Inbound
    second: str = ""

    def receive(
        self,
        raw: bytes,
        *recipients: str,
        verdicts: Verdicts = GOOD,
        scanner: Scanner | None = None,
        until: str = "",
        report: bool = False,
    ) -> str:
        """Have a mail arrive, and process it as the flow does; return the e-mail's id."""
        at = datetime.now(UTC) - timedelta(minutes=1)
        ref = ObjectRef("inbound", f"in/mail{next(_numbers)}")
        envelope = Envelope(recipients, "carl@sender.test", at, verdicts)
        entry = self.inbound.ledger.register(Arrival(ref, envelope), now=datetime.now(UTC))
        assert entry is not None
        self.process(ref, raw, scanner=scanner, until=until, report=report)
        return entry.id

    def process(
        self, ref: ObjectRef, raw: bytes, *, scanner: Scanner | None = None, until: str = "", report: bool = False
    ) -> None:
        """Process a mail once: the steps of `receive-email`, in their order; the process dies before the step `until`."""
        inbound, now = self.inbound, datetime.now(UTC)
        entry = inbound.ledger.begin(ref, now=now)
        if entry.envelope is None:
            digest = hashlib.sha256(raw).hexdigest()
            entry = recall_envelope(entry, digest, manifests=inbound.manifests, ledger=inbound.ledger, now=now)
        routing = decide_routing(
            entry, raw, directory=inbound.directory, ledger=inbound.ledger, now=now, scanner=scanner
        )
        if report:
            routing = replace(
                routing, report=DeliveryEvent(provider="smtp", event_id="1", kind=Kind.BOUNCED_HARD, at=now)
            )
        stored: KeptManifests = {}
        how: dict[str, Any] = {"archive": inbound.archive, "ledger": inbound.ledger, "manifests": inbound.manifests}
        how["retention"] = routing.retention_class
        described = describe(entry, routing, raw)
        kept = deposit_all(entry, routing.tenants, [raw], described=described, kept=stored, now=now, **how)
        if routing.stop:
            self._close(entry, State.QUARANTINED, reason=str(routing.stop))
            return
        if report:
            self._close(entry, State.FILED)
            return
        parsed = inbound.parser.parse(raw)
        if parts := [part.content for part in parsed.attachments]:
            described = with_attachments(stored.values(), parsed.attachments)
            kept |= deposit_all(entry, routing.tenants, parts, described=described, kept=stored, now=now, **how)
        if until == "file":
            return
        items = items_for(parsed, raw, routing, kept, stored)
        inbound.inbox.file(entry.id, items, now=datetime.now(UTC), attempt=entry.attempts)
        self._close(entry, State.FILED)

    def replay(self, email_id: str, raw: bytes, *, scanner: Scanner | None = None) -> None:
        """Process a mail again, as a person does after adding an address, or when more is known of it."""
        entry = self.inbound.ledger.find(email_id)
        assert entry is not None
        with self.engine.begin() as connection:
            connection.execute(text("update inbound_email set state = 'received' where id = :id"), {"id": email_id})
        self.process(entry.ref, raw, scanner=scanner)

    def dies(self, email_id: str) -> None:
        """Have processes die of a mail that was filed, until it is quarantined: its items are withdrawn."""
        with self.engine.begin() as connection:
            reset = text("update inbound_email set state = 'processing', deaths = 0 where id = :id")
            connection.execute(reset, {"id": email_id})
        for _ in range(MOST_DEATHS):
            self.inbound.ledger.record_death(email_id, now=datetime.now(UTC), facts={})

    def exporting(self) -> Exporting:
        exports = S3Exports(self.store.s3, bucket=self.store.bucket, lock_mode="GOVERNANCE")
        return Exporting(SqlExports(self.engine), exports, self.key)

    def seal(self) -> Sequence[str]:
        """Seal every journal, as the flow `seal` does, and return what failed."""
        s3, bucket = self.store.s3, self.store.bucket
        archive = S3Seals(s3, bucket=bucket, lock_mode="GOVERNANCE", rules=SqlRetentionRules(self.engine))
        return seal_journals(Sealing(SqlSeals(self.engine), archive, self.key), now=datetime.now(UTC)).failed

    def _close(self, entry: Entry, state: State, *, reason: str | None = None) -> None:
        close = self.inbound.ledger.close
        close(entry.id, state, now=datetime.now(UTC), reason=reason, attempt=entry.attempts)

    def on(self, engine: Engine) -> "Installation":
        """Return the installation with another database: this one was lost."""
        return installation(self.store, engine, self.key, second=self.second)

    def rebuilding(self) -> Rebuilding:
        s3, bucket = self.store.s3, self.store.bucket
        restores = SqlRestores(self.engine, MemoryCounter())
        return Rebuilding(
            objects=S3Archived(s3, bucket=bucket),
            rows=SqlRebuiltRows(self.engine),
            exports=S3Exports(s3, bucket=bucket, lock_mode="GOVERNANCE"),
            exported=SqlExports(self.engine),
            archive=self.inbound.archive,
            parser=MemoryParser(),
            signer=self.key,
            recognise=lambda: restores.recognise(because="a rebuild"),
            copies=S3Archived(s3, bucket=self.second) if self.second else None,
        )


def installation(store: Store, engine: Engine, key: Ed25519SealKey | None = None, *, second: str = "") -> Installation:
    """Return an installation whose archive is this bucket, and whose second copies are in the bucket `second`."""
    places: dict[str, Any] = {"bucket": store.bucket, "lock_mode": "GOVERNANCE", "rules": SqlRetentionRules(engine)}
    places |= {"second": (store.s3, second)} if second else {}
    archive, manifests = S3Archive(store.s3, engine, **places), S3Manifests(store.s3, **places)
    inbound = inbound_on(engine, archive=archive, manifests=manifests)
    return Installation(store, engine, key or Ed25519SealKey(secrets.token_bytes(32)), inbound, second)


def rows_of(engine: Engine, table: str, leave: set[str], order: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table without the columns in `leave`."""
    with engine.connect() as connection:
        found = connection.execute(text(f"select * from {table} order by {order}"))
        yield from [{name: value for name, value in row._mapping.items() if name not in leave} for row in found]
