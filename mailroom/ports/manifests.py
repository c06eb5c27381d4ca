"""What the archive keeps of each mail besides its bytes."""

from collections.abc import Sequence
from typing import Protocol

from mailroom.domain.archive.manifests import Manifest
from mailroom.domain.inbound.received_email import ObjectRef


class Manifests(Protocol):
    """What the archive keeps of each mail besides its bytes, so that a forgetful ledger costs nothing."""

    def keep(self, manifest: Manifest) -> None:
        """Keep a tenant's manifest, locked by the rule of its class. One that says nothing new is not written again.

        What is there already is renewed, never replaced: older versions stay, and the new one names their recipients too.
        """

    def find(self, ref: ObjectRef) -> Sequence[Manifest]:
        """Return every version of every tenant's manifest of an object, oldest first; none where nothing was kept."""
