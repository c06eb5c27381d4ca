"""Every page in every language, on a real database: nothing of it is left in English, and the headers say which language it is."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from markupsafe import Markup
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.api.app import create_app
from mailroom.api.pages import translations
from mailroom.api.pages.translations import Translation
from mailroom.api.services import OutboundServices
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.domain.outbound.message import Status
from mailroom.domain.outbound.reasons import OutboundReason
from mailroom.domain.trail import What
from mailroom.ports.trail import NewEntry
from mailroom.testing.api import BROWSER, NOW, Memory, TestClient, an_item, two_tenants
from tests.support.batch_requests import ADMIN, PORTS, UMBRELLA, PlantedKeys, batch, message, submitted

KEY = SecretStr("a key of some length")
ANN = "ann@acme.test"
ACME = {"Authorization": "Bearer acme-key"}
#: Names in every language, and words of the test's own data.
NAMES = re.compile(r"\b(Mailroom|API|HTTP|UTC|eml|DNS|acme|umbrella|ses|SHA|Message-ID)\b")


class World:
    """The service on PostgreSQL: messages in every status, with every reason; webhooks, breakers, keys, suppressions."""

    def __init__(self, engine: Engine) -> None:
        memory = self.memory = two_tenants()
        services = replace(
            memory.services(),
            sending=OutboundServices(*(port(engine) for port in PORTS), unsubscribing=SqlUnsubscribing(engine)),
            events=SqlEvents(engine),
            endpoints=SqlEndpoints(engine),
            keys=PlantedKeys(engine),
        )
        services = replace(services, settings=services.settings.model_copy(update={"unsubscribe_key": KEY}))
        self.client = TestClient(create_app(services), base_url="https://mail.example", headers=ACME)
        self.engine, self.items = engine, list(self._mail(memory))
        self._send()
        self._stop()
        self.webhooks = self._webhooks()
        self.client.post("/v1/keys", json={"name": "a key", "scopes": ["send"], "ends_at": "2999-01-01T00:00:00Z"})
        for scope in ("all", "not_transactional"):
            self.client.post("/v1/suppressions", json={"addresses": [f"{scope}@users.test"], "scope": scope})

    def _mail(self, memory: Memory) -> Iterator[str]:
        for days in (0, 1, 3, 30, 400):
            hidden = replace(
                an_item(recipient=ANN, subject="Hello"), date=None, from_=None if days == 30 else "Carl <c@x.test>"
            )
            yield memory.file(hidden, received_at=NOW - timedelta(days=days), envelope_sender="").id
        for what in What:
            memory.trail.write(NewEntry(what, "ann@acme.test", "acme", None))

    def _send(self) -> None:
        file = {"filename": "a.pdf", "content_type": "application/pdf", "content": "aGk="}
        html = '<p>Hi <a href="https://acme.test">x</a><img src="https://acme.test/x.png"></p>'
        reasons = [None, *OutboundReason]
        parts = [message(to=f"u{at}@users.test", html=html, attachments=[file]) for at in range(len(reasons))]
        self.batch = submitted(self.client, batch(*parts, metadata={"order": "7"}))["id"]
        with self.engine.begin() as connection:
            self.messages = list(connection.execute(text("select id from message order by number")).scalars())
            for at, (one, reason) in enumerate(zip(self.messages, reasons, strict=True)):
                status = list(Status)[at % len(Status)]
                values = {"id": one, "status": status.value, "reason": reason.value if reason else None}
                connection.execute(text("update message set status = :status, reason = :reason where id = :id"), values)
                facts = {"reason": values["reason"], "list": "global"}
                connection.execute(
                    text(
                        "insert into activity (message_id, at, kind, actor, facts) values (:id, :at, :kind, 'human', :facts)"
                    ),
                    {"id": one, "at": NOW, "kind": status.value, "facts": json.dumps(facts)},
                )

    def _stop(self) -> None:
        stopped = submitted(self.client, batch(*(message(to=f"s{at}@users.test") for at in range(100))))["id"]
        with self.engine.begin() as connection:
            connection.execute(
                text("update message set status = 'complained', handed_at = :now where batch_id = :id"),
                {"now": NOW, "id": stopped},
            )
        assert SqlBreakers(self.engine).check(stopped, now=NOW) is not None
        self.stopped = stopped

    def _webhooks(self) -> list[str]:
        made = [
            self.client.post("/v1/webhooks", json={"url": f"https://acme.test/{at}"}).json()["id"] for at in range(2)
        ]
        with self.engine.begin() as connection:
            connection.execute(
                text("update endpoint set disabled_at = :now, reason = 'failing_for_days' where id = :id"),
                {"now": NOW, "id": made[0]},
            )
        return made

    def paths(self) -> Iterator[tuple[str, dict[str, str]]]:
        """Yield every page that is translated, with the key of who asks for it."""
        for path in (
            "/batches",
            "/suppressions",
            "/senders",
            "/recipients",
            "/webhooks",
            "/breakers",
            "/keys",
            "/docs",
        ):
            yield path, ACME
        for path in ("/parked", "/batches", "/webhooks", "/keys", "/suppressions", "/senders"):
            yield path, ADMIN
        for path in ("/batches", "/suppressions", "/webhooks", "/breakers", "/keys"):
            yield path, UMBRELLA
        for path in (
            f"/batches/{self.batch}?still=true",
            f"/batches/{self.batch}?resent=2",
            f"/batches/{self.stopped}",
        ):
            yield path, ACME
        for word in Status:
            yield f"/batches/{self.batch}?status={word}", ACME
        for one in self.messages:
            yield f"/messages/{one}", ACME
        for one in self.webhooks:
            yield f"/webhooks/{one}?replayed=1", ACME
        yield "/recipients?address=all@users.test", ACME
        yield "/suppressions?scope=stream", ACME
        for path in (
            "/",
            "/?show=all",
            "/?show=done",
            "/?show=unread",
            "/?show=all&q=hello",
            "/?show=all&q=nothing",
            "/?q=has:x",
        ):
            yield path, ACME
        for path in ("/inboxes", "/people", "/trail", f"/inboxes/{ANN}", f"/inboxes/{ANN}?show=done"):
            yield path, ACME
        for path in ("/inboxes", "/people", "/trail"):
            yield path, ADMIN
        for one in self.items:
            yield f"/items/{one}/print", ACME
        yield f"/items/{self.items[0]}/source", ACME
        for path in ("/sign-in", "/sign-in/none"):
            yield path, {}
        yield f"/u/{sign(str(self.messages[0]), key=KEY.get_secret_value().encode())}", {}
        for path in (
            "/messages/none",
            "/batches/none",
            "/webhooks/none",
            "/items/none",
            "/nowhere",
            "/batches?status=x",
            "/u/x",
        ):
            yield path, ACME
        yield "/batches", {"Authorization": "Bearer wrong"}

    def get(self, path: str, headers: dict[str, str], language: str) -> str:
        self.client.headers.pop("authorization", None)
        answer = self.client.get(path, headers=BROWSER | {"Accept-Language": language} | headers)
        assert answer.headers["vary"] == "Accept-Language", path
        assert answer.headers["content-language"] == language, path
        assert answer.headers["cache-control"] == "no-store", path
        assert answer.status_code < 500, path
        return str(answer.text)


class Marked(Translation):
    """A language whose texts are the English ones, each between ⟦ and ⟧."""

    def _filled(self, template: str, values: dict[str, object]) -> Markup:
        return Markup("⟦") + super()._filled(template, values) + Markup("⟧")

    def plain(self, text: str) -> str:
        return f"⟦{super().plain(text)}⟧"


class Outside(HTMLParser):
    """Collects words of a page that stand outside of ⟦⟧, and are no data: names, code, times."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._data: list[str] = []
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if self._data or tag in ("bdi", "code", "pre", "time", "style") or values.get("lang") == "en":
            if tag not in ("input", "br", "img", "meta", "link", "rect"):
                self._data.append(tag)
            return
        for name in ("title", "aria-label", "placeholder", "alt"):
            value = values.get(name) or ""
            if "<" in value or (_words(value) and not re.fullmatch("⟦.*⟧", value, re.DOTALL)):
                self.found.append(f"{name}={value}")

    def handle_endtag(self, tag: str) -> None:
        if self._data and self._data[-1] == tag:
            self._data.pop()

    def handle_data(self, data: str) -> None:
        outside = ""
        for letter in data:
            self._depth += {"⟦": 1, "⟧": -1}.get(letter, 0)
            outside += letter if self._depth == 0 else " "
        if not self._data and _words(outside):
            self.found.append(" ".join(outside.split()))


def _words(text: str) -> bool:
    return bool(re.search(r"[^\W\d_]{2}", NAMES.sub("", text)))


def outside(page: str) -> list[str]:
    """Return the words of a page that were not translated."""
    # A subject is data in a title too.
    body = re.sub(r"<title>(?:Your invoice|Hello|[\w.@]+) · ", "<title>", page)
    found = Outside()
    found.feed(re.sub(r'<html lang="\w+">', "<html>", body))
    return found.found


def test_no_page_has_a_text_that_is_not_translated(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text comes by the catalogue; one that does not would be English between two in French."""
    world = World(engine)
    marked = Marked("en")
    monkeypatch.setattr(translations, "translation", lambda language: marked)

    found = {(path, *outside(world.get(path, headers, "en"))) for path, headers in world.paths()}

    assert len(found) > 70
    assert {one for one in found if len(one) > 1} == set()


@pytest.mark.parametrize("language", ["de", "fr"])
def test_every_page_is_in_the_language_that_its_reader_asks_for(engine: Engine, language: str) -> None:
    """All of them are made, whatever the placeholders of a translation are; and none is cached for another reader."""
    world = World(engine)
    for path, headers in world.paths():
        page = world.get(path, headers, language)

        assert f'<html lang="{language}">' in page, path
        assert "%(" not in page, path


def test_a_hostile_language_is_english(engine: Engine) -> None:
    """The header is anybody's."""
    world = World(engine)
    answer = world.client.get("/batches", headers=BROWSER | ACME | {"Accept-Language": "../de, <script>;q=2"})

    assert answer.headers["content-language"] == "en"
