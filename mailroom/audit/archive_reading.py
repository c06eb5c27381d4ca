"""Reads a copy by its version: bytes, size, SHA-256, SHA-512, and the lock's mode and end."""

import hashlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from mailroom.audit.archive_documents import Expected
from mailroom.audit.archive_report import ArchiveReport
from mailroom.audit.locks import code_of, is_denied

_CHUNK = 1 << 20
#: Copies that are read at once, and those that wait.
_AT_ONCE, _WAITING = 8, 64
#: S3's errors for a version that is not there.
NOT_THERE = frozenset({"404", "NoSuchKey", "NoSuchVersion", "NoSuchBucket", "MethodNotAllowed", "405"})
_NO_LOCK = frozenset({"NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError", "InvalidRequest"})

#: Kinds of damage, as the audit stores them. Stable.
MISSING, ALTERED, UNLOCKED = "missing", "altered", "unlocked"


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with a copy: the check that it fails, the kind of damage, and what to do."""

    check: str
    kind: str
    do: str


class NotReadError(Exception):
    """S3 did not return the copy, and that says nothing about it: no permission, or the service fails."""


def read_copy(expected: Expected) -> list[Wrong]:
    """Read a copy and return what is wrong with it.

    Raises:
        NotReadError: it could not be read.
    """
    which = {"Bucket": expected.place.bucket, "Key": expected.key, "VersionId": expected.version}
    s3, sha256, sha512, size = expected.place.s3, hashlib.sha256(), hashlib.sha512(), 0
    try:
        answer = s3.get_object(**which)
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            size += len(chunk)
            sha256.update(chunk)
            sha512.update(chunk)
    except FlexibleChecksumError:
        # The client compares what it gets with the checksum that S3 stored with the object.
        do = "its bytes are not those that were deposited: it is damaged; the flow audit repairs it from another copy"
        return [Wrong("object_bytes", ALTERED, do)]
    except (ClientError, BotoCoreError) as error:
        if code_of(error) in NOT_THERE:
            return [Wrong("object_there", MISSING, f"version {expected.version} is not in bucket {which['Bucket']}")]
        raise unread(error, "s3:GetObjectVersion") from error
    wrong = []
    has = {"SHA-256": sha256.hexdigest(), "SHA-512": sha512.hexdigest(), "size": size}
    said = {"SHA-256": expected.sha256, "SHA-512": expected.sha512 or has["SHA-512"], "size": expected.size}
    if differs := [name for name in has if has[name] != said[name]]:
        do = f"{', '.join(differs)} of its bytes are not those that were deposited: it is damaged, or another object"
        wrong.append(Wrong("object_bytes", ALTERED, f"{do}; the flow audit repairs it from another copy"))
    mode, until = lock_of(s3, which, answer)
    if until is None or until < expected.until.replace(microsecond=0):
        ends = f"ends {until:%Y-%m-%d}" if until else "is missing"
        do = f"its lock {ends}, but it must last until {expected.until:%Y-%m-%d}"
        wrong.append(Wrong("object_lock", UNLOCKED, f"{do}; find out who can change locks, and extend it (flow audit)"))
    elif expected.mode == "COMPLIANCE" and mode != "COMPLIANCE":
        do = f"it is locked by {mode}, but must be by COMPLIANCE"
        wrong.append(Wrong("object_lock", UNLOCKED, f"{do}; find out who can change locks, and set the mode"))
    return wrong


def read_all(wanted: Iterable[Expected], report: ArchiveReport) -> None:
    """Read the copies, some at once, into a report."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for one in wanted:
            waiting.append(pool.submit(_read_one, one, report))
            if len(waiting) >= _WAITING:
                waiting.popleft().result()
        while waiting:
            waiting.popleft().result()


def _read_one(expected: Expected, report: ArchiveReport) -> None:
    subject = f"{expected.archive_id}@{expected.place.name}"
    try:
        wrong = read_copy(expected)
    except NotReadError as error:
        report.failed("object_bytes", subject, str(error))
        return
    report.has_read(expected.size)
    for check in ("object_bytes", "object_lock"):
        if not any(one.check in (check, "object_there") for one in wrong):
            report.passed(check)
    for one in wrong:
        report.failed(one.check, subject, one.do)


def lock_of(s3: Any, which: dict[str, str], answer: Any) -> tuple[str | None, datetime | None]:
    """Return the lock in a response; if it has none, request the lock itself: S3 omits it without a permission."""
    mode, until = answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate")
    if not mode or not until:
        try:
            kept = s3.get_object_retention(**which).get("Retention", {})
        except (ClientError, BotoCoreError) as error:
            if code_of(error) in _NO_LOCK | NOT_THERE:
                return None, None
            raise unread(error, "s3:GetObjectRetention") from error
        mode, until = kept.get("Mode"), kept.get("RetainUntilDate")
    return mode, until.astimezone(UTC) if until else None


def unread(error: Any, permission: str) -> NotReadError:
    """Return why S3 did not return a copy; `permission` is what reading it needs."""
    if is_denied(error):
        return NotReadError(f"S3 denies access; grant {permission} to the auditor, and verify again")
    return NotReadError(f"cannot be read: S3 responds {code_of(error)}; verify again")
