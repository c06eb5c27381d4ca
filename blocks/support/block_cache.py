"""Opened blocks that a warm worker keeps, and how soon it uses what an operator changed in the UI."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

import httpx

#: What an operator changes in the UI is used after this many seconds. To look costs the server a request or three.
FRESH_S = 10.0

Loaded = TypeVar("Loaded")
Opened = TypeVar("Opened")


@dataclass(slots=True)
class _Known(Generic[Loaded, Opened]):
    loaded: Loaded
    opened: Opened
    looked_at: float


class BlockCache(Generic[Loaded, Opened]):
    """Blocks by name: each is loaded again when it was not for `FRESH_S`, and opened again when it was changed meanwhile.

    `load` returns all of it that an operator can change, also what it names only; `opening` opens that.
    """

    def __init__(
        self, load: Callable[[str], Awaitable[Loaded]], opening: Callable[[Loaded], Awaitable[Opened]]
    ) -> None:
        self._load, self._opening = load, opening
        self._known: dict[str, _Known[Loaded, Opened]] = {}

    async def open(self, name: str) -> Opened:
        """Return the opened block `name`; while the Prefect server does not answer, as it was.

        Raises:
            ConfigurationError: it leads outside, as it is now.
            ValueError: there is no such block.
        """
        known = self._known.get(name)
        if known is None:
            return await self._open(name, await self._load(name))
        if time.monotonic() - known.looked_at < FRESH_S:
            return known.opened
        # Runs beside this one go on with what is known meanwhile.
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
        """Have the block looked at again at its next use."""
        if known := self._known.get(name):
            known.looked_at = -inf

    def forget(self, name: str) -> None:
        """Have the block opened again at its next use."""
        self._known.pop(name, None)

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()

    async def _open(self, name: str, loaded: Loaded) -> Opened:
        opened = await self._opening(loaded)
        self._known[name] = _Known(loaded, opened, time.monotonic())
        return opened
