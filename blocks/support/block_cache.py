"""Cache of opened blocks in a warm worker; an operator's change in the UI takes effect after `FRESH_S`."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

import httpx

#: Seconds until an operator's change in the UI takes effect. Each check costs the server one to three requests.
FRESH_S = 10.0

Loaded = TypeVar("Loaded")
Opened = TypeVar("Opened")


@dataclass(slots=True)
class _Known(Generic[Loaded, Opened]):
    loaded: Loaded
    opened: Opened
    looked_at: float


class BlockCache(Generic[Loaded, Opened]):
    """Blocks by name: each is loaded again after `FRESH_S`, and opened again if it changed.

    `load` returns everything that an operator can change, also blocks that it only names; `opening` opens that.
    """

    def __init__(
        self, load: Callable[[str], Awaitable[Loaded]], opening: Callable[[Loaded], Awaitable[Opened]]
    ) -> None:
        self._load, self._opening = load, opening
        self._known: dict[str, _Known[Loaded, Opened]] = {}

    async def open(self, name: str) -> Opened:
        """Return the opened block `name`; while the Prefect server does not answer, the cached one.

        Raises:
            ConfigurationError: it names something outside the allowed regions.
            ValueError: there is no such block.
        """
        known = self._known.get(name)
        if known is None:
            return await self._open(name, await self._load(name))
        if time.monotonic() - known.looked_at < FRESH_S:
            return known.opened
        # Concurrent runs use the cached block meanwhile.
        known.looked_at = time.monotonic()
        try:
            loaded = await self._load(name)
            return known.opened if loaded == known.loaded else await self._open(name, loaded)
        except httpx.HTTPError:
            return known.opened
        except BaseException:
            self.suspect(name)
            raise

    def suspect(self, name: str) -> None:
        """Load the block again at its next use."""
        if known := self._known.get(name):
            known.looked_at = -inf

    def forget(self, name: str) -> None:
        """Open the block again at its next use."""
        self._known.pop(name, None)

    def clear(self) -> None:
        """Forget all blocks."""
        self._known.clear()

    async def _open(self, name: str, loaded: Loaded) -> Opened:
        opened = await self._opening(loaded)
        self._known[name] = _Known(loaded, opened, time.monotonic())
        return opened
