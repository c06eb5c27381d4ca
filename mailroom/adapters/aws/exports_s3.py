"""Exports of the installation in the archive's bucket, each version locked, below `_mailroom/exports/`."""

import base64
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import IO, Any

from mailroom.adapters.aws.clients import translated
from mailroom.domain.archive.exports import FOLDER
from mailroom.ports.exports import KeptExport

#: How long an export is locked: it is needed until a later one is there, and has addresses of people who left.
KEPT_FOR = timedelta(days=30)

_PIECE = 1 << 18


class S3Exports:
    """The port `ExportStore` on S3 with Object Lock."""

    def __init__(self, s3: Any, *, bucket: str, lock_mode: str) -> None:
        self._s3, self._bucket, self._lock_mode = s3, bucket, lock_mode

    def keep(self, key: str, body: IO[bytes], *, sha256: str, now: datetime) -> KeptExport:
        """Store an export, locked; a second one of an hour is a further version."""
        with translated("s3"):
            answer = self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ChecksumAlgorithm="SHA256",
                ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                ObjectLockMode=self._lock_mode,
                ObjectLockRetainUntilDate=now.replace(microsecond=0) + KEPT_FOR,
                ContentType="application/jsonl",
            )
        return KeptExport(key, answer["VersionId"], sha256)

    def newest(self) -> Iterator[KeptExport]:
        """Yield all versions of all exports, the newest first, also those behind a delete marker."""
        with translated("s3"):
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=FOLDER)
            # S3 lists the newest version of a key first; the sort keeps that order.
            listed = [one for page in pages for one in page.get("Versions", [])]
        for one in sorted(listed, key=lambda one: str(one["Key"]), reverse=True):
            yield KeptExport(one["Key"], one["VersionId"], "")

    def copy(self, export: KeptExport, target: IO[bytes]) -> None:
        """Write the bytes of an export to `target`."""
        with translated("s3"):
            answer = self._s3.get_object(Bucket=self._bucket, Key=export.key, VersionId=export.version)
            for chunk in answer["Body"].iter_chunks(_PIECE):
                target.write(chunk)
