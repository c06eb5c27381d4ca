"""The archive against its receipts: each receipt's version exists with its bytes, and there are no foreign versions.

A foreign version was put there by somebody with write access. A second locked copy of the same content is only counted: it
was written over a delete marker, or for a stricter lock. Foreign versions are reported until they are removed or an operator
has acknowledged them; the deposit is intact all the same, because its receipt names its version.
"""

import hashlib
import heapq
import random
import re
from collections.abc import Callable, Container, Iterable
from shlex import quote
from typing import Any

from mailroom.audit.archive_manifests import Manifests, describes, is_manifest
from mailroom.audit.listings import Stored, side_by_side
from mailroom.audit.locks import Locks, NotPermittedError, code_of, is_denied
from mailroom.audit.mails import Patience
from mailroom.audit.report import Finding, Report

#: Deposits whose bytes are read when only a sample is.
SAMPLE = 50

#: Our own keys that are not deposits and have no receipts.
OTHERS = (
    re.compile(r"_mailroom/.*"),
    re.compile(r"[^/]+/seals/(life|operations)/[0-9]{8,}(\.entries|\.token)?\.json"),
)

_CHUNK = 1024 * 1024

#: Further versions of a deposit's key that may be copies; more than that are foreign.
_MOST_COPIES = 10

#: The limit of versions that are read of one manifest, newest first; and the largest size of one.
_MOST_RENEWED, _MOST_BYTES = 100, 8 * 1024 * 1024


def check_archive(
    objects: Iterable[Stored],
    receipts: Iterable[Any],
    report: Report,
    patience: Patience,
    *,
    locks: Locks,
    acknowledged: Container[tuple[str, str]] = frozenset(),
    manifests: Manifests | None = None,
    described: Iterable[Any] = (),
) -> list[Any]:
    """Compare the archive bucket with receipts and manifests, and return a sample of the receipts to be read.

    Without `manifests` these are left out.
    """
    sample: list[tuple[float, str, Any]] = []
    chance = random.SystemRandom()
    strangers = _Strangers(report, locks, acknowledged)
    rows = heapq.merge(receipts, described, key=lambda one: one.key.encode())
    for key, stored_objects, kept in side_by_side(objects, rows, lambda one: one.key):
        if is_manifest(key):
            ours = strangers.beside_manifest(stored_objects)
            if manifests is not None:
                manifests.compare(key, ours, kept)
            continue
        report.counts["deposits"] += len(kept)
        if not kept:
            _check_orphan(key, stored_objects, report, patience, acknowledged)
            continue
        versions = [one for one in stored_objects if not one.is_marker]
        for receipt in kept:
            _check_receipt(receipt, versions, report, patience)
            heapq.heappush(sample, (chance.random(), receipt.archive_id, receipt))
            if len(sample) > SAMPLE:
                heapq.heappop(sample)
        strangers.look(stored_objects, kept)
        if report.counts["deposits"] % 1000 == 0:
            report.progress(f"{report.counts['deposits']} deposits")
    return [receipt for _, _, receipt in sample]


def read_deposit(s3: Any, bucket: str, receipt: Any, report: Report) -> None:
    """Read one deposit and compare bytes and lock with its receipt."""
    report.counts["read"] += 1
    locks = Locks(s3, bucket, report)
    try:
        try:
            answer = s3.get_object(Bucket=bucket, Key=receipt.key, VersionId=receipt.version)
        except s3.exceptions.ClientError as error:
            raise locks.denied(error, "s3:GetObjectVersion") from error
        digest = hashlib.sha256()
        for chunk in answer["Body"].iter_chunks(_CHUNK):
            digest.update(chunk)
        if digest.hexdigest() != receipt.sha256:
            report.violate("altered", receipt.archive_id, "its bytes differ from those that were deposited")
        locked = locks.until(receipt.key, receipt.version, answer)
    except NotPermittedError:
        return
    except s3.exceptions.ClientError as error:
        report.violate("unreadable", receipt.archive_id, f"the archive responds {code_of(error)}")
        return
    if locked is None or locked < receipt.retain_until:
        report.violate("not locked", receipt.archive_id, "its lock is missing, or ends earlier than its receipt says")


def read_all(receipts: Iterable[Any], read: Callable[[Any], None], report: Report) -> None:
    """Read every deposit, which takes long, with progress."""
    for receipt in receipts:
        read(receipt)
        if report.counts["read"] % 1000 == 0:
            report.progress(f"{report.counts['read']} deposits read")


class _Strangers:
    """Finds foreign versions: those beside the version that a receipt names."""

    def __init__(self, report: Report, locks: Locks, acknowledged: Container[tuple[str, str]]) -> None:
        self._report, self._locks, self._acknowledged = report, locks, acknowledged

    def look(self, stored_objects: list[Stored], kept: list[Any]) -> None:
        """Report every version and delete marker of a deposit's key that is neither the deposit nor a copy of it."""
        named = {receipt.version for receipt in kept}
        others = [one for one in stored_objects if one.version not in named]
        for number, one in enumerate(others):
            if not one.is_marker and number < _MOST_COPIES and self._is_copy(one, kept[0]):
                continue
            self._name(one)

    def beside_manifest(self, stored_objects: list[Stored]) -> list[Stored]:
        """Report every delete marker of a manifest's key, and versions that are no manifest; return the other versions.

        Versions are read only where there are several, which is rare. One that may not be read is foreign where another one
        may be read, because ours are all encrypted alike.
        """
        ours, denied = [one for one in stored_objects if not one.is_marker], dict[str, Any]()
        looked_at = ours[:_MOST_RENEWED] if len(ours) > 1 else []
        strange = [one for one in looked_at if not self._is_manifest(one, denied)]
        unread = [one for one in looked_at if one.version in denied]
        if len(strange) + len(unread) < len(ours):
            strange += unread
        elif unread:
            self._locks.denied(denied[unread[0].version], "s3:GetObjectVersion")
        for one in (*(one for one in stored_objects if one.is_marker), *strange):
            self._name(one)
        return [one for one in ours if one not in strange]

    def _is_manifest(self, one: Stored, denied: dict[str, Any]) -> bool:
        """Return whether a version is, or may be, a manifest of its key; may be: in Glacier, or not readable (added to `denied`)."""
        if one.size > _MOST_BYTES:
            return False
        try:
            answer = self._locks.s3.get_object(Bucket=self._locks.bucket, Key=one.key, VersionId=one.version)
        except self._locks.s3.exceptions.ClientError as error:
            if is_denied(error):
                denied[one.version] = error
            elif not 400 <= error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
                raise
            return is_denied(error) or code_of(error) == "InvalidObjectState"
        return describes(one.key, answer["Body"].read())

    def _name(self, one: Stored) -> None:
        if (one.key, one.version) in self._acknowledged:
            self._report.counts["acknowledged strangers"] += 1
        elif one.is_marker:
            self._report.find(Finding("delete marker", one.key, one.version, self._remedy("delete marker", one)))
        else:
            self._report.find(Finding("versions", one.key, one.version, self._remedy("version", one)))

    def _is_copy(self, one: Stored, receipt: Any) -> bool:
        """Return whether it is another locked copy, which is counted; also true where it may not be read."""
        try:
            is_copy = self._locks.is_copy(one, receipt)
        except NotPermittedError:
            self._report.counts["versions not looked at"] += 1
            return True
        if is_copy:
            self._report.counts["second copies"] += 1
        return is_copy

    def _remedy(self, what: str, one: Stored) -> str:
        key, version = quote(one.key), quote(one.version)
        return (
            f"Mailroom did not write {what} {version} of {one.modified:%Y-%m-%d %H:%M:%S} UTC; find out who wrote to "
            f"the bucket, then remove it (aws s3api delete-object --bucket {self._locks.bucket} --key {key} "
            f"--version-id {version}) or, if it is locked, run mailroom archive acknowledge {key} --note WHY"
        )


def _check_orphan(
    key: str, stored_objects: list[Stored], report: Report, patience: Patience, acknowledged: Container[tuple[str, str]]
) -> None:
    """Report an object without a receipt: an interrupted deposit, which the mail's next attempt adopts; or a foreign object."""
    if any(pattern.fullmatch(key) for pattern in OTHERS):
        report.counts["objects of our own"] += len(stored_objects)
        return
    left = [one for one in stored_objects if (one.key, one.version) not in acknowledged]
    if len(left) < len(stored_objects):
        report.counts["acknowledged strangers"] += len(stored_objects) - len(left)
    old = [one for one in left if patience.is_over(one.modified)]
    if len(old) < len(left):
        report.counts["receipts to come"] += len(left) - len(old)
    if old:
        do = (
            f"an object without an archive receipt ({len(old)} versions): run mailroom replay for its e-mail if that "
            "was interrupted; else find out who wrote to the bucket, then run mailroom archive acknowledge "
            f"{quote(key)} --note WHY"
        )
        report.findings += [Finding("no receipt", key, one.version, do) for one in old]
        report.violate("no receipt", key, do)


def _check_receipt(receipt: Any, versions: list[Stored], report: Report, patience: Patience) -> None:
    named = next((one for one in versions if one.version == receipt.version), None)
    if named is None:
        what = "the version in its receipt is missing in the archive; run mailroom replay for an e-mail that has it"
        _damage(report, receipt, "missing deposit", what)
    elif named.size != receipt.size:
        _damage(report, receipt, "altered", f"{named.size} bytes, but its receipt says {receipt.size}")
    if receipt.archive_id.rpartition("/")[2] != receipt.sha256:
        _damage(report, receipt, "wrong receipt", f"its digest differs from the receipt's: {receipt.sha256}")
    if not receipt.named and patience.is_over(receipt.deposited_at):
        report.violate("unnamed deposit", receipt.archive_id, "no e-mail refers to it; find out where it came from")


def _damage(report: Report, receipt: Any, kind: str, do: str) -> None:
    report.findings.append(Finding(kind, receipt.key, receipt.version, do))
    report.violate(kind, receipt.archive_id, do)
