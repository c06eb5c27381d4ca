"""A bucket with Object Lock beside a database, and S3 clients with fewer rights or other faults."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import boto3
from botocore.exceptions import ClientError
from sqlalchemy import Engine

from mailroom.adapters.aws.archive_s3 import S3Archive
from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings
from mailroom.ports.archive import Deposit
from mailroom.testing.retention_rules import MemoryRetentionRules
from tests.support.tampering import tamper

RETENTION = timedelta(days=10)
_numbers = count()


@dataclass(frozen=True, slots=True)
class Store:
    """A bucket with Object Lock and a database, as an administrator sees them."""

    s3: Any
    engine: Engine
    bucket: str

    def archive(self, lock_mode: str = "GOVERNANCE", *, retention: timedelta = RETENTION, s3: Any = None) -> S3Archive:
        rules = MemoryRetentionRules(retention)
        return S3Archive(s3 or self.s3, self.engine, bucket=self.bucket, lock_mode=lock_mode, rules=rules)

    def lock(self, receipt: Deposit) -> tuple[str, datetime]:
        where = {"Bucket": receipt.bucket, "Key": receipt.key, "VersionId": receipt.version}
        kept = self.s3.get_object_retention(**where)["Retention"]
        return kept["Mode"], kept["RetainUntilDate"]

    def findings(self) -> list[tuple[str, str]]:
        found = SqlArchiveFindings(self.engine, self.bucket).all(acknowledged=False, limit=10)
        return [(one.key, one.version) for one in found]

    def versions(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.s3.list_object_versions(Bucket=self.bucket).get("Versions", [])
        return found

    def put(self, key: str, body: bytes, **how: Any) -> str:
        return str(self.s3.put_object(Bucket=self.bucket, Key=key, Body=body, **how)["VersionId"])

    def put_locked(self, key: str, body: bytes) -> str:
        until = datetime.now(UTC) + RETENTION
        return self.put(key, body, ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)

    def lose(self, archive_id: str) -> None:
        """Delete the object version, as only an administrator with bypass can."""
        for version in self.versions():
            if version["Key"] == key_of(archive_id):
                self.s3.delete_object(
                    Bucket=self.bucket,
                    Key=version["Key"],
                    VersionId=version["VersionId"],
                    BypassGovernanceRetention=True,
                )

    def alter(self, archive_id: str, body: bytes) -> None:
        """Replace the object's bytes, and point the deposit receipt at them."""
        self.lose(archive_id)
        version = self.put_locked(key_of(archive_id), body)
        self.execute(
            "update deposit_copy set version = :version where archive_id = :id", version=version, id=archive_id
        )

    def lose_receipts(self) -> None:
        """Remove what the database has of deposits."""
        self.execute("delete from deposit; delete from deposit_copy")

    def execute(self, statement: str, **values: Any) -> None:
        tamper(self.engine, statement, **values)


def key_of(archive_id: str) -> str:
    tenant, _, digest = archive_id.partition("/")
    return f"{tenant}/{digest[:2]}/{digest}"


def store_on(emulator: str, engine: Engine) -> Store:
    """Return a new bucket."""
    s3: Any = boto3.client(
        "s3", endpoint_url=emulator, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    bucket = f"archivetest-{next(_numbers)}"
    s3.create_bucket(
        Bucket=bucket,
        CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
        ObjectLockEnabledForBucket=True,
    )
    return Store(s3, engine, bucket)


class Passing:
    """A client that passes all calls on."""

    def __init__(self, s3: Any) -> None:
        self.s3 = s3

    def __getattr__(self, name: str) -> Any:
        return getattr(self.s3, name)


class Away(Passing):
    """S3 that stores nothing: the service fails."""

    def put_object(self, **_: Any) -> Any:
        raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "PutObject")


class Unbending(Passing):
    """S3 that denies changes of a lock until it `bends`: the caller may not make it stricter or longer."""

    bends = False

    def put_object_retention(self, **asked: Any) -> Any:
        if self.bends:
            return self.s3.put_object_retention(**asked)
        raise ClientError({"Error": {"Code": "AccessDenied"}}, "PutObjectRetention")


class Overtaken(Passing):
    """S3 where another mail extends the lock further in the same moment."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.s3)
        self.store = store

    def put_object_retention(self, **asked: Any) -> Any:
        until = asked["Retention"]["RetainUntilDate"] + timedelta(seconds=5)
        self.s3.put_object_retention(**asked | {"Retention": {"Mode": "GOVERNANCE", "RetainUntilDate": until}})
        return self.s3.put_object_retention(**asked)


class Refusing(Passing):
    """S3 that answers reads of these versions with an error: they are in Glacier, or encrypted with a foreign key.

    Without a checksum HeadObject needs no key of KMS; with a key that only the caller has (SSE-C) it is refused as well.
    """

    def __init__(self, s3: Any, code: str, versions: set[str], *, heads: str = "") -> None:
        super().__init__(s3)
        self.code, self.versions, self.heads = code, versions, heads

    def get_object(self, **asked: Any) -> Any:
        there = self.s3.get_object(**asked)
        if there["VersionId"] in self.versions:
            raise _refusal(self.code, "GetObject")
        return there

    def head_object(self, **asked: Any) -> Any:
        there = self.s3.head_object(**asked)
        refused = self.heads == "all" or (self.heads == "checksums" and "ChecksumMode" in asked)
        if there["VersionId"] in self.versions and refused:
            raise _refusal(self.code.replace("AccessDenied", "403"), "HeadObject")
        return there


def _refusal(code: str, operation: str) -> ClientError:
    status = 403 if code in ("AccessDenied", "403", "InvalidObjectState") else 400
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, operation)  # type: ignore[typeddict-item]


class Counting(Passing):
    """S3 that records which calls are made."""

    def __init__(self, s3: Any) -> None:
        super().__init__(s3)
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.calls.append(name)
        return super().__getattr__(name)
