"""The HTTP service's JSON log: every line on its stderr is one JSON object, also lines of libraries."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailroom.sandbox.stack.aws import Names, provision
from mailroom.settings import Settings
from tests.support.loopback_ports import free_port

#: The service with a route and a thread that raise unexpected errors, and a Python warning.
FAULTY = """
import sys, threading, warnings
from mailroom.api import serve

made = serve.create_app

def create_app(*given):
    app = made(*given)

    @app.get("/fails")
    def fails():
        warnings.warn("something is old", stacklevel=1)
        thread = threading.Thread(target=lambda: {}["of Ada's"])
        thread.start()
        thread.join()
        raise ValueError("the subject of Ada's mail")

    return app

serve.create_app = create_app
sys.exit(serve.main())
"""


@pytest.fixture(scope="module")
def resources(aws: str) -> dict[str, str]:
    """Buckets, queues and keys in the emulator."""
    return provision(Names(stem="apilog"))


@pytest.fixture
def installation(resources: dict[str, str], database_url: str) -> Settings:
    elsewhere = dict.fromkeys(("prefect_api_url", "prefect_url", "api_url"), "http://127.0.0.1:9/api")
    return Settings(**(resources | elsewhere), database_url=database_url)


def start(installation: Settings, log: Path, *arguments: str, **environment: str) -> subprocess.Popen[bytes]:
    own = os.environ | installation.environment() | environment
    with log.open("wb") as to:
        return subprocess.Popen([sys.executable, "-c", FAULTY, *arguments], env=own, stdout=to, stderr=to)


def answered(url: str, process: subprocess.Popen[bytes], log: Path) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.get(url, timeout=30)
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_every_line_of_the_service_is_an_object(installation: Settings, tmp_path: Path) -> None:
    """Its own lines, uvicorn's, tracebacks of a request and of a thread, Python's warnings; no content of mail."""
    log, port = tmp_path / "log", free_port()
    process = start(installation, log, "--port", str(port), MAILROOM_LOG="json")
    try:
        answer = answered(f"http://127.0.0.1:{port}/fails", process, log)
    finally:
        process.terminate()
        process.wait(timeout=30)

    output = lines_of(log)
    assert answer.status_code == 500
    assert all({"at", "level", "logger", "event", "facts", "message"} <= set(one) for one in output)
    assert "uvicorn.error" in {one["logger"] for one in output}
    assert f"listening on http://127.0.0.1:{port}, for everything" in [one["message"] for one in output]
    [of_request] = [one for one in output if one["logger"] == "mailroom.api.guard"]
    assert (of_request["level"], of_request["facts"][1]) == ("error", "ValueError")
    assert "in fails" in of_request["message"]
    [of_thread] = [one for one in output if "exception" in one]
    assert (of_thread["level"], of_thread["exception"]) == ("critical", "KeyError")
    assert of_thread["places"][-1].endswith("in <lambda>")
    assert any(one["logger"] == "py.warnings" for one in output)
    assert "Ada" not in log.read_text()


def test_a_refusal_to_start_is_an_object_as_well(installation: Settings, tmp_path: Path) -> None:
    """A log collector that parses JSON must find the line that says why the service did not start."""
    log = tmp_path / "log"
    unsafe = installation.model_copy(update={"prefect_api_url": "http://prefect.internal:4200/api"})

    code = start(unsafe, log, "--host", "0.0.0.0", MAILROOM_LOG="JSON").wait(timeout=60)

    [output] = lines_of(log)
    assert code == 2
    assert output["message"].startswith("mailroom api: ")
    assert "PREFECT_API_AUTH_STRING" in output["message"]


def test_without_the_setting_lines_are_for_people(installation: Settings, tmp_path: Path) -> None:
    log, port = tmp_path / "log", free_port()
    process = start(installation, log, "--port", str(port))
    try:
        answered(f"http://127.0.0.1:{port}/healthz", process, log)
    finally:
        process.terminate()
        process.wait(timeout=30)

    assert f" INFO mailroom.api.listening listening on http://127.0.0.1:{port}, for everything\n" in log.read_text()
    assert " INFO uvicorn.error " in log.read_text()
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
        lines_of(log)
