"""The key service in memory."""

import os
from collections.abc import Mapping

from mailroom.domain.errors import Quarantined, Reason


class MemoryDataKeys:
    """The port `Keys` in memory: unwraps a data key only with its own context. `asked` counts the unwraps."""

    def __init__(self) -> None:
        self.asked = 0
        self._kept: dict[bytes, tuple[bytes, dict[str, str]]] = {}

    def new_data_key(self, context: Mapping[str, str]) -> tuple[bytes, bytes]:
        """Return a new data key of 256 bits, plain and wrapped."""
        data_key, wrapped = os.urandom(32), os.urandom(48)
        self.keep(wrapped, context, data_key)
        return data_key, wrapped

    def keep(self, wrapped: bytes, context: Mapping[str, str], data_key: bytes) -> None:
        """Add a data key that another key service wrapped."""
        self._kept[wrapped] = data_key, dict(context)

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes:
        """Return the data key, or refuse it for another context."""
        self.asked += 1
        data_key, made_for = self._kept.get(wrapped, (b"", {}))
        if not data_key or made_for != dict(context):
            raise Quarantined(Reason.NOT_DECRYPTABLE, step="key")
        return data_key
