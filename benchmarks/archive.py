"""The archive: deposits beside bare boto3 puts, one seal of 100,000 entries, a listing of 100,000 deposits. `make bench`.

    python -m benchmarks.archive [deposits] [seal] [listing]

Deposits are made as the flow `receive-email` makes them: each stored with its lock and checksum, its receipt, its entry in
the journal, its part in the mail's manifest, its line in the ledger. Bare puts are `put_object` of the same bytes with as many threads,
to the same emulator, and to as many buckets; both take turns, so that both meet the same machine. The emulator is moto.

What the archive costs the warm worker: `benchmarks.copies`.
"""

import hashlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import psycopg
from sqlalchemy import Engine

from benchmarks.listing import COUNT, append_all, deposit_payload, seed_deposits, serve_listing
from benchmarks.providers import running
from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.aws.clients import client
from mailroom.adapters.aws.manifests_s3 import S3Manifests
from mailroom.adapters.aws.seals_s3 import S3Seals
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.adapters.postgres.archive.seals import SqlSeals
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.schema_upgrade import upgrade
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.archive.depositing import CONCURRENT, deposit_all
from mailroom.archive.mail_manifests import describe, with_attachments
from mailroom.archive.sealing import Sealing, seal_journal
from mailroom.audit.archive_documents import FIRST, Place
from mailroom.audit.archive_report import ArchiveReport
from mailroom.audit.archive_rows import Scope
from mailroom.audit.verify import Installation, verify
from mailroom.domain.archive.merkle import Tree
from mailroom.domain.archive.seals import first_prev, grown
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef
from mailroom.domain.inbound.routing import Route
from mailroom.domain.parsing import ParsedAttachment
from mailroom.inbound.routing import RoutingDecision
from mailroom.ports.manifests import KeptManifests
from mailroom.sandbox.stack.environment import ACCOUNT, REGION
from mailroom.sandbox.stack.postgres import Postgres, running_postgres
from mailroom.sandbox.stand_ins import emulator
from tests.support.loopback_ports import free_port

#: Attachments of 100 kB: this many mails, each with that many.
MAILS, FILES, SIZE = 10, 100, 100_000
ENTRIES = 100_000
_ARCHIVE, _COPIES, _BARE, _BARE_TOO = "archive", "copies", "bare", "bare-too"
_TENANT, _LOCK_MODE = "acme", "COMPLIANCE"
_ANNA = Route("anna@acme.test", _TENANT, "anna", "exact")


@dataclass(frozen=True, slots=True)
class Bench:
    """An emulator of AWS and a PostgreSQL with Mailroom's schema, with the application's rights."""

    s3: Any
    engine: Engine
    postgres: Postgres

    @property
    def rules(self) -> SqlRetentionRules:
        """The rules of retention."""
        return SqlRetentionRules(self.engine)

    def ports(self, second: tuple[Any, str] | None) -> dict[str, Any]:
        """Return what the flow deposits with."""
        how: dict[str, Any] = {"bucket": _ARCHIVE, "lock_mode": _LOCK_MODE, "rules": self.rules, "second": second}
        archive, manifests = S3Archive(self.s3, self.engine, **how), S3Manifests(self.s3, **how)
        return {"archive": archive, "manifests": manifests, "ledger": SqlLedger(self.engine)}


def main() -> None:
    """Measure what is named, by default everything, and print the tables."""
    wanted = sys.argv[1:] or ["deposits", "seal", "listing"]
    with open_bench() as bench:
        for name, measure in (("deposits", deposits), ("seal", seal), ("listing", listing)):
            if name in wanted:
                measure(bench)


@contextmanager
def open_bench() -> Iterator[Bench]:
    """Run both for the duration of a block."""
    with ExitStack() as stack:
        folder, port = Path(stack.enter_context(tempfile.TemporaryDirectory())), free_port()
        os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": REGION}
        os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        stack.enter_context(running(_serve_aws, port))
        s3 = client("s3", owner=ACCOUNT)
        for name in (_ARCHIVE, _COPIES, _BARE, _BARE_TOO):
            where = {"LocationConstraint": REGION}
            s3.create_bucket(Bucket=name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
        how: Any = {"port": free_port(), "password": "for-the-benchmark"}
        server = stack.enter_context(running_postgres(folder, **how))
        upgrade(server.url("mailroom"), server.application_url("mailroom"))
        engine = make_engine(server.application_url("mailroom"), pool_size=20)
        stack.callback(engine.dispose)
        yield Bench(s3, engine, server)


def deposits(bench: Bench) -> None:
    """Print attachments a second, bare and deposited, with one copy and with two."""
    print(f"\n{f'{MAILS * FILES} attachments of 100 kB':<42}{'bare/s':>10}{'archive/s':>10}{'ratio':>8}", flush=True)
    for name, second, buckets in (
        ("one copy", None, [_BARE]),
        ("two copies", (client("s3", owner=ACCOUNT), _COPIES), [_BARE, _BARE_TOO]),
    ):
        mail = _Mail(bench, bench.ports(second))
        # The first calls of a client and of a connection cost more.
        _put(buckets, _files(CONCURRENT))
        mail.deposit(_files(CONCURRENT))
        bare_s = whole_s = 0.0
        for _ in range(MAILS):
            bare_s += _timed(partial(_put, buckets), _files())
            whole_s += _timed(mail.deposit, _files())
        bare, whole = MAILS * FILES / bare_s, MAILS * FILES / whole_s
        print(f"{name:<42}{bare:>10.0f}{whole:>10.0f}{whole / bare:>8.2f}", flush=True)


class _Mail:
    """A mail under way: its attachments are deposited as the flow's step `archive` does it."""

    def __init__(self, bench: Bench, ports: dict[str, Any]) -> None:
        now, raw = datetime.now(UTC), os.urandom(1000)
        self._ports, self._kept = ports, KeptManifests()
        envelope = Envelope((_ANNA.recipient,), "scanner@office.test", now)
        ref = ObjectRef("inbound", f"in/{os.urandom(8).hex()}")
        ports["ledger"].register(Arrival(ref, envelope), now=now)
        self._entry = ports["ledger"].begin(ref, now=now)
        routing = RoutingDecision((_ANNA,), (_TENANT,), recipients=envelope.recipients)
        self._deposit([raw], describe(self._entry, routing, raw))

    def deposit(self, files: list[ParsedAttachment]) -> None:
        """Deposit attachments, and a manifest with them."""
        self._deposit([one.content for one in files], with_attachments(self._kept.values(), files))

    def _deposit(self, contents: list[bytes], described: Any) -> None:
        how: dict[str, Any] = {"now": datetime.now(UTC), "described": described, "kept": self._kept}
        deposit_all(self._entry, [_TENANT], contents, **how, **self._ports)


def _put(buckets: list[str], files: list[ParsedAttachment]) -> None:
    """Put each into each bucket, without lock, checksum of ours, or receipt."""

    def put(one: ParsedAttachment) -> None:
        for bucket in buckets:
            _bare().put_object(Bucket=bucket, Key=one.sha256, Body=one.content)

    with ThreadPoolExecutor(CONCURRENT) as pool:
        list(pool.map(put, files))


def _bare() -> Any:
    return client("s3", owner=ACCOUNT, region=REGION)


def _files(count: int = FILES) -> list[ParsedAttachment]:
    """Return new attachments."""
    names = {"original_name": None, "content_type": "application/pdf", "detected_type": "application/pdf"}
    rest: dict[str, Any] = {"size": SIZE, "inline": False, "content_id": None, **names}
    return [
        ParsedAttachment(f"{n}.pdf", f"{n}.pdf", sha256=os.urandom(32).hex(), content=os.urandom(SIZE), **rest)
        for n in range(count)
    ]


def seal(bench: Bench) -> None:
    """Print the seconds of one seal of as many entries as a seal has at most."""
    digests = (hashlib.sha512(str(n).encode()).hexdigest() for n in range(ENTRIES))
    payloads = (deposit_payload("sealed", one[:64], one) for one in digests)
    append_all(bench.postgres.url("mailroom"), "sealed", payloads)
    records, key = SqlSeals(bench.engine), Ed25519SealKey(os.urandom(32))
    began = time.perf_counter()
    entries = records.entries("sealed", "life", after=0, limit=ENTRIES)
    read = time.perf_counter() - began
    tree = _timed(lambda entries: grown(Tree(), first_prev("sealed", "life"), entries), entries)
    store = S3Seals(bench.s3, bucket=_ARCHIVE, lock_mode=_LOCK_MODE, rules=bench.rules)
    kept = _Kept(store)
    began = time.perf_counter()
    seal_journal("sealed", "life", Sealing(records, kept, key), now=datetime.now(UTC))
    whole = time.perf_counter() - began
    print(f"\n{f'a seal of {len(entries)} entries':<42}{'seconds':>10}")
    for name, seconds in (
        ("checked, and their tree", tree),
        ("read from PostgreSQL", read),
        ("all of it, but storing the documents", whole - kept.seconds),
        (f"storing {kept.bytes >> 20} MiB in the emulator", kept.seconds),
    ):
        print(f"{name:<42}{seconds:>10.2f}", flush=True)


class _Kept:
    """A store of seals that counts bytes and seconds of its calls."""

    def __init__(self, store: S3Seals) -> None:
        self._store, self.name, self.bytes, self.seconds = store, store.name, 0, 0.0

    def keep(self, key: str, content: bytes) -> bytes:
        """Store it."""
        began = time.perf_counter()
        stored = self._store.keep(key, content)
        self.seconds += time.perf_counter() - began
        self.bytes += len(content)
        return stored

    def find(self, key: str) -> bytes | None:
        """Return what is stored."""
        return self._store.find(key)


def listing(bench: Bench) -> None:
    """Print the seconds of `mailroom archive verify --listing` for deposits that were written by SQL.

    The listing is that of a server which has nothing but these keys: moto's listing takes longer with each page.
    """
    url = bench.postgres.url("listed")
    with psycopg.connect(bench.postgres.url("postgres"), autocommit=True) as connection:
        connection.execute("create database listed")
    upgrade(url, bench.postgres.application_url("listed"))
    seed_deposits(url)
    port = free_port()
    with running(serve_listing, port):
        s3 = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}")
        installation = Installation(url, [Place(FIRST, s3, _ARCHIVE)])
        found = ArchiveReport()
        began = time.perf_counter()
        verify(installation, Scope(), found, now=datetime.now(UTC), reading=False)
        seconds = time.perf_counter() - began
    if not found.is_intact:
        raise SystemExit(f"not intact: {found.results[:3]}")
    passed = sum(found.counts.values())
    print(f"\n{f'a listing of {COUNT} deposits':<42}{'seconds':>10}{'checks':>10}")
    print(f"{'against receipts, journal and e-mails':<42}{seconds:>10.1f}{passed:>10}", flush=True)


def _timed(act: Callable[[Any], Any], of: Any) -> float:
    began = time.perf_counter()
    act(of)
    return time.perf_counter() - began


def _serve_aws(port: int) -> None:
    logging.disable(logging.INFO)
    sys.argv = ["emulator", "-H", "127.0.0.1", "-p", str(port)]
    emulator.main()


if __name__ == "__main__":
    main()
