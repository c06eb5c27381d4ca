"""The unsubscribe page without a database, for a browser; `python -m tests.support.unsubscribe_page FILE` makes a picture of it."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from pydantic import SecretStr

from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices
from mailroom.domain.delivery.streams import UnsubscribePolicy
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.domain.outbound.message import Batch, Party
from mailroom.testing.api import Memory
from mailroom.testing.events import MemoryEvents
from mailroom.testing.unsubscribing import MemoryUnsubscribing
from tests.support.http_server import serving

KEY, MESSAGE = "k" * 32, "0190a1b2-0000-7000-8000-00000000000a"
TEXT = "You get this letter because you ordered from us.\nWrite to care@acme.test if it was not you."
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]


def offering(policy: UnsubscribePolicy | None = None, stream: str = "weekly-news") -> MemoryUnsubscribing:
    """Return one message of a stream, and its tenant's policy."""
    batch = Batch(id="b", tenant="acme", from_=Party("news@acme.test", "Acme Garden Shop"), stream=stream)
    unsubscribing = MemoryUnsubscribing({MESSAGE: batch})
    unsubscribing.set_policy("acme", policy or UnsubscribePolicy(text=TEXT))
    return unsubscribing


@contextmanager
def page(unsubscribing: MemoryUnsubscribing | None = None) -> Iterator[tuple[str, MemoryEvents]]:
    """Yield the page's URL, and the events that its button records."""
    events, services = MemoryEvents(), Memory().services()
    settings = services.settings.model_copy(update={"unsubscribe_key": SecretStr(KEY)})
    nothing: Any = cast(Any, None)
    sending = OutboundServices(*[nothing] * 7, unsubscribing=unsubscribing or offering())
    with serving(create_app(replace(services, settings=settings, events=events, sending=sending))) as url:
        yield f"{url}/u/{sign(MESSAGE, key=KEY.encode())}", events


def picture(file: str) -> None:
    """Save the page as a desktop and, beside it in dark colours and German, as a phone shows it."""
    from playwright.sync_api import sync_playwright

    with page() as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name, options in {
            file: {"viewport": {"width": 900, "height": 640}, "locale": "en-GB"},
            file.replace(".png", "-phone.png"): {
                "viewport": {"width": 360, "height": 760}, "locale": "de-DE", "color_scheme": "dark"
            },
        }.items():  # fmt: skip
            tab = browser.new_page(**cast(Any, options))
            tab.goto(url)
            tab.screenshot(path=name)
        browser.close()


if __name__ == "__main__":
    picture(sys.argv[1])
