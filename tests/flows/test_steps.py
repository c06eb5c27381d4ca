"""The retry policy of the tasks, and what their errors may reveal."""

import asyncio

import pytest
from prefect.states import Failed

from mailroom.domain.errors import PermanentError, Quarantined, Reason, Throttled, TransientError
from tasks.support.steps import blocking, is_transient


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (TransientError("away"), True),
        (Throttled("slower"), True),
        (PermanentError("never"), False),
        (Quarantined(Reason.VIRUS), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_what_may_pass_is_retried(error: Exception, again: bool) -> None:
    """The engine asks from inside a running event loop, where parts of Prefect answer with coroutines."""

    async def ask() -> bool:
        return is_transient(None, None, Failed(data=error))

    assert asyncio.run(ask()) is again


def test_an_unforeseen_error_loses_its_text_and_keeps_its_place() -> None:
    """Prefect stores the text of exceptions, and that of a bug may quote the mail."""

    def buggy() -> None:
        raise KeyError("a subject line")

    with pytest.raises(PermanentError) as caught:
        asyncio.run(blocking(buggy))

    assert "subject" not in str(caught.value)
    assert caught.value.facts["kind"] == "KeyError"
    assert caught.value.facts["where"].startswith("test_steps.py:")
