"""Deletes messages of finished e-mails, several in one call."""

import asyncio
import logging

from mailroom.ports.queue import Queue

logger = logging.getLogger("mailroom.listener")

#: Messages finished within this time are deleted in one call.
_GATHER_S = 0.05
_BATCH = 10


class Acknowledger:
    """Collects receipt handles briefly and deletes them in one call; a message that was not deleted is received again."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue()

    def delete(self, receipt: str) -> None:
        """Delete this message soon, by its receipt handle."""
        self._waiting.put_nowait(receipt)

    async def run(self) -> None:
        """Delete messages until `stop`, then those still waiting."""
        while (first := await self._waiting.get()) is not None:
            if self._waiting.qsize() < _BATCH - 1:
                await asyncio.sleep(_GATHER_S)
            receipts = [first]
            while len(receipts) < _BATCH and not self._waiting.empty():
                following = self._waiting.get_nowait()
                if following is None:
                    self._waiting.put_nowait(None)
                    break
                receipts.append(following)
            await self._delete(receipts)

    async def stop(self) -> None:
        """End `run` once the waiting messages are deleted."""
        self._waiting.put_nowait(None)

    async def _delete(self, receipts: list[str]) -> None:
        try:
            await asyncio.to_thread(self._queue.delete, receipts)
        except Exception as error:  # noqa: BLE001 - whatever fails, the next deletion must be tried
            logger.warning(
                "%d messages were not deleted from the queue and will be received again: %s",
                len(receipts),
                type(error).__name__,
            )
