"""The adapters of sealing, built together."""

from functools import partial
from typing import Any

from mailroom.adapters.aws.seals_s3 import S3Seals
from mailroom.adapters.seal_key import Ed25519SealKey
from mailroom.adapters.time_stamping import Authority, Rfc3161Authorities
from mailroom.archive.sealing import Sealing
from mailroom.ports.retention_rules import RetentionRules
from mailroom.ports.seals import SealRecords


def sealing(
    s3: Any,
    records: SealRecords,
    rules: RetentionRules,
    *,
    key: str,
    before: str = "",
    authorities: str,
    witness: tuple[Any, str] | None,
    bucket: str,
    lock_mode: str,
    second: tuple[Any, str] | None = None,
) -> Sealing:
    """Return the ports of sealing; seals are kept like documents, `witness` is a client and a bucket.

    `before` has the ids of earlier keys, whose seals the archive may have.
    """
    words = authorities.split()
    locked = partial(S3Seals, lock_mode=lock_mode, rules=rules)
    copies = locked(second[0], bucket=second[1]) if second else None
    return Sealing(
        records,
        locked(s3, bucket=bucket, second=copies),
        Ed25519SealKey.read(key, before),
        Rfc3161Authorities([Authority.read(word) for word in words]) if words else None,
        S3Seals(witness[0], bucket=witness[1]) if witness else None,
    )
