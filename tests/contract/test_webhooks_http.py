"""Posting to tenants' URLs: never to private addresses. The answers of an endpoint are in `test_processors`."""

import socket
import threading
import time
from contextlib import suppress

import pytest

from mailroom.adapters.http import HttpWebhooks
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import Refused, TransientError


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://localhost/", "https://10.0.0.1/", "https://192.168.1.1:8443/", "https://[::1]/",
        "https://169.254.169.254/latest/meta-data/", "https://[::ffff:10.0.0.1]/", "https://[fd00::1]/", "https://0.0.0.0/",
        "https://[64:ff9b::a00:1]/", "https://100.64.0.1/", "https://224.0.0.1/", "https://2130706433/", "https://0x7f.1/",
        "https://[fe80::1]/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(url: str) -> None:
    """A tenant's URL must not make us connect to the private network, in any spelling of the address."""
    with pytest.raises(Refused) as caught:
        HttpWebhooks().post(url, b"{}", {})

    assert caught.value.facts["step"] == "private_address"


@pytest.mark.parametrize(
    ("url", "step"),
    [("http://example.test/", "not_https"), ("ftp://example.test/", "url"), ("https://", "url"),
     ("https://user:pw@example.test/", "url"), ("https://x:99999/", "url"), ("file:///etc/passwd", "url")],
)  # fmt: skip
def test_url_of_another_kind_is_refused(url: str, step: str) -> None:
    """Only https, without a password that would end in a log."""
    with pytest.raises(Refused) as caught:
        HttpWebhooks().post(url, b"{}", {})

    assert caught.value.facts["step"] == step


def test_endpoint_that_sends_for_ever_is_cut_off() -> None:
    """A byte now and then resets every read timeout, and would hold a thread for ever."""
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while True:
                connection.sendall(b"a")
                time.sleep(0.01)
        ended.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()

        with pytest.raises(TransientError):
            HttpWebhooks(WebhookTargets(anywhere=True), longest_s=0.3).post(
                f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {}
            )

        assert ended.wait(60)
