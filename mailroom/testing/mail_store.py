"""The inbound bucket in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from mailroom.adapters.aws.s3 import MAX_OBJECT_BYTES
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.mail_store import Listed, StoredObject


class MemoryMailStore:
    """The port `MailStore` in memory, with versions; `asked` has each reference that was fetched."""

    def __init__(self) -> None:
        self.asked: list[ObjectRef] = []
        self._objects: dict[tuple[str, str], list[tuple[str, StoredObject, datetime]]] = {}

    def put(self, ref: ObjectRef, body: bytes, metadata: Mapping[str, str] | None = None, *, at: datetime) -> str:
        """Store an object and return its version."""
        versions = self._objects.setdefault((ref.bucket, ref.key), [])
        version = ref.version or f"v{len(versions) + 1}"
        versions.append((version, StoredObject(body, dict(metadata or {})), at))
        return version

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the object or this version of it."""
        self.asked.append(ref)
        versions = self._objects.get((ref.bucket, ref.key), [])
        found = [stored for version, stored, _ in versions if ref.version in ("", version)]
        if not found:
            raise Quarantined(Reason.GONE)
        if len(found[-1].body) > MAX_OBJECT_BYTES:
            raise Quarantined(Reason.TOO_LARGE, size=len(found[-1].body))
        return found[-1]

    def list(self, bucket: str, *, after: str, most: int) -> Sequence[Listed]:
        """Return up to `most` objects whose keys come after `after`."""
        keys = sorted(key for name, key in self._objects if name == bucket and key > after)
        return [Listed(key, self._objects[bucket, key][-1][2]) for key in keys[:most]]
