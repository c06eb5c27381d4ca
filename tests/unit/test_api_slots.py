"""Slots of the HTTP service: which requests run, wait, or are refused."""

import asyncio
import threading

import pytest
from fastapi import HTTPException

from mailroom.api.slots import Slots


def test_tenants_take_turns_and_one_never_holds_the_last_slot() -> None:
    """45 batches of one tenant delay another's by those that run, not by those that wait."""

    async def crowded() -> list[str]:
        slots, open_, order = Slots(2, for_one=1), threading.Event(), list[str]()

        def work(name: str) -> None:
            order.append(name)
            if name == "a0":
                open_.wait(5)

        many = [asyncio.ensure_future(slots.run("a", lambda n=n: work(f"a{n}"))) for n in range(5)]
        await asyncio.sleep(0.05)
        await asyncio.gather(*(slots.run("b", lambda n=n: work(f"b{n}")) for n in range(2)))
        open_.set()
        await asyncio.gather(*many)
        return order

    assert asyncio.run(crowded()) == ["a0", "b0", "b1", "a1", "a2", "a3", "a4"]


def test_a_request_that_waits_too_long_is_refused_with_a_time_to_retry() -> None:
    """429 where the tenant's own requests are in the way, 503 where others' are, each with Retry-After."""

    async def refused() -> list[tuple[int, bool]]:
        slots, open_, said = Slots(2, for_one=1, wait_s=0.05), threading.Event(), []
        held = [asyncio.ensure_future(slots.run(tenant, lambda: open_.wait(5))) for tenant in ("a", "b")]
        await asyncio.sleep(0)
        for tenant in ("a", "c"):
            with pytest.raises(HTTPException) as error:
                await slots.run(tenant, lambda: None)
            said.append((error.value.status_code, "Retry-After" in (error.value.headers or {})))
        open_.set()
        await asyncio.gather(*held)
        assert await slots.run("c", lambda: 7) == 7
        return said

    assert asyncio.run(refused()) == [(429, True), (503, True)]


def test_an_error_is_raised_to_the_waiting_request() -> None:
    """An error frees its slot."""

    async def failing() -> None:
        slots = Slots(2, for_one=1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await slots.run("a", lambda: 1 // 0)

    asyncio.run(failing())
