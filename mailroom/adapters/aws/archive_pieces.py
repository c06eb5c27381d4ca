"""Copies of manifests, and of the documents of seals, in the archive's places: a lost one is written again, manifests are held.

They are found by key and digest, in all versions of a key: that of a second copy is recorded nowhere, and other writers may
use the bucket. Of a seal's document the first version counts, so that one that is there and damaged cannot be replaced.
"""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.archive_place import ArchivePlace
from mailroom.adapters.aws.clients import error_code, translated
from mailroom.adapters.aws.locked_objects import MISSING
from mailroom.crash_points import crash_point
from mailroom.domain.archive.retention import Lock

log = logging.getLogger(__name__)

#: The most bytes of a document: those of a seal's entries.
_MOST_BYTES = 1 << 28


class ArchivePieces:
    """Manifests and seals in the archive's places."""

    def __init__(self, places: Sequence[ArchivePlace]) -> None:
        self._places = {place.name: place for place in places}

    def repair(self, key: str, digest: str, *, to_place: str, before: Callable[[], None]) -> bool:
        """Write a copy again from the one in the other place; `before` is called when there is one. False if there is none.

        The new version is locked as long as the other one, and confirmed; `reconcile` holds it if its e-mail is held.
        """
        for place in self._places.values():
            if place.name == to_place or to_place not in self._places:
                continue
            found = self._find(place, key, digest)
            if found is None or found[1].until <= datetime.now(UTC):
                continue
            before()
            self._write(self._places[to_place], key, *found)
            return True
        return False

    def hold(self, keys: Sequence[str], *, is_held: bool) -> None:
        """Set or remove S3's legal hold on every version of these manifests, in each place; those of others included.

        Raises:
            NotPermitted: S3 refuses it.
        """
        for place in self._places.values():
            for key in keys:
                for one in _versions(place, key):
                    try:
                        place.objects.hold(key, one["VersionId"], is_held=is_held)
                    except LookupError:
                        log.warning("a version of %s was removed from the %s place meanwhile", key, place.name)

    def _find(self, place: ArchivePlace, key: str, digest: str) -> tuple[bytes, Lock] | None:
        """Return the bytes of a copy and its lock; None if no version has these bytes and a lock."""
        s3: Any = place.s3
        for one in _versions(place, key):
            if one["Size"] > _MOST_BYTES:
                continue
            with translated("s3"):
                try:
                    answer = s3.get_object(Bucket=place.bucket, Key=key, VersionId=one["VersionId"])
                    content = bytes(answer["Body"].read())
                except ClientError as error:
                    if error_code(error) in MISSING | {"400", "InvalidRequest", "AccessDenied", "403"}:
                        continue
                    raise
            if digest_of(content, like=digest) == digest and (lock := place.objects.lock_of(key, one["VersionId"])):
                return content, lock
        return None

    @staticmethod
    def _write(place: ArchivePlace, key: str, content: bytes, lock: Lock) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        crash_point("before", "repair")
        version = place.objects.add(key, content, sha256, lock)
        place.objects.confirm(key, version, sha256=sha256, size=len(content), lock=lock)
        crash_point("after", "repair")


def digest_of(content: bytes, *, like: str) -> str:
    """Return the digest of bytes by the algorithm that another digest has: SHA-256, or SHA-512."""
    return (hashlib.sha256 if len(like) == hashlib.sha256().digest_size * 2 else hashlib.sha512)(content).hexdigest()


def _versions(place: ArchivePlace, key: str) -> Iterator[Any]:
    """Yield the versions of a key, the newest first."""
    with translated("s3"):
        pages = place.s3.get_paginator("list_object_versions").paginate(Bucket=place.bucket, Prefix=key)
        found = [one for page in pages for one in page.get("Versions", []) if one["Key"] == key]
    yield from found
