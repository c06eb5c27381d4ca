"""One whole embedded stack for all end-to-end tests, in a folder of its own, a browser, and a supervisor of small parts."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from mailroom.sandbox.stack.leftovers import end_leftovers
from mailroom.sandbox.stack.ports import choose_apart
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack
from tests.support.stack_logs import EXPECTED, unexpected
from tests.support.supervisor_process import Supervised

#: A page on a busy machine may take longer than Playwright's default of five seconds.
expect.set_options(timeout=int(PATIENCE_S * 1_000))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole embedded stack."""
    running = Stack(tmp_path_factory.mktemp("stack"))
    choose_apart(running.folder / "ports.json")
    began = time.monotonic()
    running.mailroom("up", "--detach")
    running.started_s = time.monotonic() - began
    try:
        running.facts = running.json("status")
        yield running
    finally:
        running.mailroom("down")
        found = unexpected(running.folder / "logs", EXPECTED, running.declared)
        running.mailroom("down", "--wipe")
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium, headless. Playwright keeps an event loop running meanwhile, so not for the whole session."""
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    assert found, "the browser tests need chromium: apt-get install -y chromium"
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found, args=flags)
        started.on("context", lambda context: context.set_default_timeout(PATIENCE_S * 1_000))
        yield started
        started.close()


@pytest.fixture
def supervised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervised]:
    """A supervisor that can be started, in the data folder that the commands of this process use too."""
    made = Supervised(tmp_path / "data")
    monkeypatch.setenv("MAILROOM_DATA", str(made.folder.path))
    yield made
    if made.process and made.process.poll() is None:
        made.process.terminate()
        made.process.communicate(timeout=PATIENCE_S)
    end_leftovers(made.folder)
