"""One flow run alone in this process, limited in memory and time: `python -m deployments.worker.isolated RUN_ID PARENT_PID`.

The worker starts it for an e-mail that a process has died of (see `deployments/worker/lanes.py`). What it dies of is told by
its exit code: a signal (the CPU limit sends SIGXCPU), or `OUT_OF_MEMORY`. Any other code says nothing about the mail.
"""

import asyncio
import ctypes
import math
import os
import resource
import signal
import sys
import time
from typing import cast
from uuid import UUID

from prefect.client.schemas.objects import State as RunState

from deployments.worker.client import RunClient, run_client_context
from deployments.worker.executor import WarmExecutor
from mailroom import wiring
from mailroom.domain.errors import MailroomError
from mailroom.operations.logs import log_to_stderr

#: A mail of 40 MB needs a quarter of this and 10 s of CPU at most; the address space of Prefect's threads the rest.
MEMORY_BYTES = 2 * 1024**3
CPU_S = 60
WALL_S = 180.0

OUT_OF_MEMORY = 70

_PR_SET_PDEATHSIG = 1


def limit(parent: int, *, memory_bytes: int = MEMORY_BYTES, cpu_s: int = CPU_S) -> None:
    """Limit this process, and have it end with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the worker that started this process has exited")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # From now on; importing Prefect took seconds already. At the soft limit comes SIGXCPU, which tells why it died; the
    # hard one stays, for the parser's own process sets a limit of its own and may not raise what it inherits.
    last_s = math.ceil(time.process_time()) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (last_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


async def execute(run_id: UUID) -> RunState | None:
    """Run it to its end, as the warm worker does."""
    async with run_client_context() as context:
        client = cast(RunClient, context.client)
        return await WarmExecutor(client, limit=1).execute(await client.read_flow_run(run_id))


async def _ran_out_of_memory(state: RunState | None) -> bool:
    """Return whether the run failed by the limit: `tasks.support.steps.blocking` tells an unforeseen fault by its kind."""
    error = await state.aresult(raise_on_failure=False) if state is not None and state.is_failed() else None
    return isinstance(error, MailroomError) and error.facts.get("kind") == MemoryError.__name__


async def _main(run_id: UUID) -> int:
    try:
        return OUT_OF_MEMORY if await _ran_out_of_memory(await execute(run_id)) else 0
    except MemoryError:
        return OUT_OF_MEMORY


def main() -> None:
    """Run the flow run that the command line names, and end at once."""
    log_to_stderr()
    wiring.keep_to(wiring.CHILD)
    limit(int(sys.argv[2]))
    os._exit(asyncio.run(_main(UUID(sys.argv[1]))))


if __name__ == "__main__":
    main()
