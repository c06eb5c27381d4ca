"""Journals with seals: entries appended as PostgreSQL does it, sealed into a bucket, and checked by the verifier."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from mailroom.adapters.aws.seals_s3 import S3Seals
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.adapters.postgres.archive.seals import SqlSeals
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.adapters.time_stamping import Authority, Rfc3161Authorities
from mailroom.archive.sealing import Sealing
from mailroom.audit.journals import Check, Entry, Status, check_journal
from mailroom.audit.seals import check_seals
from mailroom.sandbox.stand_ins.time_stamping import Authority as StampingAuthority
from tests.support.archive_store import Store
from tests.support.small_archive import administrator
from tests.support.tampering import tampering


@dataclass
class Installation:
    """An installation that seals, and what an auditor reads of it. Rows are written as an administrator can."""

    store: Store
    witness: Store
    authority: StampingAuthority = field(default_factory=StampingAuthority)
    clock: datetime | None = None
    key: Ed25519SealKey = field(default_factory=lambda: Ed25519SealKey(bytes(range(32))))
    asked: int = 0
    is_away: bool = False

    @property
    def records(self) -> SqlSeals:
        return SqlSeals(self.store.engine)

    @property
    def ports(self) -> Sealing:
        def post(_url: str, request: bytes) -> bytes:
            self.asked += 1
            if self.is_away:
                raise ValueError("away")
            now = datetime.now(UTC)
            self.authority.at = lambda: max(self.clock or now, now)
            return self.authority.answer(request)

        return Sealing(
            self.records,
            S3Seals(
                self.store.s3,
                bucket=self.store.bucket,
                lock_mode="GOVERNANCE",
                rules=SqlRetentionRules(self.store.engine),
            ),
            self.key,
            Rfc3161Authorities([Authority("http://tsa", self.authority.roots)], post=post),
            S3Seals(self.witness.s3, bucket=self.witness.bucket),
        )

    def append(self, *payloads: str, tenant: str = "acme", stream: str = "life") -> None:
        """Append entries; each payload is the subject of a deposit."""
        with self.store.engine.begin() as connection:
            for one in payloads:
                entry = json.dumps({"kind": "deposit", "subject": one}, separators=(",", ":"))
                statement = text("select journal_append(:tenant, :stream, :entry)")
                connection.execute(statement, {"tenant": tenant, "stream": stream, "entry": entry})

    def rows(self, tenant: str = "acme", stream: str = "life") -> list[Entry]:
        """Return the journal as an auditor reads it."""
        statement = text(
            "select seq, (extract(epoch from at) * 1000000)::bigint as at, payload, prev, hash from journal"
            " where tenant = :tenant and stream = :stream order by seq"
        )
        with self.store.engine.begin() as connection:
            rows = connection.execute(statement, {"tenant": tenant, "stream": stream}).all()
        return [Entry(row.seq, row.at, row.payload, bytes(row.prev), bytes(row.hash)) for row in rows]

    def as_administrator(self, *statements: str, **values: Any) -> None:
        """Change rows with the triggers disabled, as an owner of the database can."""
        with tampering(self.store.engine) as connection:
            for one in statements:
                connection.execute(text(one), values)

    def made_later(self, by: timedelta) -> None:
        """Have all entries been made when the database's clock showed a later time."""
        url = self.store.engine.url.set(drivername="postgresql")
        with administrator(url.render_as_string(hide_password=False)) as admin:
            for table in ("journal", "journal_head"):
                admin.run(f"update {table} set at = at + %s", by)
            for tenant, stream in admin.run("select tenant, stream from journal_head"):
                admin.chain_again(tenant, stream)

    def objects(self, part: str = "", *, of: Store | None = None, journal: str = "acme/life") -> dict[int, bytes]:
        """Return what was stored first under each seal's key, by number."""
        store, found = of or self.store, dict[int, bytes]()
        tenant, stream = journal.split("/")
        listed = store.s3.list_object_versions(Bucket=store.bucket, Prefix=f"{tenant}/seals/{stream}/")
        for one in listed.get("Versions", []):
            number, *rest = one["Key"].rpartition("/")[2].removesuffix(".json").split(".")
            if rest == ([part] if part else []):
                answer = store.s3.get_object(Bucket=store.bucket, Key=one["Key"], VersionId=one["VersionId"])
                # The newest is listed first; the first stored one counts.
                found[int(number)] = answer["Body"].read()
        return found

    def stored(self) -> dict[str, str]:
        """Return the ETags of all objects of the archive by key; each key has one version."""
        listed = self.store.versions()
        found = {one["Key"]: one["ETag"] for one in listed}
        assert len(found) == len(listed)
        return found

    def check(self, *, now: datetime | None = None, **given: Any) -> list[Check]:
        """Return what the verifier finds about the journal `life` of acme."""
        rows = self.rows()
        facts: dict[str, Any] = {
            "seals": self.objects(),
            "entries": self.objects("entries"),
            "tokens": self.objects("token"),
            "witnessed": self.objects(of=self.witness),
            "keys": {self.key.id},
            "roots": [self.authority.root],
        } | given
        seals = facts.pop("seals")
        moment = now or datetime.now(UTC)
        return check_journal(rows, tenant="acme", stream="life") + check_seals(
            seals, rows, tenant="acme", stream="life", now=moment, **facts
        )

    def restored_to(self, seals: int, entries: int) -> None:
        """Take the database back to what it was: so many seals and entries of `life`."""
        self.as_administrator(
            "delete from seal where number > :seals and stream = 'life'",
            "delete from seal_token where number > :seals and stream = 'life'",
            "delete from seal_witness where number > :seals and stream = 'life'",
            "delete from journal where seq > :entries and stream = 'life'",
            "update journal_head set seq = :entries, hash = (select hash from journal where tenant = 'acme' and"
            " stream = 'life' and seq = :entries) where tenant = 'acme' and stream = 'life'",
            seals=seals,
            entries=entries,
        )


def failures(checks: list[Check]) -> set[tuple[str, str]]:
    """Return the names and subjects of what failed."""
    return {(one.name, one.subject) for one in checks if one.status is Status.FAIL}


def waiting(checks: list[Check]) -> set[str]:
    """Return the names of what is not sealed yet."""
    return {one.name for one in checks if one.status is Status.NOT_YET_SEALED}
