"""What a foreign page in the operator's browser gets from the stack's Prefect server."""

import json
from contextlib import AbstractContextManager

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack


def post(stack: Stack, headers: dict[str, str]) -> int:
    """Send what a page may send without a preflight: a POST of plain text."""
    url = f"{stack['prefect_api_url']}/flow_runs/filter"
    return httpx.post(
        url, content="{}", headers={"Content-Type": "text/plain"} | headers, timeout=PATIENCE_S
    ).status_code


def get(stack: Stack, headers: dict[str, str]) -> int:
    return httpx.get(
        f"{stack['prefect_api_url']}/variables/name/system-health", headers=headers, timeout=PATIENCE_S
    ).status_code


def listen(stack: Stack, origin: str | None) -> AbstractContextManager[ClientConnection]:
    """Open the WebSocket that streams all events."""
    url = f"{stack['prefect_api_url'].replace('http', 'ws', 1)}/events/out"
    return connect(url, origin=Origin(origin) if origin else None, subprotocols=[Subprotocol("prefect")])


def test_every_request_of_a_foreign_page_is_refused(stack: Stack) -> None:
    """On a laptop the server has no password. Our own inbox pages, which show strangers' mail, are foreign to it too."""
    for origin in ("https://evil.test", "null", stack["api_url"]):
        foreign = {"Origin": origin}

        assert get(stack, foreign) == 403
        assert post(stack, foreign) == 403
        with pytest.raises(InvalidStatus) as refused, listen(stack, origin):
            pass
        assert refused.value.response.status_code == 403


def test_foreign_name_for_this_machine_is_refused(stack: Stack) -> None:
    """A DNS name that points at loopback gives a foreign page the same origin, and so the answers (DNS rebinding)."""
    port = stack["prefect_url"].rpartition(":")[2]
    rebound = {"Host": f"evil.test:{port}"}

    assert get(stack, rebound) == 403
    assert post(stack, rebound | {"Origin": f"http://evil.test:{port}"}) == 403


def test_programs_and_own_pages_are_served(stack: Stack) -> None:
    """Under both names of this machine; the page loads from one and may call the other."""
    port = stack["prefect_url"].rpartition(":")[2]
    for origin in (None, stack["prefect_url"], f"http://localhost:{port}"):
        own = {"Origin": origin} if origin else {}

        answered = httpx.get(f"{stack['prefect_api_url']}/health", headers=own, timeout=PATIENCE_S)
        with listen(stack, origin) as events:
            events.send(json.dumps({"type": "auth", "token": None}))
            greeting = json.loads(events.recv(timeout=PATIENCE_S))

        assert answered.status_code == 200
        assert answered.headers.get("access-control-allow-origin") == origin
        assert post(stack, own) != 403
        assert greeting == {"type": "auth_success"}
