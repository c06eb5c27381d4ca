"""The inbound bucket in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count

from mailroom.adapters.aws.s3 import MAX_OBJECT_BYTES
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.mail_store import Listed, StoredObject


@dataclass(frozen=True, slots=True)
class _Version:
    id: str
    at: datetime
    #: None is a delete marker.
    stored: StoredObject | None


class MemoryMailStore:
    """The port `MailStore` in memory, with versions; `asked` lists each fetched reference."""

    def __init__(self) -> None:
        self.asked: list[ObjectRef] = []
        self._versions: dict[tuple[str, str], list[_Version]] = {}
        self._numbers = count(1)

    def put(self, ref: ObjectRef, body: bytes, metadata: Mapping[str, str] | None = None, *, at: datetime) -> str:
        """Store an object, as the version of `ref` if it names one, and return its version."""
        made = _Version(ref.version or f"v{next(self._numbers)}", at, StoredObject(body, dict(metadata or {})))
        self._versions.setdefault((ref.bucket, ref.key), []).append(made)
        return made.id

    def delete(self, ref: ObjectRef) -> None:
        """Delete one version, or add a delete marker if `ref` names none."""
        versions = self._versions[ref.bucket, ref.key]
        if ref.version:
            versions[:] = [one for one in versions if one.id != ref.version]
        else:
            versions.append(_Version(f"v{next(self._numbers)}", versions[-1].at, None))

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the object or this version of it."""
        self.asked.append(ref)
        versions = self._versions.get((ref.bucket, ref.key), [])
        stored_objects = [one.stored for one in versions if ref.version in ("", one.id)]
        if not stored_objects or stored_objects[-1] is None:
            raise Quarantined(Reason.GONE)
        if len(stored_objects[-1].body) > MAX_OBJECT_BYTES:
            raise Quarantined(Reason.TOO_LARGE, size=len(stored_objects[-1].body))
        return stored_objects[-1]

    def list(self, bucket: str, *, after: str, most: int) -> Sequence[Listed]:
        """Return up to `most` objects with keys after `after`."""
        newest = {key: versions[-1] for (name, key), versions in self._versions.items() if name == bucket and versions}
        keys = sorted(key for key, version in newest.items() if key > after and version.stored is not None)
        return [Listed(key, newest[key].at) for key in keys[:most]]
