"""Slots for CPU-bound requests: few run at once, the others wait in order and for a limited time.

Python runs one thread at a time. Forty batches prepared in the forty threads that answer requests would leave none for
other requests, and each busy thread delays every other by the switch interval. So batches are prepared in separate
threads, one for each slot. Tenants take turns, and one tenant never has the last slot: its requests delay another
tenant's batch by at most the running request. Small requests have separate slots, so that a password mail never waits for
a newsletter of the same tenant.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from threading import Lock
from typing import Any, TypeVar

from fastapi import HTTPException

T = TypeVar("T")

#: A request with a larger body is a large one: some hundred messages.
SMALL_BYTES = 64 << 10


class Slots:
    """Runs work in threads: at most `slots` at once, at most `for_one` of one tenant, after waiting at most `wait_s`."""

    def __init__(self, slots: int = 2, *, for_one: int = 1, wait_s: float = 60.0) -> None:
        self._slots, self._for_one, self._wait_s = slots, for_one, wait_s
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="slot")
        self._lock = Lock()
        self._running: Counter[str] = Counter()
        #: Waiting requests by tenant; the tenant whose turn is next comes first.
        self._waiting: dict[str, deque[tuple[Future[Any], Callable[[], Any]]]] = {}

    async def run(self, tenant: str, work: Callable[[], T]) -> T:
        """Wait for a slot, run `work`, and return its result.

        Raises:
            HTTPException: 429 if the tenant's own requests fill the slots, 503 if others' do; with Retry-After.
        """
        future: Future[T] = Future()
        # A page that is made in the slot has the reader of its request.
        within = partial(copy_context().run, work)
        with self._lock:
            self._waiting.setdefault(tenant, deque()).append((future, within))
            self._start()
        outcome = asyncio.wrap_future(future)
        done, _ = await asyncio.wait([outcome], timeout=self._wait_s)
        if not done and future.cancel():
            raise self._withdrawn(tenant)
        return await outcome

    def _start(self) -> None:
        # Called with the lock held.
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
            # Frees their bodies now, not when their turn would have come.
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
