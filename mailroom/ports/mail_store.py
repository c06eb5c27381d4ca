"""The bucket that SES writes to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from mailroom.domain.inbound.received_email import ObjectRef


@dataclass(frozen=True, slots=True)
class StoredObject:
    """A raw object as it lies in the inbound bucket. `metadata` has S3's user metadata without `x-amz-meta-`.

    `sse_kms_key` is the key under which S3 itself had the object encrypted (SSE-KMS), None where it was not.
    """

    body: bytes
    metadata: Mapping[str, str]
    sse_kms_key: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """An object of the inbound bucket, as a listing names it."""

    key: str
    modified_at: datetime


class MailStore(Protocol):
    """The bucket that SES writes to."""

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the object, whole.

        Raises:
            Quarantined: `gone` when the object or its version is not there; `too_large` over the size limit,
                told before the body is read.
        """

    def list(self, bucket: str, *, after: str, most: int) -> Sequence[Listed]:
        """Return up to `most` (at most 1000) objects whose keys come after `after`, in the order of their keys."""
