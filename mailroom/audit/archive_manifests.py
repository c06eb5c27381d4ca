"""Manifests against the ledger: each described mail has its manifest, and a ledger older than the manifests is reported.

A manifest's key is `<tenant>/aip/<id>.json`; the id is the SHA-256 of the raw object's bucket and key. It is written after the
ledger has the mail's line and before that is closed, and contains the attempt that wrote it. So a manifest whose line is
missing, or has fewer attempts and nothing later, means that the database is older than the archive: it was restored.
"""

import hashlib
import heapq
import json
import random
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import psycopg

from mailroom.audit.listings import Stored, stream
from mailroom.audit.locks import Locks, NotPermittedError, code_of
from mailroom.audit.report import FORGOTTEN, Report

#: Manifests whose bytes are read when only a sample is.
SAMPLE = 50

_KEY = re.compile(r"([^/]+)/aip/([0-9a-f]{64})\.json")
#: Ids per query.
_TOGETHER = 10_000
#: S3 truncates its times to the second.
_TICK = timedelta(seconds=1)

BRING_BACK = (
    "the archive has this e-mail, the database does not; run sweep-inbound (Quick run in Prefect) to restore it"
)


def is_manifest(key: str) -> bool:
    """Return whether an object of the archive is a manifest."""
    return _KEY.fullmatch(key) is not None


def clock_of(s3: Any, bucket: str) -> datetime:
    """Return S3's current time: objects that it dates earlier existed before anything that is read afterwards."""
    headers = s3.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    return parsedate_to_datetime(headers["date"]).astimezone(UTC)


def described(connection: psycopg.Connection[Any]) -> Iterator[Any]:
    """Yield a row for each manifest recorded in the ledger, by key."""
    return stream(connection, _DESCRIBED, {})


class Memory:
    """The manifests that the archive had before `clock`; `named` are the ids of those missing in the ledger."""

    def __init__(self, s3: Any, bucket: str, clock: datetime) -> None:
        self._s3, self._bucket, self._clock = s3, bucket, clock
        self._tenants: list[str] | None = None
        self.named: set[str] = set()

    def has(self, bucket: str, key: str) -> bool:
        """Return whether any tenant's manifest describes this object; the tenant of the last match is tried first."""
        name = hashlib.sha256(f"{bucket}/{key}".encode()).hexdigest()
        for tenant in self._all_tenants():
            if self._is_there(f"{tenant}/aip/{name}.json"):
                self.named.add(name)
                self._tenants = [tenant, *(one for one in self._all_tenants() if one != tenant)]
                return True
        return False

    def is_older(self, at: datetime) -> bool:
        """Return whether an object with this time in S3 existed before the ledger was read."""
        return at + _TICK <= self._clock

    def attempt_of(self, key: str, version: str) -> int:
        """Return the attempt that wrote a version; 0 if unknown."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version)
        except self._s3.exceptions.ClientError:
            return 0
        attempt = _load(answer["Body"].read()).get("attempt")
        return attempt if isinstance(attempt, int) else 0

    def _is_there(self, key: str) -> bool:
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            # S3 answers 400 for an object encrypted with a customer's key: a foreign one, over a version of ours.
            if status in (400, 404):
                return bool(status == 400)
            raise
        return self.is_older(head["LastModified"])

    def _all_tenants(self) -> list[str]:
        if self._tenants is None:
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Delimiter="/")
            self._tenants = [
                one["Prefix"].removesuffix("/") for page in pages for one in page.get("CommonPrefixes", [])
            ]
        return self._tenants


class Manifests:
    """Compares the manifests of an archive with the ledger's lines, in the order of the listing."""

    def __init__(self, connection: psycopg.Connection[Any], memory: Memory, report: Report) -> None:
        self._connection, self._memory, self._report = connection, memory, report
        self._nameless: dict[str, list[Stored]] = {}
        self._sample: list[tuple[float, str, str]] = []
        self._chance = random.SystemRandom()

    def compare(self, key: str, versions: list[Stored], lines: list[Any]) -> None:
        """Compare the versions of one manifest with the lines that name it."""
        self._report.counts["manifests"] += bool(versions)
        if not versions:
            for line in lines:
                what = "its manifest is missing in the archive, so it could not be recovered after a restore; find out who can delete locked objects"
                self._report.violate("missing manifest", line.id, what)
            return
        newest = max(versions, key=lambda one: one.modified)
        heapq.heappush(self._sample, (self._chance.random(), key, newest.version))
        if len(self._sample) > SAMPLE:
            heapq.heappop(self._sample)
        if lines:
            self._compare(newest, lines)
            return
        self._nameless.setdefault(_name(key), []).append(newest)
        if len(self._nameless) >= _TOGETHER:
            self.finish()

    def finish(self) -> list[tuple[str, str]]:
        """Look up the lines of manifests that no line names, and return a sample of keys and versions to read."""
        if self._nameless:
            wanted = {"ids": [bytes.fromhex(name) for name in self._nameless]}
            lines: dict[str, list[Any]] = {}
            for line in stream(self._connection, _LINES, wanted):
                lines.setdefault(line.name, []).append(line)
            for name, stored in self._nameless.items():
                for newest in stored:
                    self._look_up(name, newest, lines.get(name, []))
            self._nameless.clear()
        return [(key, version) for _, key, version in self._sample]

    def _look_up(self, name: str, newest: Stored, lines: list[Any]) -> None:
        if lines:
            self._compare(newest, lines)
        elif name not in self._memory.named and self._memory.is_older(newest.modified):
            self._memory.named.add(name)
            self._report.violate(FORGOTTEN, newest.key, f"no e-mail in the database matches it: {BRING_BACK}")

    def _compare(self, newest: Stored, lines: list[Any]) -> None:
        """Report a line with fewer attempts than its manifest, unless the line has a later activity."""
        last_at = max(line.last_at for line in lines)
        if newest.modified <= last_at or not self._memory.is_older(newest.modified):
            return
        line = max(lines, key=lambda one: one.attempts)
        attempt = self._memory.attempt_of(newest.key, newest.version)
        if attempt > line.attempts:
            what = f"{line.state} after {line.attempts} attempts, but its manifest is of attempt {attempt}"
            self._report.violate(
                FORGOTTEN, line.id, f"{what}; the database was restored: {_AGAIN.get(line.state, _WAIT)}"
            )


_WAIT = "sweep-inbound continues it within minutes"
_AGAIN = {"quarantined": "mailroom replay it", "filed": "start receive-email for its object (Quick run)"}


def check_bytes(locks: Locks, wanted: Iterable[tuple[str, str]], report: Report) -> None:
    """Read these versions: each must be canonical JSON, describe the mail of its key, and be locked until its own end."""
    for key, version in wanted:
        report.counts["read"] += 1
        try:
            stored, locked = _read(locks, key, version)
        except NotPermittedError:
            continue
        except locks.s3.exceptions.ClientError as error:
            report.violate("wrong manifest", f"{key}@{version}", f"cannot be read: S3 responds {code_of(error)}")
            continue
        if (wrong := _wrong_with(key, stored, locked)) is not None:
            report.violate("wrong manifest", f"{key}@{version}", wrong)


def _read(locks: Locks, key: str, version: str) -> tuple[bytes, datetime | None]:
    """Return a version's bytes and the end of its lock."""
    try:
        answer = locks.s3.get_object(Bucket=locks.bucket, Key=key, VersionId=version)
    except locks.s3.exceptions.ClientError as error:
        raise locks.denied(error, "s3:GetObjectVersion") from error
    return answer["Body"].read(), locks.until(key, version, answer)


def _wrong_with(key: str, stored: bytes, locked: datetime | None) -> str | None:
    facts = _load(stored)
    try:
        until = datetime.fromisoformat(facts["retention"]["until"])
        if key != _key_said(facts):
            return "describes a different e-mail than its key says"
        if json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() != stored:
            return "not in canonical form"
        if locked is None or locked < until.replace(microsecond=0):
            return "its lock is missing, or ends earlier than it says"
    except (KeyError, TypeError, ValueError):
        return "not a manifest"
    return None


def describes(key: str, stored: bytes) -> bool:
    """Return whether these bytes are a manifest of the mail of this key; nothing else is checked."""
    try:
        return key == _key_said(_load(stored))
    except (KeyError, TypeError, ValueError):
        return False


def _key_said(facts: dict[str, Any]) -> str:
    source = facts["source"]
    name = hashlib.sha256(f"{source['bucket']}/{source['key']}".encode()).hexdigest()
    return f"{facts['tenant']}/aip/{name}.json"


def _load(stored: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(stored)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _name(key: str) -> str:
    match = _KEY.fullmatch(key)
    assert match is not None
    return match[2]


_DESCRIBED = """
with described as materialized (
    select e.id::text, e.state, e.attempts, encode(sha256(convert_to(e.bucket || '/' || e.key, 'UTF8')), 'hex') as name,
           (select max(a.at) from inbound_activity a where a.email_id = e.id) as last_at,
           array(select distinct jsonb_array_elements_text(a.facts -> 'manifests') from inbound_activity a
                  where a.email_id = e.id and a.kind = 'archived' and a.facts -> 'manifests' is not null) as tenants
      from inbound_email e)
select id, state, attempts, last_at, tenant || '/aip/' || name || '.json' as key
  from described, unnest(tenants) as tenant
 order by (tenant || '/aip/' || name || '.json') collate "C"
"""

_LINES = """
select encode(sha256(convert_to(e.bucket || '/' || e.key, 'UTF8')), 'hex') as name, e.id::text, e.state, e.attempts,
       coalesce((select max(a.at) from inbound_activity a where a.email_id = e.id), e.received_at) as last_at
  from inbound_email e
 where sha256(convert_to(e.bucket || '/' || e.key, 'UTF8')) = any(%(ids)s::bytea[])
"""
