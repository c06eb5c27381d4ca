"""How a task calls the blocking product: in a thread, under one retry policy, and never telling what a mail says."""

from asyncio import to_thread
from collections.abc import Callable
from traceback import extract_tb
from typing import Any, ParamSpec, TypeVar

from prefect.cache_policies import NO_CACHE
from prefect.tasks import exponential_backoff

from mailroom.domain.errors import MailroomError, PermanentError, TransientError

P = ParamSpec("P")
R = TypeVar("R")


def is_transient(_task: Any, _run: Any, state: Any) -> bool:
    """Retry only what the domain calls transient; anything unforeseen fails loudly.

    The engine puts the exception itself into the state. `state.result()` would be a coroutine here: it dispatches on
    the running event loop.
    """
    return isinstance(state.data, TransientError)


#: 1, 2, 4 and 8 s with up to half as much on top. What outlives that goes back to the queue, which waits longer.
#: Steps hand content to each other, so no result is cached or kept: a rerun fetches again.
TRANSIENT: dict[str, Any] = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(backoff_factor=1),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "cache_policy": NO_CACHE,
    "persist_result": False,
    "cache_result_in_memory": False,
}


async def blocking(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what `call` returns, from a thread.

    Prefect logs and stores the text of exceptions. Those of Mailroom's tree carry ids and codes; the text of any other
    may quote the mail, so only its type and place are told.

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
        raise PermanentError("unforeseen fault", kind=type(error).__name__, where=where) from None
