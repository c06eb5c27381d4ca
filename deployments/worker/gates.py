"""Pauses and concurrency limits that an operator sets in Prefect on a deployment, the work pool or a work queue.

The server checks neither for a run that is created Running, so the listeners check here; the pool worker does for
scheduled runs of a paused deployment, which the server does not hold. The server is polled, at most every 2.5 s,
however many mails come: three of these changes emit no event. While it does not answer, its last answer stands.

Limits count the runs under way in this process. The workers in the roster divide a limit, the longest-lived first, so
that together they keep it without a request for each run. The server counts the pool's own runs as well.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from mailroom.adapters.prefect.http import RECEIVE_EMAIL, SEND_BATCH
from mailroom.domain.errors import MailroomError

logger = logging.getLogger("mailroom.worker")

_FRESH_S = 2.5
#: Timeout of a poll, so that mail does not wait for it.
_ANSWER_WITHIN_S = 2.5
_LOOK_AGAIN_S = 0.5

_DEPLOYMENTS = [name.partition("/")[2] for name in (RECEIVE_EMAIL, SEND_BATCH)]

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class LimitShare:
    """This worker's index among the living workers, from 0, and their number."""

    number: int = 0
    workers: int = 1

    def of(self, limit: int) -> int:
        """Return this worker's share of a limit; the shares of all workers add up to the limit."""
        return limit // self.workers + (self.number < limit % self.workers)


@dataclass(frozen=True, slots=True)
class _Bound:
    """Pause and limit of a deployment, the pool or a queue."""

    paused: bool
    limit: int | None


class Gates:
    """The gates of one worker process, shared by its two listeners and its pool worker."""

    def __init__(
        self,
        client: PrefectClient,
        *,
        pool: str,
        fresh_s: float = _FRESH_S,
        share: Callable[[], LimitShare] = LimitShare,
    ) -> None:
        """Make the gates.

        Args:
            share: Returns this worker's share; called in a thread, and only while there is a limit.
        """
        self._client, self._pool, self._fresh_s, self._ask_share = client, pool, fresh_s, share
        self._share = LimitShare()
        self._bounds: Mapping[Key, _Bound] = {}
        self._names: dict[UUID, str] = {}
        self._queues: dict[str, str] = {}
        # Runs admitted, and those of them that have begun; the rest waits for a slot of the executor.
        self._under_way: Counter[Key] = Counter()
        self._begun: Counter[Key] = Counter()
        self._asked_at: float | None = None
        self._polling = asyncio.Lock()
        self._doors: dict[Key, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._freed = asyncio.Event()

    def gate(self, deployment: str) -> "Gate":
        """Return the gate of one deployment, `flow/deployment`."""
        return Gate(self, deployment.partition("/")[2])

    async def look(self) -> None:
        """Poll the server, unless the last poll is recent."""
        async with self._polling:
            if self._asked_at is not None and time.monotonic() - self._asked_at < self._fresh_s:
                return
            try:
                await asyncio.wait_for(self._ask(), _ANSWER_WITHIN_S)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with the server, its last answer stands
                logger.debug("Prefect does not say what is paused: %s", type(error).__name__)
            self._asked_at = time.monotonic()

    def held(self) -> str | None:
        """Return what an operator has paused, in one sentence; None: nothing."""
        return "; ".join(sentence for key in self._bounds if (sentence := self._sentence(key))) or None

    def name_of(self, deployment_id: UUID | None) -> str | None:
        """Return the name of a deployment that has a gate; None for others."""
        return self._names.get(deployment_id) if deployment_id else None

    def room(self, deployment: str, queue: str | None = None) -> int | None:
        """Return how many more runs may begin now; None: no limit."""
        return self._room(self._keys(deployment, queue), self._under_way)

    def reason(self, deployment: str, queue: str | None = None) -> str | None:
        """Return why no run of this deployment may begin (paused, or a limit of 0); None: they may."""
        keys = self._keys(deployment, queue)
        return next((why for of in (self._sentence, self._others_have) for key in keys if (why := of(key))), None)

    def most(self, deployment: str) -> int | None:
        """Return this worker's share of the lowest limit that applies to this deployment."""
        bounds = [self._bounds[key] for key in self._keys(deployment, None) if key in self._bounds]
        limits = [bound.limit for bound in bounds if bound.limit is not None]
        return self._share.of(min(limits)) if limits else None

    @contextmanager
    def counted(self, deployment: str, queue: str | None = None) -> Iterator[None]:
        """Count a run that was admitted elsewhere: it uses one slot."""
        keys = self._keys(deployment, queue)
        self._under_way.update(keys)
        try:
            yield
        finally:
            self._under_way.subtract(keys)
            self._freed.set()

    @asynccontextmanager
    async def slot(self, deployment: str, queue: str | None = None) -> AsyncIterator[None]:
        """Wait until one more run may begin, first come first served, and count it meanwhile."""
        async with self._doors[deployment, queue or ""]:
            await self.look()
            while self.room(deployment, queue) == 0:
                await self._look_later()
            count = self.counted(deployment, queue)
            count.__enter__()
        try:
            yield
        finally:
            count.__exit__(None, None, None)

    @asynccontextmanager
    async def begun(self, deployment_id: UUID | None, queue: str | None = None) -> AsyncIterator[None]:
        """Wait until an admitted run may begin: an operator may have paused it while it waited for a slot."""
        await self.look()
        name = self.name_of(deployment_id)
        keys = self._keys(name, queue) if name is not None else []
        while self._room(keys, self._begun) == 0:
            await self._look_later()
        self._begun.update(keys)
        try:
            yield
        finally:
            self._begun.subtract(keys)
            self._freed.set()

    def _room(self, keys: Sequence[Key], counted: Counter[Key]) -> int | None:
        rooms: list[int] = []
        for key in keys:
            bound = self._bounds.get(key)
            if bound is not None and bound.paused:
                return 0
            if bound is not None and bound.limit is not None:
                rooms.append(self._share.of(bound.limit) - counted[key])
        return max(0, min(rooms)) if rooms else None

    async def _look_later(self) -> None:
        self._freed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._freed.wait(), _LOOK_AGAIN_S)
        await self.look()

    def _keys(self, deployment: str, queue: str | None) -> list[Key]:
        queue = queue or self._queues.get(deployment)
        return [("deployment", deployment), *([("work queue", queue)] if queue else []), ("work pool", self._pool)]

    def _sentence(self, key: Key) -> str | None:
        bound = self._bounds.get(key)
        if bound is None or not (bound.paused or bound.limit == 0):
            return None
        kind, name = key
        return f"{kind} {name} is paused in Prefect" if bound.paused else f"{kind} {name} has the limit 0 in Prefect"

    def _others_have(self, key: Key) -> str | None:
        bound = self._bounds.get(key)
        if bound is None or bound.limit is None or self._share.of(bound.limit):
            return None
        return (
            f"{key[0]} {key[1]} has the limit {bound.limit}, which the other {self._share.workers - 1} workers use up"
        )

    async def _ask(self) -> None:
        wanted = {"deployments": {"name": {"any_": _DEPLOYMENTS}}, "flows": {"name": {"any_": _DEPLOYMENTS}}}
        deployments, queues, pool = await asyncio.gather(
            self._client.request("POST", "/deployments/filter", json=wanted),
            self._client.request(
                "POST",
                "/work_pools/{work_pool_name}/queues/filter",
                path_params={"work_pool_name": self._pool},
                json={},
            ),
            self._client.request("GET", "/work_pools/{name}", path_params={"name": self._pool}),
        )
        bounds: dict[Key, _Bound] = {}
        for one in deployments.json():
            bound = one.get("global_concurrency_limit") or {}
            limit = bound.get("limit") if bound.get("active", True) else None
            bounds["deployment", one["name"]] = _Bound(bool(one["paused"]), limit)
            self._names[UUID(one["id"])] = one["name"]
            if one.get("work_queue_name"):
                self._queues[one["name"]] = one["work_queue_name"]
        for one in queues.json():
            bounds["work queue", one["name"]] = _bound_of(one)
        bounds["work pool", self._pool] = _bound_of(pool.json())
        if any(bound.limit is not None for bound in bounds.values()):
            self._share = await self._shared()
        self._note(bounds)

    async def _shared(self) -> LimitShare:
        try:
            return await asyncio.to_thread(self._ask_share)
        except MailroomError as error:
            logger.debug("the roster cannot be read: %s", error)
            return self._share

    def _note(self, bounds: Mapping[Key, _Bound]) -> None:
        """Store the answer, and log pauses and limits that begin or end with it."""
        before = {key: self._sentence(key) for key in self._bounds}
        limits = {key: bound.limit for key, bound in self._bounds.items()}
        self._bounds = bounds
        for key in {**before, **bounds}:
            was, now = before.get(key), self._sentence(key)
            if now and now != was:
                logger.warning("held: %s; no new runs start, and messages stay in the queue", now)
            elif was and not now:
                logger.warning("resumed: no longer held because %s", was)
            limit = bounds[key].limit if key in bounds else None
            if limit != limits.get(key):
                logger.warning(
                    "%s %s: %s over all workers", *key, "no limit" if limit is None else f"at most {limit} runs"
                )
        self._freed.set()


class Gate:
    """The gate of one deployment."""

    def __init__(self, gates: Gates, deployment: str) -> None:
        self._gates, self._deployment = gates, deployment

    async def held(self) -> str | None:
        """Return why no run of this deployment may begin now; None: it may."""
        await self._gates.look()
        return self._gates.reason(self._deployment)

    @property
    def all_held(self) -> str | None:
        """What an operator has paused in this installation, as of the last poll."""
        return self._gates.held()

    def most(self, limit: int) -> int:
        """Return how many runs may be under way at once, at most `limit`."""
        bound = self._gates.most(self._deployment)
        return limit if bound is None else min(limit, bound)

    @asynccontextmanager
    async def slot(self, queue: str | None = None) -> AsyncIterator[None]:
        """Wait until one more run may begin, and count it meanwhile."""
        async with self._gates.slot(self._deployment, queue):
            yield


class OpenGate:
    """A gate that is always open, for listeners without a Prefect server."""

    all_held: str | None = None

    async def held(self) -> str | None:
        """Return None: nothing is paused."""
        return None

    def most(self, limit: int) -> int:
        """Return `limit`."""
        return limit

    @asynccontextmanager
    async def slot(self, queue: str | None = None) -> AsyncIterator[None]:
        """Enter at once."""
        yield


def _bound_of(fields: Mapping[str, Any]) -> _Bound:
    return _Bound(bool(fields["is_paused"]), fields.get("concurrency_limit"))
