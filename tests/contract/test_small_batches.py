"""A small batch while a large one of the same tenant is prepared."""

import threading
from concurrent.futures import ThreadPoolExecutor, TimeoutError

import pytest

from mailroom.api.slots import SMALL_BYTES
from mailroom.testing.api import TestClient
from tests.support.batch_requests import batch, message


def test_a_small_batch_does_not_wait_for_a_large_one_of_its_own_tenant(api: TestClient) -> None:
    """Preparing 100,000 messages takes ten seconds and more: a password reset must not wait so long."""
    services = api.app.state.services  # type: ignore[attr-defined]
    finished, begun = threading.Event(), threading.Event()

    def prepare() -> None:
        begun.set()
        finished.wait(30)

    with ThreadPoolExecutor(2) as threads, api:
        assert api.portal is not None
        held = threads.submit(api.portal.call, services.slots.run, "acme", prepare)
        assert begun.wait(10)
        large = threads.submit(api.post, "/v1/batches", json=batch(message(text="x" * SMALL_BYTES)))
        small = api.post("/v1/batches", json=batch())
        with pytest.raises(TimeoutError):
            large.result(timeout=0.5)
        finished.set()

        assert (small.status_code, large.result(timeout=30).status_code) == (202, 202)
        held.result(timeout=30)
