"""Manifests in memory."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

from mailroom.domain.archive.manifests import Manifest, canonical
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.manifests import KeptManifest


class MemoryManifests:
    """The port `Manifests` in memory, safe between threads; `kept` has every version, oldest first."""

    def __init__(self) -> None:
        self.kept: list[Manifest] = []
        self._lock = threading.Lock()

    def keep(self, manifest: Manifest) -> KeptManifest:
        """Store a tenant's manifest; one without new facts is not written again."""
        with self._lock:
            older = [one for one in self.kept if one.key == manifest.key]
            renewed = manifest.renewing(older)
            newest = next((one for one in reversed(older) if one.is_of(manifest.ref, manifest.sha256)), None)
            if newest is not None and renewed.says_no_more_than(newest):
                return _kept(newest, len(older))
            self.kept.append(replace(renewed, written_at=datetime.now(UTC)))
            return _kept(self.kept[-1], len(older) + 1)

    def renew(self, kept: KeptManifest, manifest: Manifest) -> KeptManifest:
        """Store the manifest as a version after `kept`, unless it has no new facts."""
        if manifest.says_no_more_than(kept.manifest):
            return kept
        with self._lock:
            self.kept.append(replace(manifest, written_at=datetime.now(UTC)))
            return _kept(self.kept[-1], sum(one.key == manifest.key for one in self.kept))

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first."""
        with self._lock:
            return [one for one in self.kept if (one.ref.bucket, one.ref.key) == (ref.bucket, ref.key)]


def _kept(manifest: Manifest, number: int) -> KeptManifest:
    """Return the manifest with a digest of its key and version; `number` counts the versions of its key."""
    version = f"v{number}"
    return KeptManifest(manifest, version, sha256(canonical([manifest.key, version])).hexdigest())
