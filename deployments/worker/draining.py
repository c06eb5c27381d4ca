"""How anything here ends what it has under way."""

import asyncio
from collections.abc import Collection
from typing import Any


async def drain(tasks: Collection[asyncio.Task[Any]], *, patience_s: float) -> None:
    """Let tasks end, for `patience_s` seconds; then cancel what is there by then, and wait for it to have ended."""
    if tasks:
        await asyncio.wait(set(tasks), timeout=patience_s)
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
