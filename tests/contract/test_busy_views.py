"""The page of a message while every slot that shows content is taken: the rest of the page is there."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Thread

import pytest

from mailroom.api.slots import Slots
from tests.contract.test_sent_content import ADA, SEES, Installation, installation
from tests.support.batch_requests import UMBRELLA, submitted, template

__all__ = ["installation"]

BUSY = "The content cannot be shown at this moment: too many are being shown. Reload in a minute."


@contextmanager
def taken(slots: Slots, *tenants: str) -> Iterator[None]:
    """Keep a slot of each of these tenants for the length of a block."""
    over = Event()
    begun = [Event() for _ in tenants]

    def work(mine: Event) -> None:
        mine.set()
        over.wait(30)

    async def occupy() -> None:
        await asyncio.gather(
            *(slots.run(one, lambda mine=mine: work(mine)) for one, mine in zip(tenants, begun, strict=True))
        )

    thread = Thread(target=asyncio.run, args=(occupy(),))
    thread.start()
    assert all(one.wait(10) for one in begun)
    try:
        yield
    finally:
        over.set()
        thread.join(30)


@pytest.mark.parametrize("busy", [("acme",), ("globex", "initech")])
def test_a_message_whose_content_cannot_be_shown_now_has_its_page(
    installation: Installation, busy: tuple[str, ...]
) -> None:
    """By the tenant's own views (429) or by those of others (503): status and history need no slot."""
    installation.services = replace(installation.services, view_slots=Slots(wait_s=0.05))
    api = installation.api()
    submitted(api, template(ADA))
    [message_id] = installation.office.values("select id::text from message")

    with taken(installation.services.view_slots, *busy):
        page = api.get(f"/messages/{message_id}", headers=SEES)
        alone = api.get(f"/v1/messages/{message_id}/content")
        others = api.get(f"/messages/{message_id}", headers=SEES | UMBRELLA)

    assert page.status_code == 200, page.text
    assert BUSY in page.text
    assert "ada@users.test" in page.text
    assert alone.status_code in (429, 503)
    assert others.status_code == 404
    assert BUSY not in api.get(f"/messages/{message_id}", headers=SEES).text
