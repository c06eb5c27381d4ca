"""Graceful end of running tasks."""

import asyncio
from collections.abc import Collection
from typing import Any


async def drain(tasks: Collection[asyncio.Task[Any]], *, patience_s: float) -> None:
    """Wait `patience_s` seconds for tasks to end; then cancel the rest and wait for them."""
    if tasks:
        await asyncio.wait(set(tasks), timeout=patience_s)
    late = [task for task in tasks if not task.done()]
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
