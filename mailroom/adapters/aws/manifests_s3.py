"""Manifests in the archive's bucket, each version locked by the retention of its mail.

A new one is one conditional PUT; only an existing one is read, and renewed if the new one has more to record. Finding those
of an object takes a request for each tenant in the archive, and is only done for a mail whose envelope is not known.
"""

import logging
import time
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Lock
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.adapters.aws.locked_objects import LockedObjects
from mailroom.crash_points import crash_point
from mailroom.domain.archive.manifests import Manifest, key_of, read, write
from mailroom.domain.archive.retention import Lock as ObjectLock
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.manifests import KeptManifest
from mailroom.ports.retention_rules import RetentionRules

logger = logging.getLogger("mailroom.archive")

_MISSING = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_TAKEN, _CONTENDED = frozenset({"PreconditionFailed", "412"}), frozenset({"ConditionalRequestConflict", "409"})

#: A mail has at most 1000 recipients of 320 letters; larger objects were not written by Mailroom.
_MOST_BYTES = 8 * 1024 * 1024

#: How long a listing of the archive's tenants is used, in seconds; tenants of this process's own mails are added at once.
_TENANTS_FRESH_S = 10.0
_ABREAST = 8

#: A lock that would grow by less is not renewed: a mail that is tried again within a day makes no new version.
_SLACK = timedelta(days=1)


class S3Manifests:
    """The port `Manifests` on S3 with Object Lock; `rules` are those of deposits, and `second` the bucket of second copies.

    With a second bucket each version is written to both, with the same bytes, and both are confirmed.
    """

    def __init__(
        self, s3: Any, *, bucket: str, lock_mode: str, rules: RetentionRules, second: tuple[Any, str] | None = None
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._lock_mode = lock_mode
        self._rules = rules
        self._second = S3Manifests(second[0], bucket=second[1], lock_mode=lock_mode, rules=rules) if second else None
        self._tenants: tuple[float, frozenset[str]] = (0.0, frozenset())
        self._lock = Lock()

    def keep(self, manifest: Manifest) -> KeptManifest:
        """Store a tenant's manifest; see the port."""
        with self._lock:
            listed_at, known = self._tenants
            if manifest.tenant not in known:
                self._tenants = listed_at, known | {manifest.tenant}
        if first := self._put(manifest, IfNoneMatch="*"):
            return first
        # An unreadable version stays below: the new one has everything that is known now, which is no less.
        older = self._versions(manifest.key, needed=False)
        renewed = manifest.renewing(one.manifest for one in older)
        newest = next((one for one in reversed(older) if one.manifest.is_of(manifest.ref, manifest.sha256)), None)
        if newest is not None and self._is_enough(newest, renewed):
            return newest
        return self._unconditional(renewed)

    def renew(self, kept: KeptManifest, manifest: Manifest) -> KeptManifest:
        """Store the manifest as a version after `kept`; see the port."""
        return kept if manifest.says_no_more_than(kept.manifest) else self._unconditional(manifest)

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first."""
        keys = [key_of(tenant, ref) for tenant in self._all_tenants()]
        with ThreadPoolExecutor(_ABREAST) as pool:
            there = [key for key, is_there in zip(keys, pool.map(self._is_there, keys), strict=True) if is_there]
            manifests = [one.manifest for versions in pool.map(self._versions, there) for one in versions]
        return sorted(manifests, key=_written_at)

    def _unconditional(self, manifest: Manifest) -> KeptManifest:
        kept = self._put(manifest)
        if kept is None:
            raise TransientError("S3 refused a manifest that had no condition", key=manifest.key)
        return kept

    def _put(self, manifest: Manifest, **condition: str) -> KeptManifest | None:
        """Write a version and return it; None if the condition does not hold."""
        now = datetime.now(UTC)
        rule = self._rules.of(manifest.retention)
        lock = rule.lock(self._lock_mode, now)
        dated = replace(manifest, written_at=now, retain_until=lock.until, rule=rule.label)
        body = write(dated, lock_mode=lock.mode, rule=rule)
        digest = sha256(body).hexdigest()
        version = self._write(manifest.key, body, lock, **condition)
        if version is not None and self._second is not None:
            crash_point("before", "second copy")
            copy = self._second._write(manifest.key, body, lock) or ""
            for place, written in ((self, version), (self._second, copy)):
                objects = LockedObjects(place._s3, place._bucket)
                objects.confirm(manifest.key, written, sha256=digest, size=len(body), lock=lock)
            crash_point("after", "second copy")
        return None if version is None else KeptManifest(dated, version, digest)

    def _write(self, key: str, body: bytes, lock: ObjectLock, **condition: str) -> str | None:
        """Write a version into this bucket and return its id; None if the condition does not hold."""
        lock.refuse(now=datetime.now(UTC))
        with translated("s3"):
            try:
                crash_point("before", "put")
                answer = self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=body,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=b64encode(sha256(body).digest()).decode(),
                    ObjectLockMode=lock.mode,
                    ObjectLockRetainUntilDate=lock.until,
                    ContentType="application/json",
                    **condition,
                )
                crash_point("after", "put")
            except ClientError as error:
                if error_code(error) in _CONTENDED:
                    raise TransientError("another process is writing the same manifest", key=key) from None
                if error_code(error) not in _TAKEN:
                    raise
                return None
        return str(answer["VersionId"])

    def _is_enough(self, newest: KeptManifest, renewed: Manifest) -> bool:
        """Return whether a stored version makes a new one needless: no new facts, no longer lock, and both copies are there."""
        is_known = renewed.says_no_more_than(newest.manifest) and not self._outlasts(renewed, newest)
        return is_known and self._is_copied(newest)

    def _is_copied(self, kept: KeptManifest) -> bool:
        """Return whether the second bucket has these bytes too; a process may have ended between the two."""
        if self._second is None:
            return True
        return any(one.sha256 == kept.sha256 for one in self._second._versions(kept.manifest.key, needed=False))

    def _outlasts(self, renewed: Manifest, newest: KeptManifest) -> bool:
        """Return whether a version written now would be locked longer than the newest one by more than `_SLACK`."""
        until = datetime.now(UTC) + self._rules.of(renewed.retention).period
        lock = newest.manifest.retain_until
        return lock is None or until - lock > _SLACK

    def _is_there(self, key: str) -> bool:
        """Return whether there is any version under this key, also one behind a delete marker."""
        with translated("s3"):
            try:
                self._s3.head_object(Bucket=self._bucket, Key=key)
            except ClientError as error:
                if _is_of_another_key(error):
                    return True
                if error_code(error) not in _MISSING:
                    raise
                headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
                return headers.get("x-amz-delete-marker") == "true"
        return True

    def _versions(self, key: str, *, needed: bool = True) -> list[KeptManifest]:
        """Return the manifests of all versions under a key, oldest first; other objects are skipped.

        A version that S3 does not return is not ours if it returns another one, because ours are all encrypted alike. If it
        returns none, one may be ours, and with `needed` the error is raised.
        """
        with translated("s3"):
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
            listed = [one for page in pages for one in page.get("Versions", []) if one["Key"] == key]
        listed.sort(key=lambda one: one["LastModified"])
        readable: list[KeptManifest] = []
        refused: PermanentError | None = None
        for one in (one for one in listed if one["Size"] <= _MOST_BYTES):
            try:
                readable += self._read(key, one["VersionId"])
            except PermanentError as error:
                refused = error
        if refused is not None and needed and not readable:
            raise refused
        if len(readable) < len(listed):
            logger.warning("%d versions of manifest %s are not manifests", len(listed) - len(readable), key)
        return sorted(readable, key=lambda one: _written_at(one.manifest))

    def _read(self, key: str, version: str) -> list[KeptManifest]:
        """Return the manifest in a version as a list of one, or an empty list."""
        with translated("s3"):
            try:
                stored = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version)["Body"].read()
            except ClientError as error:
                if _is_of_another_key(error) or error_code(error) in _MISSING:
                    return []
                raise
        try:
            manifest = read(stored)
        except ValueError:
            return []
        return [KeptManifest(manifest, version, sha256(stored).hexdigest())] if manifest.key == key else []

    def _all_tenants(self) -> frozenset[str]:
        """Return all tenants with objects in the archive, by a listing that is at most some seconds old."""
        with self._lock:
            listed_at, known = self._tenants
        now = time.monotonic()
        if listed_at and now - listed_at <= _TENANTS_FRESH_S:
            return known
        with translated("s3"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Delimiter="/")
            tenants = [one["Prefix"].removesuffix("/") for page in pages for one in page.get("CommonPrefixes", [])]
        with self._lock:
            self._tenants = now, self._tenants[1] | frozenset(tenants)
            return self._tenants[1]


def _written_at(manifest: Manifest) -> datetime:
    return manifest.written_at or manifest.received_at


def _is_of_another_key(error: ClientError) -> bool:
    """Return whether S3 requires a caller's own key (SSE-C), which Mailroom never uses."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status == 400 and error_code(error) in ("400", "InvalidRequest", "InvalidArgument")
