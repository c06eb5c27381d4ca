"""The archive against its receipts: one version for each content, and the bytes are those of the receipt."""

import hashlib
import heapq
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from mailroom.checking.aips import Manifests, is_manifest
from mailroom.checking.mails import Patience
from mailroom.checking.reading import Stored, side_by_side
from mailroom.checking.report import Report

#: Deposits whose bytes are read when not all are.
SAMPLE = 50

_CHUNK = 1024 * 1024


def check_archive(
    objects: Iterable[Stored],
    receipts: Iterable[Any],
    report: Report,
    patience: Patience,
    *,
    manifests: Manifests,
    described: Iterable[Any],
) -> list[Any]:
    """Compare the archive bucket with receipts and manifests, and return a sample of the receipts to be read."""
    sample: list[tuple[float, str, Any]] = []
    chance = random.SystemRandom()
    rows = heapq.merge(receipts, described, key=lambda one: one.key.encode())
    for key, versions, kept in side_by_side(objects, rows, lambda one: one.key):
        if is_manifest(key):
            manifests.compare(key, versions, kept)
            continue
        report.counts["deposits"] += len(kept)
        if not kept:
            _check_orphan(versions, report, patience)
            continue
        if len(versions) != 1:
            what = f"the archive holds {len(versions)} versions of this content; there must be one"
            report.violate("versions", key, what)
        for receipt in kept:
            _check_receipt(receipt, versions, report, patience)
            heapq.heappush(sample, (chance.random(), receipt.archive_id, receipt))
            if len(sample) > SAMPLE:
                heapq.heappop(sample)
        if report.counts["deposits"] % 1000 == 0:
            report.progress(f"{report.counts['deposits']} deposits")
    return [receipt for _, _, receipt in sample]


def read_deposit(s3: Any, bucket: str, receipt: Any, report: Report) -> None:
    """Read one deposit and compare bytes and lock with its receipt."""
    report.counts["read"] += 1
    try:
        answer = s3.get_object(Bucket=bucket, Key=receipt.key, VersionId=receipt.version)
    except s3.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        report.violate("unreadable", receipt.archive_id, f"the archive answers {code}")
        return
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(_CHUNK):
        digest.update(chunk)
    if digest.hexdigest() != receipt.sha256:
        report.violate("altered", receipt.archive_id, "its bytes are not those that were deposited")
    locked: datetime | None = answer.get("ObjectLockRetainUntilDate")
    if locked is None or locked < receipt.retain_until:
        report.violate("not locked", receipt.archive_id, "its lock is missing or ends before its receipt says")


def read_all(receipts: Iterable[Any], read: Callable[[Any], None], report: Report) -> None:
    """Read every deposit, a long work."""
    for receipt in receipts:
        read(receipt)
        if report.counts["read"] % 1000 == 0:
            report.progress(f"{report.counts['read']} deposits read")


def _check_orphan(versions: list[Stored], report: Report, patience: Patience) -> None:
    """An object without a receipt is a deposit that was interrupted; the same mail's next try adopts it."""
    for one in versions:
        if patience.is_over(one.modified):
            report.violate("no receipt", one.key, "an object of the archive that no receipt knows")
        else:
            report.counts["receipts to come"] += 1


def _check_receipt(receipt: Any, versions: list[Stored], report: Report, patience: Patience) -> None:
    named = next((one for one in versions if one.version == receipt.version), None)
    if named is None:
        report.violate(
            "missing deposit", receipt.archive_id, "the version that its receipt names is not in the archive"
        )
    elif named.size != receipt.size:
        report.violate("altered", receipt.archive_id, f"{named.size} bytes, and its receipt says {receipt.size}")
    if receipt.archive_id.rpartition("/")[2] != receipt.sha256:
        report.violate("wrong receipt", receipt.archive_id, f"its digest is said to be {receipt.sha256}")
    if not receipt.named and patience.is_over(receipt.deposited_at):
        report.violate("unnamed deposit", receipt.archive_id, "no e-mail names it; the mail that brought it is unknown")
