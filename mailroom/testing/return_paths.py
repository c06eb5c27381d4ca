"""Return paths in memory."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count

from mailroom.domain.delivery.return_paths import TOKEN_BYTES, VALID_FOR, digest_of, token_of
from mailroom.ports.return_paths import AttemptMade


class MemoryReturnPaths:
    """The port `ReturnPaths` over a dict. `known` has the messages: id to tenant, recipient and provider."""

    def __init__(self, known: Mapping[str, tuple[str, str, str]] | None = None) -> None:
        self.known = dict(known or {})
        self._issued: dict[bytes, tuple[str, int, datetime]] = {}
        self._numbers = count(1)

    def issue(self, attempts: Sequence[tuple[str, int]], *, now: datetime) -> list[str]:
        """Store a new token for each attempt."""
        tokens = [token_of(next(self._numbers).to_bytes(TOKEN_BYTES, "big")) for _ in attempts]
        for token, (message_id, attempt) in zip(tokens, attempts, strict=True):
            self._issued[digest_of(token)] = message_id, attempt, now
        return tokens

    def find(self, token: str, *, received_at: datetime) -> AttemptMade | None:
        """Return the attempt of a valid token, or None."""
        message_id, attempt, made_at = self._issued.get(digest_of(token), ("", 0, received_at))
        if message_id not in self.known or made_at < received_at - VALID_FOR:
            return None
        return AttemptMade(message_id, attempt, *self.known[message_id])

    def forget(self, *, before: datetime) -> int:
        """Delete the tokens issued before `before`."""
        old = [digest for digest, (_, _, made_at) in self._issued.items() if made_at < before]
        for digest in old:
            del self._issued[digest]
        return len(old)
