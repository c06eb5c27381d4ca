"""One flow run alone in this process, limited in memory and time: `python -m deployments.worker.isolated RUN_ID PARENT_PID`.

The worker starts it for an e-mail that killed a process (see `deployments/worker/lanes.py`). The exit code is the cause of
death: a signal (the CPU limit sends SIGXCPU), or `OUT_OF_MEMORY`. Any other code says nothing about the mail.
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

#: A mail of 40 MB needs at most a quarter of this and 10 s of CPU; the address space of Prefect's threads needs the rest.
MEMORY_BYTES = 2 * 1024**3
CPU_S = 60
WALL_S = 180.0

OUT_OF_MEMORY = 70

_PR_SET_PDEATHSIG = 1


def limit(parent: int, *, memory_bytes: int = MEMORY_BYTES, cpu_s: int = CPU_S) -> None:
    """Limit this process, and end it with its parent."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the worker that started this process has exited")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Added to the CPU time used so far: importing Prefect took seconds. The soft limit sends SIGXCPU, which names the
    # cause; the hard limit stays, for the parser's process sets its own limit and cannot raise an inherited one.
    last_s = math.ceil(time.process_time()) + cpu_s
    resource.setrlimit(resource.RLIMIT_CPU, (last_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


async def execute(run_id: UUID) -> RunState | None:
    """Run it to its end, as the warm worker does."""
    async with run_client_context() as context:
        client = cast(RunClient, context.client)
        return await WarmExecutor(client, limit=1).execute(await client.read_flow_run(run_id))


async def _ran_out_of_memory(state: RunState | None) -> bool:
    """Return whether the run failed by the memory limit: `tasks.support.steps.blocking` names the type of unforeseen errors."""
    error = await state.aresult(raise_on_failure=False) if state is not None and state.is_failed() else None
    return isinstance(error, MailroomError) and error.facts.get("kind") == MemoryError.__name__


async def _main(run_id: UUID) -> int:
    try:
        return OUT_OF_MEMORY if await _ran_out_of_memory(await execute(run_id)) else 0
    except MemoryError:
        return OUT_OF_MEMORY


def main() -> None:
    """Run the flow run named on the command line, and exit at once."""
    log_to_stderr()
    wiring.keep_to(wiring.CHILD)
    limit(int(sys.argv[2]))
    os._exit(asyncio.run(_main(UUID(sys.argv[1]))))


if __name__ == "__main__":
    main()
