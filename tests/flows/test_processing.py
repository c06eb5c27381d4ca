"""Processors in a run: each step is a task by its name, done once; a failure does not fail the mail."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from prefect import flow, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from sqlalchemy import Engine

from flows.support import processing
from flows.support.processing import process_again, process_filed
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.domain.errors import Refused
from mailroom.domain.inbound.routing import Route
from mailroom.domain.parsing import ParsedEmail
from mailroom.inbound.processing import FiledMail, Step
from tests.support.filed_mail import Filed

MAIL = FiledMail("e-1", "acme", "stamp", (Route("a@x.test", "acme", "a", "exact"),), ("i-1",), ParsedEmail(), b"", {})


@pytest.fixture
def filed(engine: Engine) -> Filed:
    return Filed(engine)


def ends(filed: Filed) -> list[tuple[str, str, dict[str, Any]]]:
    """Return how processors ended, from the mail's history."""
    activities = filed.ledger.trace(filed.entry.id)["activities"]
    output = [dict(one["facts"]) for one in activities if one["kind"] == "processed"]
    return [(one.pop("processor"), one.pop("outcome"), one) for one in output]


def run_with(filed: Filed, steps: tuple[Step, ...] | None, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Run the processor in a flow run, and return its tasks with their states."""
    known = {} if steps is None else {"stamp": steps}
    monkeypatch.setattr(processing, "known_processors", lambda: known)
    mail = replace(MAIL, email_id=filed.entry.id)

    @flow(name="receive", persist_result=False)
    async def receive() -> str:
        await process_filed(mail, filed.inbound)
        return str(flow_run.get_id())

    async def run() -> list[tuple[str, str]]:
        run_id = await receive()
        async with get_client() as client:
            for _ in range(600):
                mine = FlowRunFilter(id=FlowRunFilterId(any_=[run_id]))
                tasks = await client.read_task_runs(flow_run_filter=mine)
                output = sorted((task.name.rpartition("-")[0], task.state_name or "") for task in tasks)
                if len(output) == len(steps or ()) and all(state in ("Completed", "Failed") for _, state in output):
                    return output
                await asyncio.sleep(0.1)
        return output

    return asyncio.run(run())


def refuses(mail: FiledMail, inbound: Any) -> None:
    raise Refused("not accepted", status=404)


def test_steps_are_tasks_of_the_run_and_done_once(server: None, filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The UI shows them by name; a run that comes again leaves out what ended well."""
    steps = (Step("read", lambda mail, inbound: {"pages": 2}), Step("tell", lambda mail, inbound: None))

    first = run_with(filed, steps, monkeypatch)
    run_with(filed, (), monkeypatch)

    assert first == [("stamp: read", "Completed"), ("stamp: tell", "Completed")]
    assert ends(filed) == [("stamp/acme", "done", {"pages": 2})]


def test_failure_is_noted_and_the_run_goes_on(server: None, filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant's broken endpoint must neither fail its mail nor bring it back for ever."""
    output = run_with(filed, (Step("post", refuses),), monkeypatch)

    assert output == [("stamp: post", "Failed")]
    assert ends(filed) == [("stamp/acme", "failed", {"reason": "refused", "status": 404})]


def test_processor_that_was_uninstalled_is_noted(server: None, filed: Filed, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address may still name it; its mail is filed, and the history says what is missing."""
    run_with(filed, None, monkeypatch)

    assert ends(filed) == [("stamp/acme", "failed", {"reason": "not_installed"})]


def test_a_run_of_a_filed_mail_does_what_failed_once_more_and_files_nothing(
    server: None, filed: Filed, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry and `mailroom replay`: once the endpoint works, it is notified once, and not again after that."""
    processings = SqlProcessings(engine)
    answers: list[Exception | None] = [Refused("not accepted", status=404), None]
    output: list[tuple[str, tuple[str, ...]]] = []

    def notify(mail: FiledMail, inbound: Any) -> None:
        output.append((mail.key, mail.items))
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr(processing, "known_processors", lambda: {"webhook": (Step("notify", notify),)})
    processings.end(filed.entry.id, "webhook/other", "failed", now=filed.entry.envelope.received_at)

    @flow(name="receive", persist_result=False)
    async def receive() -> State:
        return await process_again(filed.entry, filed.inbound)

    async def run() -> list[tuple[str | None, str | None]]:
        states = [await receive(return_state=True) for _ in range(3)]
        return [(state.name, state.message) for state in states]

    states = asyncio.run(run())

    assert states == [
        ("Failed", "filed already; failed again: webhook/other"),
        ("Completed", "filed already; done now: webhook/other"),
        ("Completed", "filed already"),
    ]
    assert output == [("webhook/other", (filed.items[1],))] * 2
    assert len(filed.ledger.trace(filed.entry.id)["items"]) == 3
