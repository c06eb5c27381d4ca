"""What a new provider comes to when its files are there: copied beside the tests of a copy of the checkout, and run there."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mailroom.adapters.providers.toy import Toy
from mailroom.sandbox.stand_ins.toy import ToyStandIn
from pydantic import SecretStr
from sqlalchemy import Engine
from typer.testing import CliRunner

import blocks
import mailroom
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.adapters.providers.catalogue import table
from mailroom.api.app import create_app
from mailroom.api.hooks.hook_receiver import HookReceiver
from mailroom.cli import providers
from mailroom.delivery.provider_events.registered import verifiers
from mailroom.delivery.tracking import Tracking
from mailroom.domain.operations.regions import Allowed
from mailroom.domain.outbound.message import Lane, Status
from mailroom.outbound.dispatching import Sender
from mailroom.sandbox.stand_ins.vendors import serving
from mailroom.settings import Settings, allowed_regions
from mailroom.testing.api import Memory, TestClient
from mailroom.testing.queue import MemoryQueue
from tests.support.sending import office_on


@pytest.fixture
def database_url() -> str:
    """The database of the test that made this copy."""
    return os.environ["TOY_DATABASE_URL"]


def test_a_batch_goes_out_and_its_events_change_its_statuses(engine: Engine) -> None:
    """Through the outbox and the stand-in, and back through the provider's own hook."""
    now = datetime.now(UTC)
    vendor = ToyStandIn()
    with serving(vendor) as url, office_on(engine, provider=Toy(token="t", url=url)) as office:
        batch_id = office.batch(2, now=now)
        Sender(batch_id, Lane.BULK, office.outbound, clock=lambda: now).send_some(100)
        assert office.statuses() == [Status.DISPATCHED] * 2
        hooks = SqlHooks(engine)
        given = Settings.model_construct(provider_hooks=SecretStr("toy/word")).hook_credentials()
        hook_receiver = HookReceiver(hooks=hooks, topics=None, ses=None, verifiers=verifiers(given))  # type: ignore[arg-type]
        client = TestClient(
            create_app(replace(Memory().services(), hook_receiver=hook_receiver)), base_url="http://mail.example"
        )
        calls = [
            {"event": f"e-{number}", "what": what, "at": now.isoformat(), "id": f"toy-{number}"}
            for number, what in ((1, "arrived"), (2, "returned"))
        ]

        answers = [
            client.post("/hooks/toy", content=json.dumps(call), headers={"X-Toy-Password": word}).status_code
            for call, word in [(calls[0], "wrong"), (calls[0], "word"), (calls[1], "word")]
        ]
        Tracking(SqlEvents(engine), hooks, MemoryQueue(), clock=lambda: datetime.now(UTC)).once()

        assert answers == [401, 204, 204]
        assert sorted(office.statuses()) == [Status.BOUNCED, Status.DELIVERED]


def test_it_is_listed_and_its_block_is_found() -> None:
    """By the command, by Prefect, and by the rule of where data may be."""
    assert mailroom.__file__.startswith(os.environ["TOY_CHECKOUT"])
    operations = (Path(mailroom.__file__).parents[1] / "docs" / "operations.md").read_text()
    assert table() in operations
    assert "`mailroom-provider-toy` (`token`)" in operations.partition("\n## Secrets at rest\n")[2]
    assert "| toy | 1 | 1,000,000 |" in CliRunner().invoke(providers.app, []).output
    assert "ToyProvider" in blocks.__all__
    assert blocks.ToyProvider(token="t").open().name == "toy"  # type: ignore[attr-defined]
    assert allowed_regions().judge_endpoint("provider", "https://api.toy.example").fault == ""
    assert Allowed.read("eu-west-1").judge_endpoint("provider", "https://api.toy.example").fault
