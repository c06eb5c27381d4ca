"""Reads a copy of a manifest, or of a document of a seal: a version has the bytes of its digest, and is locked.

Of a seal's document the version that was stored first counts, of a manifest any: each of its versions is a piece.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from mailroom.audit.archive_documents import Place
from mailroom.audit.archive_reading import ALTERED, MISSING, NOT_THERE, UNLOCKED, NotReadError, lock_of, unread
from mailroom.audit.archive_rows import time_of
from mailroom.audit.archive_seals import is_seal
from mailroom.audit.listings import Stored, archived_versions
from mailroom.audit.locks import code_of

#: A document of a seal with its entries may be large; what is larger was not written by Mailroom.
_MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class FoundPiece:
    """What is wrong with a copy, None if nothing is; and until when it is locked, as far as it is there."""

    damage: str | None
    until: datetime | None = None


def read_piece(place: Place, key: str, digest: str) -> FoundPiece:
    """Read a copy.

    Raises:
        NotReadError: it could not be read, which says nothing about it.
    """
    try:
        listed = list(archived_versions(place.s3, place.bucket, key=key))
    except (ClientError, BotoCoreError) as error:
        raise unread(error, "s3:ListBucketVersions") from error
    # S3 lists the newest first, also those of one second.
    listed = [one for one in reversed(listed) if not one.is_marker and one.size <= _MOST_BYTES]
    versions = sorted(listed, key=lambda one: one.modified)[: 1 if is_seal(key) else None]
    is_rotten, refused = False, None
    for one in versions:
        try:
            found = _read(place, one, digest)
        except NotReadError as error:
            refused = error
            continue
        except FlexibleChecksumError:
            # The client compares what it gets with the checksum that S3 stored with the object.
            is_rotten = True
            continue
        if found is not None:
            return found
    if refused is not None:
        raise refused
    return FoundPiece(ALTERED if is_rotten or (versions and is_seal(key)) else MISSING)


def _read(place: Place, stored: Stored, digest: str) -> FoundPiece | None:
    """Return the copy in a version; None if it has other bytes."""
    which = {"Bucket": place.bucket, "Key": stored.key, "VersionId": stored.version}
    try:
        answer = place.s3.get_object(**which)
        content = answer["Body"].read()
    except FlexibleChecksumError:
        raise
    except (ClientError, BotoCoreError) as error:
        if code_of(error) in NOT_THERE:
            return None
        raise unread(error, "s3:GetObjectVersion") from error
    algorithm = hashlib.sha256 if len(digest) == hashlib.sha256().digest_size * 2 else hashlib.sha512
    if algorithm(content).hexdigest() != digest:
        return None
    mode, until = lock_of(place.s3, which, answer)
    wanted_mode, wanted = _said(content)
    is_short = until is None or (wanted is not None and until < wanted.replace(microsecond=0))
    is_weak = wanted_mode == "COMPLIANCE" and mode != "COMPLIANCE"
    return FoundPiece(UNLOCKED if is_short or is_weak else None, None if until is None else until.astimezone(UTC))


def _said(content: bytes) -> tuple[Any, datetime | None]:
    """Return mode and end of the lock as a manifest says them; a seal says none."""
    try:
        kept = json.loads(content)["retention"]
        return kept.get("lock_mode"), time_of(kept.get("until"))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None, None
