"""Manifests: the facts that the archive keeps about each mail besides its bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.inbound.received_email import ObjectRef


@dataclass(frozen=True, slots=True)
class KeptManifest:
    """A manifest as it is stored: the version of its object, and the SHA-256 of its bytes."""

    manifest: Manifest
    version: str
    sha256: str


#: Stored manifests of one mail, by tenant.
KeptManifests = dict[str, KeptManifest]


class Manifests(Protocol):
    """Manifests of mails in the archive, from which a ledger that lost its rows is rebuilt."""

    def keep(self, manifest: Manifest) -> KeptManifest:
        """Store a tenant's manifest, locked for the retention of its class, and return it as it is stored.

        One without new facts is not written again. Older versions stay, and a new version includes their recipients.
        """

    def renew(self, kept: KeptManifest, manifest: Manifest) -> KeptManifest:
        """Store the manifest as a version after `kept`, which the same attempt stored; one without new facts is not written.

        `manifest` has everything that `kept` has: nothing is read.
        """

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first; empty if there are none."""
