"""Manifests: the facts that the archive keeps about each mail besides its bytes."""

from collections.abc import Sequence
from typing import Protocol

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.inbound.received_email import ObjectRef


class Manifests(Protocol):
    """Manifests of mails in the archive, from which a ledger that lost its rows is rebuilt."""

    def keep(self, manifest: Manifest) -> None:
        """Store a tenant's manifest, locked for the retention of its class; one without new facts is not written again.

        Older versions stay, and a new version includes their recipients.
        """

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first; empty if there are none."""
