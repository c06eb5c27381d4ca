"""The key service that wraps the data keys of encrypted mails."""

from collections.abc import Mapping
from typing import Protocol


class Keys(Protocol):
    """The key service that wraps the data keys of encrypted mails."""

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the plain data key.

        Raises:
            Quarantined: `not_decryptable` when the key service refuses the blob, its key or its context.
            TransientError: also when the key itself cannot be used: disabled, deleted, or without permission.
        """

    def new_data_key(self, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return a new 256-bit data key, and the same key wrapped and bound to `context`."""
