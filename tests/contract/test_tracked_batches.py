"""Batches with tracking, on PostgreSQL: requested, signed, redirected, counted; and no untracked reader."""

import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.api.app import create_app
from mailroom.api.hooks.event_recorder import EventRecorder
from mailroom.api.services import OutboundServices
from mailroom.domain.delivery.tracked_links import Tracker
from mailroom.domain.errors import Refused
from mailroom.domain.outbound.message import UNTRACKED, Outgoing, Tracked
from mailroom.outbound.rendering import outgoing
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.testing.api import NOW, Memory, TestClient
from mailroom.testing.archive import MemoryArchive
from tests.support.batch_requests import ACME, HOLDERS, PORTS, batch, message, refused, submitted, template

KEY = "a key of some length"
BASE = "http://mail.example"
TRACKER = Tracker(base=BASE, key=KEY.encode())
HTML = '<p>Hi</p><a href="https://acme.test/offer">look</a>'
PERSON = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}
BOTH = {"opens": True, "clicks": True}


def service(engine: Engine, key: str | None = KEY, *, at: datetime = NOW) -> TestClient:
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    outbound = OutboundServices(*(port(engine) for port in PORTS))
    services = memory.services()
    settings = services.settings.model_copy(update={"unsubscribe_key": SecretStr(key) if key else None})
    events = SqlEvents(engine)
    made = replace(
        services,
        settings=settings,
        sending=outbound,
        events=events,
        event_recorder=EventRecorder(events, patience_s=60),
        now=lambda: at,
    )
    return TestClient(create_app(made), base_url=BASE, headers=ACME, follow_redirects=False)


@pytest.fixture
def api(engine: Engine) -> TestClient:
    return service(engine)


def rendered(engine: Engine, api: TestClient, asked: dict[str, Any], **how: Any) -> list[Any]:
    """Submit a batch to the API, send it, and return the mails that the provider gets."""
    dispatch, archive = SqlDispatch(engine), MemoryArchive()
    claims = dispatch.claim(submitted(api, asked)["id"], most=100, provider="smtp", now=NOW)
    dispatch.settle(
        [Outcome(one.draft.id, one.attempt, ProviderReceipt("smtp", one.draft.id)) for one in claims], now=NOW
    )
    return outgoing(claims, dispatch=dispatch, archive=archive, **({"tracker": TRACKER} | how))


def statuses(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.execute(text("select status from message order by number")).scalars())


def path_in(mail: Outgoing, what: str) -> str:
    found = re.search(rf"{BASE}(/{what}/[^\"']+)", mail.html or "")
    assert found
    return found[1]


def test_opens_and_clicks_of_one_mail_are_recorded_for_it_alone(api: TestClient, engine: Engine) -> None:
    """Two recipients of one template have different links to one page."""
    asked = template(
        {"to": "ada@users.test", "data": {"name": "Ada"}}, {"to": "bob@users.test", "data": {"name": "Bob"}}
    )
    ada, bob = rendered(engine, api, asked | {"tracking": BOTH})
    assert path_in(ada, "c") != path_in(bob, "c")

    later = service(engine, at=NOW + timedelta(hours=1))
    answer = later.get(path_in(ada, "c"), headers=PERSON)
    assert later.get(path_in(bob, "o"), headers=PERSON).status_code == 200

    assert (answer.status_code, answer.headers["location"]) == (302, "https://acme.test")
    assert statuses(engine) == ["clicked", "opened"]
    [*_, activity] = api.get(f"/v1/messages/{ada.id}/activities").json()["items"]
    assert (activity["kind"], activity["actor"], activity["provider"]) == ("clicked", "human", "mailroom")
    assert activity["facts"] == {"link": "1"}


def test_click_of_a_machine_proves_delivery_only(api: TestClient, engine: Engine) -> None:
    """A scanner's click is not a reader's."""
    [mail] = rendered(engine, api, batch(message(html=HTML), tracking=BOTH))

    assert api.head(path_in(mail, "c")).status_code == 302

    assert statuses(engine) == ["delivered"]


def test_mails_without_tracking_are_not_tracked(api: TestClient, engine: Engine) -> None:
    """Off by default, and opens and clicks separately."""
    [plain] = rendered(engine, api, batch(message(html=HTML)))
    [opens] = rendered(engine, api, batch(message(html=HTML), tracking={"opens": True}))
    [clicks] = rendered(engine, api, batch(message(html=HTML), tracking={"clicks": True}))

    assert plain.html == HTML
    assert (BASE + "/o/" in opens.html, BASE + "/c/" in opens.html) == (True, False)
    assert (BASE + "/o/" in clicks.html, BASE + "/c/" in clicks.html) == (False, True)


def test_text_of_a_mail_keeps_its_own_links(api: TestClient, engine: Engine) -> None:
    """Rewritten links in text would be unreadable, and the part made from the HTML shows where a link leads."""
    [mail] = rendered(engine, api, batch({"to": "ada@users.test", "subject": "s", "html": HTML}, tracking=BOTH))
    [text_only] = rendered(engine, api, batch(message(), tracking=BOTH))

    assert "https://acme.test/offer" in mail.text
    assert BASE not in mail.text
    assert (text_only.html, text_only.text) == (None, "It is attached.")


def test_unsubscribe_link_in_the_text_is_left_alone(api: TestClient, engine: Engine) -> None:
    """Unsubscribing is not a click."""
    leave = "https://list.acme.test/leave?u=1"
    html = f'<a href="{leave}">leave</a><a href="{BASE}/u/abc">leave</a><a href="mailto:desk@acme.test">ask</a>'

    [mail] = rendered(engine, api, batch(message(html=html, unsubscribe=leave), tracking={"clicks": True}))

    assert mail.html == html


def test_provider_that_tracks_is_asked_to_and_nothing_is_rewritten(api: TestClient, engine: Engine) -> None:
    """Both together would redirect twice and count twice."""
    [mail] = rendered(engine, api, batch(message(html=HTML), tracking=BOTH), provider_tracks=True)
    [other] = rendered(engine, api, batch(message(html=HTML)), provider_tracks=True)

    assert (mail.html, mail.tracking) == (HTML, Tracked(opens=True, clicks=True))
    assert (other.html, other.tracking) == (HTML, UNTRACKED)


def test_tracking_that_nothing_can_do_is_refused_at_submission(engine: Engine) -> None:
    """Before anything is stored; and if the key was removed since, before the mail is sent: never silently dropped."""
    assert refused(service(engine, key=None), batch(tracking={"opens": True})) == [
        (["tracking"], "this installation has no public URL for links: leave this out, or ask the operator")
    ]

    [mail] = rendered(engine, service(engine), batch(message(html=HTML), tracking=BOTH), tracker=None)

    assert isinstance(mail, Refused)
    assert mail.facts == {"feature": "tracks"}


def test_batch_says_what_is_tracked(api: TestClient) -> None:
    """The owner of a batch must see that its readers are tracked."""
    kept = submitted(api, batch(message(), tracking={"clicks": True}))

    assert api.get(f"/v1/batches/{kept['id']}").json()["tracking"] == {"opens": False, "clicks": True}
    assert api.post("/v1/batches", json=batch(message(), tracking={"clics": True})).status_code == 422
