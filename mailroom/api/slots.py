"""Slots for requests that keep a processor busy: few run at once, the others wait in order and for a bounded time.

Python runs one thread at a time. Forty batches prepared in the forty threads that answer requests would leave none to
answer anything else, and each thread that calculates delays every other by the switch interval. So batches have threads of
their own, as many as there are slots. Tenants take turns, and one tenant never holds the last slot: what one submits
delays another's batch by at most the request that is running. Small requests have slots of their own, so that a password
mail never waits for the newsletter of its own tenant.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from fastapi import HTTPException

T = TypeVar("T")

#: A request with a longer body is a large one: some hundred messages.
SMALL_BYTES = 64 << 10


class Slots:
    """Runs work in threads: at most `slots` at once, at most `for_one` of one tenant, after at most `wait_s`."""

    def __init__(self, slots: int = 2, *, for_one: int = 1, wait_s: float = 60.0) -> None:
        self._slots, self._for_one, self._wait_s = slots, for_one, wait_s
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._lock = Lock()
        self._running: Counter[str] = Counter()
        #: By tenant, the tenant whose turn is next first.
        self._waiting: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """Return what `work` returns, once it was its turn.

        Raises:
            HTTPException: 429 where the tenant's own requests are in the way, 503 where those of others are; with Retry-After.
        """
        future: Future[T] = Future()
        with self._lock:
            self._waiting.setdefault(tenant, deque()).append((future, work))
            self._start()
        outcome = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([outcome], timeout=self._wait_s)
        if not done and future.cancel():
            raise self._withdrawn(tenant)
        return await outcome

    def _start(self) -> None:
        # Under the lock.
        while self._running.total() < self._slots:
            tenant = next((one for one in self._waiting if self._running[one] < self._for_one), None)
            if tenant is None:
                return
            queue = self._waiting.pop(tenant)
            future, work = queue.popleft()
            if queue:
                self._waiting[tenant] = queue
            if future.set_running_or_notify_cancel():
                self._running[tenant] += 1
                self._threads.submit(self._do, tenant, future, work)

    def _do(self, tenant: str, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            with self._lock:
                self._running[tenant] -= 1
                self._running += Counter()
                self._start()

    def _withdrawn(self, tenant: str) -> HTTPException:
        retry = {"Retry-After": str(int(self._wait_s))}
        with self._lock:
            # Their bodies are not kept until it would have been their turn.
            if queue := [one for one in self._waiting.get(tenant, ()) if not one[0].cancelled()]:
                self._waiting[tenant] = deque(queue)
            else:
                self._waiting.pop(tenant, None)
            own = self._running[tenant] >= self._for_one
        if own:
            return HTTPException(
                429, "Too many concurrent batches of this tenant; submit fewer at a time, and try again later.", retry
            )
        return HTTPException(503, "Too many concurrent batches; try again later.", retry)
