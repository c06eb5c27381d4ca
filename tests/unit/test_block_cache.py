"""Blocks that a warm worker caches: how soon a change counts, and what happens while Prefect is unreachable."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from blocks.support import block_cache
from blocks.support.block_cache import FRESH_S, BlockCache


@dataclass
class Server:
    """Prefect's blocks, counting how often they were loaded and opened."""

    blocks: dict[str, str] = field(default_factory=lambda: {"outbound": "first"})
    is_away: bool = False
    loads: int = 0
    opened: list[str] = field(default_factory=list)

    async def load(self, name: str) -> str:
        self.loads += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise httpx.ConnectError("All connection attempts failed")
        if name not in self.blocks:
            raise ValueError("no such block")
        return self.blocks[name]

    async def open(self, block: str) -> str:
        if block == "outside":
            raise PermissionError("it leads outside")
        self.opened.append(block)
        return f"opened {block}"


@dataclass
class Clock:
    now: float = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(block_cache, "time", made)
    return made


def opened(blocks: BlockCache[str, str], name: str = "outbound") -> str:
    return asyncio.run(blocks.open(name))


def test_a_changed_block_is_used_after_ten_seconds_and_an_unchanged_one_stays_open(clock: Clock) -> None:
    """An open block has warm connections and a measured rate; only a change may drop them."""
    server = Server()
    blocks = BlockCache(server.load, server.open)
    assert opened(blocks) == "opened first"
    clock.now += FRESH_S
    assert opened(blocks) == "opened first"
    server.blocks["outbound"] = "second"
    clock.now += FRESH_S - 0.1
    assert opened(blocks) == "opened first"
    clock.now += 0.1

    assert opened(blocks) == "opened second"
    assert server.opened == ["first", "second"]
    assert FRESH_S <= 10


def test_runs_at_the_same_time_ask_once(clock: Clock) -> None:
    """Eight e-mails start at one moment; the Prefect server's CPU is the limit."""
    server = Server()
    blocks = BlockCache(server.load, server.open)
    opened(blocks)
    clock.now += FRESH_S

    async def eight() -> None:
        await asyncio.gather(*(blocks.open("outbound") for _ in range(8)))

    asyncio.run(eight())

    assert server.loads == 2


def test_runs_keep_their_blocks_while_the_server_is_unreachable(clock: Clock) -> None:
    """It is started again within seconds; a run in progress does not need it until then. The change is found afterwards."""
    server = Server()
    blocks = BlockCache(server.load, server.open)
    opened(blocks)
    clock.now += FRESH_S
    server.is_away, server.blocks["outbound"] = True, "second"

    assert opened(blocks) == "opened first"

    server.is_away = False
    clock.now += FRESH_S
    assert opened(blocks) == "opened second"


def test_a_block_that_leads_outside_or_is_gone_is_never_used_again(clock: Clock) -> None:
    """Not even within the ten seconds of the cache."""
    server = Server()
    blocks = BlockCache(server.load, server.open)
    opened(blocks)
    clock.now += FRESH_S
    server.blocks["outbound"] = "outside"
    for _ in range(2):
        with pytest.raises(PermissionError):
            opened(blocks)

    del server.blocks["outbound"]
    for _ in range(2):
        with pytest.raises(ValueError, match="no such block"):
            opened(blocks)

    server.blocks["outbound"] = "first"
    assert opened(blocks) == "opened first"


def test_after_a_failure_the_block_is_checked_at_once(clock: Clock) -> None:
    """An operator who repairs it must not wait."""
    server = Server()
    blocks = BlockCache(server.load, server.open)
    opened(blocks)
    server.blocks["outbound"] = "mended"

    blocks.suspect("outbound")

    assert opened(blocks) == "opened mended"
    blocks.forget("outbound")
    assert opened(blocks) == "opened mended"
    assert server.opened == ["first", "mended", "mended"]
