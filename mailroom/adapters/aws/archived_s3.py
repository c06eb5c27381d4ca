"""The objects of an archive whose database is gone, in S3: of each key, what was stored first counts."""

import base64
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.adapters.aws.locked_objects import MISSING
from mailroom.domain.archive.manifests import Part
from mailroom.ports.archive import Deposit
from mailroom.ports.rebuilding import FoundDeposit, SealedEntries

#: Below `<tenant>/seals/<stream>/`: a seal's document; its entries are in the object beside it.
_SEAL = re.compile(r"[0-9]{8,}\.json")


class S3Archived:
    """The port `ArchivedObjects` on S3 with Object Lock."""

    def __init__(self, s3: Any, *, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def tenants(self) -> Sequence[str]:
        """Return the names of the tenants that have objects, with versions behind delete markers too."""
        with translated("s3"):
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Delimiter="/")
            names = [one["Prefix"].removesuffix("/") for page in pages for one in page.get("CommonPrefixes", [])]
        return sorted(name for name in names if not name.startswith("_"))

    def sealed(self, tenant: str, stream: str) -> Iterator[SealedEntries]:
        """Yield the sealed entries of a journal, in the order of the seals; what is missing is empty."""
        prefix = f"{tenant}/seals/{stream}/"
        first = self._first_versions(prefix)
        for key in sorted(key for key in first if _SEAL.fullmatch(key.removeprefix(prefix))):
            entries = f"{key.removesuffix('.json')}.entries.json"
            seal = self.read(key, first[key])
            sealed = self.read(entries, first[entries]) if entries in first else None
            yield SealedEntries(seal or b"", sealed or b"")

    def read(self, key: str, version: str) -> bytes | None:
        """Return the bytes of a version; None if it is not there."""
        with translated("s3"):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version)
                return bytes(answer["Body"].read())
            except ClientError as error:
                if error_code(error) in MISSING:
                    return None
                raise

    def versions(self, key: str) -> Iterator[bytes]:
        """Yield the bytes of each version of a key."""
        with translated("s3"):
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
            listed = [one["VersionId"] for page in pages for one in page.get("Versions", []) if one["Key"] == key]
        for version in listed:
            if (stored := self.read(key, version)) is not None:
                yield stored

    def find(self, tenant: str, part: Part) -> FoundDeposit | None:
        """Return the oldest locked version with these bytes, by S3's own checksum."""
        key = f"{tenant}/{part.sha256[:2]}/{part.sha256}"
        with translated("s3"):
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=key)
            listed = [one for page in pages for one in page.get("Versions", []) if one["Key"] == key]
        # S3 lists the newest first, also those of one second.
        listed.reverse()
        for one in sorted(listed, key=lambda one: one["LastModified"]):
            if one["Size"] == part.size and (found := self._deposit(key, one["VersionId"], tenant, part.sha256)):
                return FoundDeposit(found, one["LastModified"].astimezone(UTC), part.sha512)
        return None

    def _deposit(self, key: str, version: str, tenant: str, sha256: str) -> Deposit | None:
        """Return a version as a deposit; None if it has other bytes, or no lock."""
        with translated("s3"):
            try:
                head = self._s3.head_object(Bucket=self._bucket, Key=key, VersionId=version, ChecksumMode="ENABLED")
            except ClientError as error:
                if error_code(error) in MISSING | {"400", "403"}:
                    return None
                raise
        until = head.get("ObjectLockRetainUntilDate")
        if head.get("ChecksumSHA256") != base64.b64encode(bytes.fromhex(sha256)).decode() or until is None:
            return None
        return Deposit(
            archive_id=f"{tenant}/{sha256}",
            tenant=tenant,
            sha256=sha256,
            size=head["ContentLength"],
            bucket=self._bucket,
            key=key,
            version=version,
            lock_mode=head["ObjectLockMode"],
            retain_until=until.astimezone(UTC),
        )

    def _first_versions(self, prefix: str) -> dict[str, str]:
        """Return the version that was stored first, of each key below `prefix`."""
        first: dict[str, tuple[datetime, str]] = {}
        with translated("s3"):
            pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
            for one in (one for page in pages for one in page.get("Versions", [])):
                known = first.get(one["Key"])
                if known is None or one["LastModified"] <= known[0]:
                    first[one["Key"]] = one["LastModified"], one["VersionId"]
        return {key: version for key, (_, version) in first.items()}
