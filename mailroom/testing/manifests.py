"""Manifests in memory."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.inbound.received_email import ObjectRef


class MemoryManifests:
    """The port `Manifests` in memory, safe between threads; `kept` has every version, oldest first."""

    def __init__(self) -> None:
        self.kept: list[Manifest] = []
        self._lock = threading.Lock()

    def keep(self, manifest: Manifest) -> None:
        """Store a tenant's manifest; one without new facts is not written again."""
        with self._lock:
            older = [one for one in self.kept if one.key == manifest.key]
            renewed = manifest.renewing(older)
            newest = next((one for one in reversed(older) if one.is_of(manifest.ref, manifest.sha256)), None)
            if newest is None or not renewed.says_no_more_than(newest):
                self.kept.append(replace(renewed, written_at=datetime.now(UTC)))

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first."""
        with self._lock:
            return [one for one in self.kept if (one.ref.bucket, one.ref.key) == (ref.bucket, ref.key)]
