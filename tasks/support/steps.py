"""Tasks that call blocking code: in a thread, under one retry policy, with no content of mails in logs or states."""

from asyncio import to_thread
from collections.abc import Callable, Coroutine
from traceback import extract_tb
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.task_engine import run_task_async
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import quote
from prefect.utilities.callables import get_call_parameters

from mailroom.domain.errors import MailroomError, PermanentError, TransientError

P = ParamSpec("P")
R = TypeVar("R")


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Retry only what the domain calls transient; anything unforeseen fails loudly.

    The engine puts the exception itself into the state. `state.result()` would be a coroutine here: it dispatches on
    the running event loop.
    """
    return isinstance(state.data, TransientError)


#: Delays of 1, 2, 4 and 8 s with up to half as much jitter. Failures that last longer go back to the queue.
#: Steps pass content to each other, so no result is cached or stored: a rerun fetches again.
TRANSIENT: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "cache_result_in_memory": False,
}


class Step(Task[P, R]):
    """A task with fewer requests to the server: its first event is Running, without Pending before it.

    Prefect searches a task's arguments for other tasks' results; steps get plain values, so the search is skipped.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the step in the current flow run."""
        return self._run(get_call_parameters(self.fn, args, kwargs))

    async def _run(self, parameters: dict[str, Any]) -> Any:
        run = await self.create_local_run()
        values = {name: quote(value) for name, value in parameters.items()}
        return await run_task_async(self, task_run=run, parameters=values)


def step(name: str) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Decorate an async function as a step of a run: retried as `TRANSIENT` says, its result not stored."""

    def made(fn: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        return Step(fn, name=name, **TRANSIENT)

    return made


async def blocking(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what `call` returns, from a thread.

    Prefect logs and stores the text of exceptions. Those of Mailroom's tree carry ids and codes; the text of any other
    may quote the mail, so only its type and place are reported.

    Raises:
        MailroomError: as the call raised it.
        PermanentError: for anything unforeseen.
    """
    try:
        return await to_thread(call, *args, **kwargs)
    except MailroomError:
        raise
    except Exception as error:  # noqa: BLE001 - raised again, without its text
        last = extract_tb(error.__traceback__)[-1]
        where = f"{last.filename.rsplit('/', 1)[-1]}:{last.lineno}"
        raise PermanentError("unexpected error", kind=type(error).__name__, where=where) from None
