"""The bucket that SES writes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.received_email import ObjectRef


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A raw object of the inbound bucket. `metadata` is S3's user metadata, its names without `x-amz-meta-`.

    `sse_kms_key` is the key of S3's own encryption (SSE-KMS), None without it.
    """

    body: bytes
    metadata: Mapping[str, str]
    sse_kms_key: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of the inbound bucket, as listed."""

    key: str
    modified_at: datetime


class MailStore(Protocol):
    """The bucket that SES writes to."""

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the object, whole.

        Raises:
            Quarantined: `gone` when the object or its version is not there; `too_large` over the size limit,
                raised before the body is read.
        """

    def list(self, bucket: str, *, after: str, most: int) -> Sequence[Listed]:
        """Return up to `most` (at most 1000) objects with keys after `after`, sorted by key."""
