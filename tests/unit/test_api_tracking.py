"""Tracked links: the reader is redirected, the engagement is recorded once, and a forged link reveals nothing."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from mailroom.api.app import create_app
from mailroom.api.hooks.event_recorder import EventRecorder
from mailroom.domain.delivery.events import Actor, Kind
from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.outbound.message import Tracked
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.events import MemoryEvents
from mailroom.testing.notices import an_event

KEY = "a key of some length"
MESSAGE = "0190a1b2-0000-7000-8000-00000000000a"
PERSON = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"


@pytest.fixture
def events() -> MemoryEvents:
    return MemoryEvents()


def door(events: MemoryEvents, *, key: str | None = KEY, patience_s: float = 60, at: datetime = NOW) -> TestClient:
    services = Memory().services()
    settings = services.settings.model_copy(update={"unsubscribe_key": SecretStr(key) if key else None})
    notes = EventRecorder(events, patience_s=patience_s, pause_s=0.01)
    made = replace(services, settings=settings, event_recorder=notes, now=lambda: at)
    return TestClient(create_app(made), base_url="http://mail.example", follow_redirects=False)


def paths(target: str = "https://x.test/?a=1&b=2") -> tuple[str, str]:
    """Return the paths of one mail's link and pixel."""
    html = Tracker(base="", key=KEY.encode()).tracked(
        f"<a href='{target}'>", Tracked(opens=True, clicks=True), message_id=MESSAGE, made_at=NOW - timedelta(hours=1)
    )
    return html.split("'")[1], html.split('"')[1]


LINK, PIXEL = paths()


def recorded(events: MemoryEvents) -> list[tuple[Kind, Actor]]:
    return [(event.kind, event.actor) for event in events.events.values()]


def test_link_redirects_and_is_recorded_before(events: MemoryEvents) -> None:
    """The event names the message and the link; the reader's address and browser are not stored."""
    answer = door(events).get(LINK, headers={"User-Agent": PERSON})

    assert (answer.status_code, answer.headers["location"]) == (302, "https://x.test/?a=1&b=2")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    [event] = events.events.values()
    assert (event.provider, event.kind, event.actor) == ("mailroom", Kind.CLICKED, Actor.HUMAN)
    assert (event.message_id, dict(event.facts)) == (MESSAGE, {"link": "1"})
    assert "Mozilla" not in str(event)


def test_pixel_is_a_picture_that_any_page_may_show(events: MemoryEvents) -> None:
    """Webmail shows it on pages of its own, and a cached one would show the first open only."""
    answer = door(events).get(PIXEL, headers={"User-Agent": PERSON})

    assert (answer.status_code, answer.headers["content-type"], answer.content[:6]) == (200, "image/gif", b"GIF89a")
    assert (answer.headers["cache-control"], answer.headers["cross-origin-resource-policy"]) == (
        "no-store",
        "cross-origin",
    )
    assert recorded(events) == [(Kind.OPENED, Actor.HUMAN)]


@pytest.mark.parametrize(
    ("method", "headers", "actor"),
    [
        ("HEAD", {"User-Agent": PERSON}, Actor.MACHINE),
        ("GET", {"User-Agent": "Mozilla/5.0"}, Actor.MACHINE),
        ("GET", {"User-Agent": "Barracuda Link Protection"}, Actor.MACHINE),
        ("GET", {"User-Agent": PERSON, "Sec-Purpose": "prefetch;prerender"}, Actor.MACHINE),
        ("GET", {"User-Agent": PERSON, "X-Moz": "prefetch"}, Actor.MACHINE),
        ("GET", {"User-Agent": ""}, Actor.UNKNOWN),
        ("GET", {"User-Agent": "x" * 10_000}, Actor.UNKNOWN),
    ],
)
def test_who_looked_is_distinguished(events: MemoryEvents, method: str, headers: dict[str, str], actor: Actor) -> None:
    """Scanners follow every link of a mail; a machine's request proves delivery and no more."""
    assert door(events).request(method, LINK, headers=headers).status_code == 302

    assert recorded(events) == [(Kind.CLICKED, actor)]


def test_look_as_soon_as_the_mail_was_made_is_a_machines(events: MemoryEvents) -> None:
    """No person reads so fast."""
    door(events, at=NOW - timedelta(minutes=59, seconds=59)).get(LINK, headers={"User-Agent": PERSON})

    assert recorded(events) == [(Kind.CLICKED, Actor.MACHINE)]


def test_hundred_looks_within_an_hour_are_one(events: MemoryEvents) -> None:
    """Otherwise a recipient could fill our tables; the next hour counts as another open."""
    client = door(events)
    assert {client.get(LINK, headers={"User-Agent": PERSON}).status_code for _ in range(100)} == {302}
    assert len(events.events) == 1

    door(events, at=NOW + timedelta(hours=1)).get(LINK, headers={"User-Agent": PERSON})

    assert len(events.events) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/c/", "/c/x", "/c/" + "A" * 40, LINK[:-1], LINK + "A", LINK.replace("/c/", "/o/") + ".gif", PIXEL.replace("/o/", "/c/"),
        PIXEL.removesuffix(".gif"), "/c/" + "A" * 5_000, "/c/https://evil.test", "/c/%2f%2fevil.test", "/c/x?url=https://evil.test",
        f"/c/{sign(MESSAGE, key=KEY.encode())}", "/c/é",
    ],
)  # fmt: skip
def test_what_we_did_not_sign_leads_nowhere(events: MemoryEvents, path: str) -> None:
    """No open redirect: every wrong token gets the same answer, nothing is queried and nothing recorded."""
    answer = door(events).get(path)

    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert answer.headers["cache-control"] == "no-store"
    assert events.events == {}


def test_all_wrong_tokens_get_the_same_answer(events: MemoryEvents) -> None:
    """Cut off, forged or of another installation: the response does not say which."""
    client = door(events)

    assert len({client.get(path).text for path in (LINK[:-1], "/c/AAAA", "/c/" + "A" * 2_500)}) == 1


def test_dead_database_keeps_nobody_from_the_page(events: MemoryEvents) -> None:
    """The token has the target; the event waits, and is recorded once when the database is back."""
    events.fault = TransientError("away")
    client = door(events, patience_s=0.01)
    assert [client.get(path).status_code for path in (LINK, PIXEL, LINK)] == [302, 200, 302]
    assert events.events == {}

    events.fault = None

    while len(events.events) < 2:
        events.stuck.wait()
    assert {kind for kind, _ in recorded(events)} == {Kind.CLICKED, Kind.OPENED}


def test_slow_database_is_waited_for_a_moment_only(events: MemoryEvents) -> None:
    """A database lock must not keep the page from loading."""
    events.stuck.clear()

    assert door(events, patience_s=0.01).get(LINK).status_code == 302

    events.stuck.set()


def test_event_that_cannot_be_recorded_delays_no_other(events: MemoryEvents) -> None:
    """The thread goes on after any event."""
    notes = EventRecorder(events, patience_s=60)  # type: ignore[arg-type]
    events.fault = PermanentError("refused")
    notes.record(an_event(Kind.OPENED, "bad"))
    events.fault = None

    assert notes.record(an_event(Kind.OPENED, "good"))
    assert list(events.events) == ["good"]


def test_installation_without_a_key_leads_nowhere(events: MemoryEvents) -> None:
    """Nothing was signed here."""
    assert door(events, key=None).get(LINK).status_code == 404


def test_only_get_and_head_are_offered(events: MemoryEvents) -> None:
    """No mail has a form that posts to a tracked link."""
    answers: list[Any] = [door(events).request(method, LINK) for method in ("POST", "PUT", "DELETE")]

    assert {answer.status_code for answer in answers} == {405}
