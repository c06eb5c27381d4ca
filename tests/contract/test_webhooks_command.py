"""`mailroom webhooks` on PostgreSQL: the life cycle of one webhook from the command line."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.cli.webhooks import app
from mailroom.domain.delivery.events import Kind
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import Settings
from tests.support.tenant_endpoints import URL, Desk, Receiver


@pytest.fixture(autouse=True)
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def run(*words: str) -> Any:
    return json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)


def test_webhook_is_added_watched_replayed_and_removed(engine: Engine) -> None:
    """What an operator does when a customer says that no event came."""
    desk = Desk(engine)
    added = run("add", "acme", URL, "--event", "delivered")
    desk.now = datetime.now(UTC) - timedelta(hours=1)
    desk.report(desk.send()[0], Kind.DELIVERED)
    assert [(one["url"], one["waiting"]) for one in run("list")] == [(URL, 1)]
    desk.now += timedelta(hours=2)
    desk.notify(Receiver(204))
    assert [(one["status"], one["news"]) for one in run("log", added["id"])] == [(204, 1)]

    assert run("replay", added["id"], "--since", "1d") == {"events": 1}
    assert run("enable", added["id"]) == {"enabled": added["id"], "waiting": 1}
    assert "secret" not in run("list")[0]
    assert run("remove", added["id"]) == {"removed": added["id"]}

    assert run("list") == []


@pytest.mark.parametrize(
    "words",
    [("add", "acme", "http://acme.test"), ("add", "acme", URL, "--event", "x"), ("add", "A b", URL), ("log", "x"),
     ("replay", "x", "--since", "1h"), ("remove", "x"), ("enable", "x")],
)  # fmt: skip
def test_an_impossible_request_is_one_line(words: tuple[str, ...]) -> None:
    """Each command fails before it changes anything."""
    with pytest.raises(ConfigurationError):
        run(*words)
