"""Values that are kept for a while, and the clients' settings that are written once."""

import re
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mailroom.adapters.aws.clients import client, client_settings
from mailroom.adapters.providers.ses import once
from mailroom.domain.errors import TransientError
from mailroom.operations.fresh import Fresh

ROOT = Path(__file__).parents[2]


class Source:
    """Counts its calls, and raises while it is down."""

    def __init__(self) -> None:
        self.asked, self.is_away = 0, False

    def __call__(self) -> int:
        self.asked += 1
        if self.is_away:
            raise TransientError("away")
        return self.asked


def test_value_is_kept_until_it_is_too_old() -> None:
    """A provider answers one quota request a second for the whole account."""
    source, now = Source(), [100.0]
    value = Fresh(source, 60, clock=lambda: now[0])

    first = [value.get(), value.get()]
    now[0] += 60

    assert first == [1, 1]
    assert value.get() == 2


def test_failure_is_not_kept() -> None:
    """After a failure the next call asks again at once; a known value stays valid until it is too old."""
    source, now = Source(), [100.0]
    value = Fresh(source, 60, clock=lambda: now[0])
    value.get()
    source.is_away = True

    assert value.get() == 1
    now[0] += 60
    for _ in range(2):
        with pytest.raises(TransientError):
            value.get()
    source.is_away = False

    assert value.get() == 4


def test_forgotten_value_is_asked_for_again() -> None:
    source = Source()
    value = Fresh(source, 60)
    value.get()

    value.forget()

    assert value.get() == 2


def test_many_threads_ask_once() -> None:
    """A page of many readers must not ask a slow server once for each of them."""
    source = Source()

    def slow() -> int:
        time.sleep(0.05)
        return source()

    value, found = Fresh(slow, 60), list[int]()
    threads = [threading.Thread(target=lambda: found.append(value.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert found == [1] * 8


def config_of(made: Any) -> dict[str, Any]:
    config = made.meta.config
    return {name: getattr(config, name) for name in client_settings()}


def test_every_client_has_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a client waits a minute for a connection, and gives up after five such tries."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")

    made = config_of(client("sqs", region="eu-west-3"))

    assert made["connect_timeout"] == 5
    assert made["read_timeout"] == 60
    assert made["max_pool_connections"] == 50
    assert made["retries"] == {"mode": "standard", "total_max_attempts": 3}


def test_client_that_sends_differs_in_its_tries_alone() -> None:
    """A second try would be a second mail."""
    expected = client_settings() | {"retries": {"mode": "standard", "total_max_attempts": 1}}

    assert once() == expected
    assert once(timeout_s=1)["connect_timeout"] == 1


def test_settings_of_clients_are_written_in_one_place() -> None:
    """Blocks, adapters and deployments go through the one function; the sandbox's stand-ins play AWS itself."""
    written = re.compile(r"[\"']?(total_max_attempts|max_pool_connections|read_timeout)[\"']?\s*[:=][^=]")
    places = {
        file.relative_to(ROOT).as_posix()
        for folder in ("mailroom", "flows", "tasks", "blocks", "deployments")
        for file in (ROOT / folder).rglob("*.py")
        if "mailroom/sandbox/stand_ins/" not in file.as_posix() and written.search(file.read_text())
    }

    assert places == {"mailroom/adapters/aws/clients.py"}
