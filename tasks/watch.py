"""The checks of the watch."""

from collections.abc import Callable, Mapping, Sequence, Sized
from datetime import datetime

from mailroom.ports.holds import HeldCount, HoldReason
from mailroom.ports.monitoring import Monitoring, Skipped
from tasks.support.steps import blocking, step


@step("count dead letters")
async def count_dead(queues: Mapping[str, Sized]) -> dict[str, int]:
    """Return the number of dead letters by queue, without queues that have none."""
    counts = {name: await blocking(len, letters) for name, letters in queues.items()}
    return {name: count for name, count in counts.items() if count}


@step("find the oldest")
async def oldest(watch: Monitoring, now: datetime) -> Mapping[str, datetime]:
    """Return the time since which the oldest entry waits, by side."""
    return await blocking(watch.waiting_since, now=now)


@step("count what is held")
async def count_held(watch: Monitoring) -> Mapping[HoldReason, HeldCount]:
    """Return how many batches and messages are held, by reason."""
    return await blocking(watch.held)


@step("ask the ledger")
async def leased_runs(watch: Monitoring, runs: Mapping[str, str], since: datetime) -> set[str]:
    """Return those of these runs whose e-mail has had a heartbeat since `since`."""
    return await blocking(watch.leased, runs, since=since)


@step("find seals behind")
async def seals_behind(seals: Callable[[], Mapping[str, datetime]]) -> Mapping[str, datetime]:
    """Return since when the oldest entry or seal waits, by what it waits for."""
    return await blocking(seals)


@step("find rows stepped over")
async def stepped_over(watch: Monitoring) -> Sequence[Skipped]:
    """Return the rows that loops skip at present."""
    return await blocking(watch.skipped)
