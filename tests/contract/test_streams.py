"""Streams on PostgreSQL: what an unsubscribe, a bounce and a tenant's choice withhold, from the mail's link to the next batch."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.api.app import create_app
from mailroom.delivery.provider_events import sendgrid, ses
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.delivery.streams import WHAT_A_STREAM_IS, scope_key, scope_of
from mailroom.domain.delivery.unsubscribe import sign
from mailroom.ports.suppressions import Suppression
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.notices import an_event
from tests.support.batch_requests import ACME, ADMIN, batch, message, refused, sent, submitted

KEY, ADA = "k" * 32, "ada@users.test"


@dataclass
class Reader:
    """Ada, who gets acme's mail, and acme, which sends it."""

    api: TestClient
    engine: Engine
    archive: MemoryArchive

    def gets(self, stream: str | None = None, **changes: Any) -> str | None:
        """Return the id of a message of this stream that reached her, or None where it was withheld."""
        asked = batch(message(), **({"stream": stream} if stream else {}) | changes)
        mails = sent(self.engine, submitted(self.api, asked)["id"], self.archive)
        return mails[0].id if mails else None

    def leaves(self, message_id: str | None, **form: str) -> None:
        """Press the button of a mail's page, or with no form have the mail program post."""
        assert message_id is not None
        url = f"/u/{sign(message_id, key=KEY.encode())}"
        answer = TestClient(self.api.app).post(url, data=form or {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200

    def reports(self, message_id: str | None, kind: Kind, event_id: str = "e1", **facts: str) -> None:
        """Record what the provider reports of a message."""
        event = an_event(kind, event_id, message_id=message_id, facts=facts)
        SqlEvents(self.engine).record([event], now=NOW)

    def chooses(self, **policy: Any) -> None:
        answer = self.api.put("/v1/streams", json=policy)
        assert answer.status_code == 200, answer.text

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]

    def scopes(self) -> list[tuple[Any, ...]]:
        return self.rows("select scope, reason from suppression order by scope")


@pytest.fixture
def ada(api: TestClient, engine: Engine, archive: MemoryArchive) -> Iterator[Reader]:
    services = api.app.state.services  # type: ignore[attr-defined]
    settings = services.settings.model_copy(update={"unsubscribe_key": SecretStr(KEY), "public_url": "https://m.test"})
    with TestClient(create_app(replace(services, settings=settings, events=SqlEvents(engine))), headers=ACME) as client:
        yield Reader(client, engine, archive)


def test_leaving_a_newsletter_leaves_receipts_alone(ada: Reader) -> None:
    """The mail that nobody may lose: a password reset is no newsletter."""
    ada.leaves(ada.gets("bulk"))

    assert (ada.gets("bulk"), ada.gets(lane="bulk")) == (None, None)
    assert ada.gets()
    assert ada.gets("transactional")
    assert ada.scopes() == [("stream:bulk", "unsubscribe")]


def test_leaving_one_stream_leaves_the_others(ada: Reader) -> None:
    """She wants the offers no more, and the weekly still."""
    ada.leaves(ada.gets("offers"))

    assert ada.gets("offers") is None
    assert ada.gets("weekly")
    assert ada.gets("bulk")


def test_a_tenant_lets_an_unsubscribe_cover_all_that_is_not_transactional(ada: Reader) -> None:
    """Small senders have one list in the reader's eyes; its own receipts are transactional where it says so."""
    ada.chooses(covers="not_transactional", transactional=["receipts"])
    ada.leaves(ada.gets("offers"))

    assert [ada.gets(stream) for stream in ("offers", "weekly", "bulk")] == [None, None, None]
    assert ada.gets("receipts")
    assert ada.gets()


def test_who_comes_back_and_leaves_again_by_the_same_link_has_left(ada: Reader) -> None:
    """The event's id was there before, and is no reason to go on mailing; each leaving is an activity and a webhook."""
    link = ada.gets("offers")
    ada.leaves(link)
    ada.leaves(link)
    assert ada.api.delete("/v1/suppressions", params={"address": ADA}).status_code == 204
    assert ada.gets("offers")

    ada.leaves(link)

    assert ada.gets("offers") is None
    noted = ada.rows("select facts ->> 'again' from activity where kind = 'unsubscribed' order by id")
    assert noted == [(None,), ("true",)]


def test_a_provider_that_reports_leaving_under_an_old_id_is_believed(ada: Reader) -> None:
    """Some number an address's opt-out once; the count of events does not grow by a repetition."""
    mail = ada.gets("offers")
    for _ in range(2):
        ada.reports(mail, Kind.UNSUBSCRIBED)
        assert ada.gets("offers") is None
        ada.api.delete("/v1/suppressions", params={"address": ADA})

    assert ada.rows("select events from event_tally where kind = 'unsubscribed'") == [(1,)]


@pytest.mark.parametrize(("kind", "reason"), [(Kind.BOUNCED_HARD, "hard_bounce"), (Kind.COMPLAINED, "complaint")])
def test_a_hard_bounce_or_complaint_in_one_stream_covers_all_mail(ada: Reader, kind: Kind, reason: str) -> None:
    """The mailbox is gone whatever is sent; a complaint is about the sender. Neither takes the place of an unsubscribe."""
    mail = ada.gets("offers")
    ada.leaves(mail)
    ada.reports(mail, kind)

    assert [ada.gets(stream) for stream in (None, "weekly", "offers")] == [None, None, None]
    assert ada.scopes() == [("all", reason), ("stream:offers", "unsubscribe")]
    ada.api.delete("/v1/suppressions", params={"address": ADA, "scope": "all"})
    assert (ada.gets("offers"), ada.gets("weekly") is not None) == (None, True)


def test_an_entry_of_a_person_covers_all_or_its_stream(ada: Reader) -> None:
    """`manual` without a stream is the only entry of a tenant's own that withholds transactional mail."""
    no_effect = ada.api.post("/v1/suppressions", json={"addresses": [ADA], "stream": "transactional"})
    assert (no_effect.status_code, ada.gets() is not None) == (422, True)

    ada.api.post("/v1/suppressions", json={"addresses": [ADA], "reason": "unsubscribe"})
    assert (ada.gets() is not None, ada.gets("weekly")) == (True, None)

    ada.api.post("/v1/suppressions", json={"addresses": [ADA]})
    assert ada.gets() is None


def test_the_global_list_withholds_by_the_same_rule(ada: Reader) -> None:
    """An administrator's list for everybody: an unsubscribe there stops no receipt either, and has no stream."""
    one = {"addresses": [ADA], "reason": "unsubscribe"}
    assert ada.api.post("/v1/suppressions", json=one, headers=ADMIN).status_code == 201
    assert (ada.gets("weekly"), ada.gets() is not None) == (None, True)

    answer = ada.api.post("/v1/suppressions", json=one | {"stream": "weekly"}, headers=ADMIN)

    assert answer.status_code == 422
    assert "names a tenant" in answer.json()["detail"]


def test_a_dry_run_counts_what_its_stream_withholds(ada: Reader) -> None:
    """The preview and the sending ask the same rule."""
    ada.leaves(ada.gets("offers"))

    seen = [
        ada.api.post("/v1/batches", params={"dry_run": "true"}, json=batch(message(), **more)).json()["suppressed"]
        for more in ({"stream": "offers"}, {"stream": "weekly"}, {})
    ]

    assert seen == [[0], [], []]


def test_a_batch_belongs_to_the_stream_of_its_lane_unless_it_offers_to_leave(ada: Reader) -> None:
    """A link to leave in mail that nothing withholds would be a lie; what offers one and names no stream is bulk mail."""
    both = message(), message(to="b@users.test", unsubscribe=True)
    words = {"subject": "s", "text": "t"}
    streams = [
        (batch(message()), "transactional"),
        (batch(message(), lane="bulk"), "bulk"),
        (batch(message(unsubscribe="https://acme.test/leave")), "bulk"),
        (batch(*both, lane="transactional"), "bulk"),
        (batch(message(), stream="receipts"), "receipts"),
        ({"template": words, "recipients": [{"to": ADA}], "from": "a@acme.test"}, "bulk"),
    ]
    for requested, stream in streams:
        output = submitted(ada.api, requested)
        assert ada.api.get(output["url"]).json()["stream"] == stream
        page = ada.api.get(f"/batches/{output['id']}", headers={"Accept": "text/html"}).text
        assert f"<dt>Stream</dt><dd><bdi>{stream}</bdi></dd>" in page


def test_transactional_mail_offers_no_unsubscribe(ada: Reader) -> None:
    """The fault names the way out, at each message that offers one."""
    faults = refused(ada.api, batch(message(), message(to="b@users.test", unsubscribe=True), stream="transactional"))

    [(where, what)] = faults
    assert where == ["messages", "1", "unsubscribe"]
    assert "name another stream" in what


def test_a_stream_that_is_no_name_is_refused_with_its_place(ada: Reader) -> None:
    """It stands in SQL, pages, cursors and files: one alphabet, and nothing is repaired silently."""
    hostile = [
        "",
        "*",
        "News",
        "a b",
        "-a",
        "a" * 64,
        "stream:a",
        "a\x00",
        "a\n",
        "nëws",
        "a'; drop table batch; --",
        "📬",
    ]
    for name in hostile:
        assert refused(ada.api, batch(message(), stream=name)) == [(["stream"], WHAT_A_STREAM_IS)]
        requested = {"addresses": [ADA], "stream": name}
        assert ada.api.post("/v1/suppressions", json=requested).status_code == 422
        assert ada.api.get("/v1/suppressions", params={"stream": name}).status_code == 422
        assert ada.api.put("/v1/streams", json={"transactional": [name]}).status_code == 422


def test_links_of_mail_from_before_streams_still_work(ada: Reader) -> None:
    """Its batch names no stream; sent in the transactional lane it leaves all that is not transactional."""
    old = ada.gets("offers")
    with ada.engine.begin() as connection:
        connection.execute(text("update batch set stream = null"))

    ada.leaves(old)

    assert ada.scopes() == [("not_transactional", "unsubscribe")]
    assert (ada.gets("weekly"), ada.gets() is not None) == (None, True)


def test_a_batch_from_before_streams_that_offers_to_leave_is_withheld_as_before(ada: Reader) -> None:
    """It was scheduled before the upgrade, in the transactional lane; who unsubscribed meanwhile gets none of it."""
    old = submitted(ada.api, batch(message(unsubscribe=True)))["id"]
    with ada.engine.begin() as connection:
        connection.execute(text("update batch set stream = null"))
    ada.api.post("/v1/suppressions", json={"addresses": [ADA], "reason": "unsubscribe"})

    assert sent(ada.engine, old, ada.archive) == []


def provider_event(raw: str, reader: Any, mail: str | None) -> DeliveryEvent:
    [event] = reader(raw.encode(), received_at=NOW)
    return replace(event, message_id=mail, recipient=None, provider="ses", provider_message_id=None)


def test_a_topic_of_ses_is_one_stream(ada: Reader) -> None:
    """SES's own page lets the reader leave one topic of the list; topics left before are no news."""
    before, after = (
        {"unsubscribeAll": False, "topicSubscriptionStatus": [topic("Weekly", weekly), topic("old", "OptOut")]}
        for weekly in ("OptIn", "OptOut")
    )
    part = {"timestamp": "2026-11-22T09:30:41Z", "newTopicPreferences": after, "oldTopicPreferences": before}
    raw = json.dumps({"eventType": "Subscription", "mail": {"messageId": "0100-a"}, "subscription": part})

    SqlEvents(ada.engine).record([provider_event(raw, ses.read, ada.gets("offers"))], now=NOW)

    assert ada.scopes() == [("stream:weekly", "unsubscribe")]


def topic(name: str, status: str) -> dict[str, str]:
    return {"topicName": name, "subscriptionStatus": status}


@pytest.mark.parametrize(("groups", "scope"), [({"77": "weekly"}, "stream:weekly"), ({}, "stream:offers")])
def test_a_group_of_sendgrid_is_the_stream_that_the_tenant_says(
    ada: Reader, groups: dict[str, str], scope: str
) -> None:
    """SendGrid numbers its groups; one without a stream is the message's own."""
    ada.chooses(groups=groups)
    raw = '[{"event": "group_unsubscribe", "asm_group_id": 77, "sg_event_id": "g1", "timestamp": 1795340000}]'

    SqlEvents(ada.engine).record([provider_event(raw, sendgrid.read, ada.gets("offers"))], now=NOW)

    assert ada.scopes() == [(scope, "unsubscribe")]


def test_the_scope_of_a_row_is_the_same_in_sql_and_in_python(engine: Engine) -> None:
    """The column's expression decides for every writer, also an older release; the API says what Python derives."""
    kept = SqlSuppressions(engine)
    for at, (reason, stream) in enumerate(
        [("manual", None), ("unsubscribe", None), ("manual", "a"), ("unsubscribe", "a")]
    ):
        one = Suppression(address=f"u{at}@users.test", reason=reason, stream=stream, tenant="acme", since=NOW)
        kept.add([one])
        [found] = kept.all("acme", address=one.address, after=None, limit=2)
        with engine.connect() as connection:
            stored = connection.execute(
                text("select scope from suppression where address = :a"), {"a": one.address}
            ).scalar_one()
        assert found == one
        assert stored == scope_key(scope_of(reason, stream), stream)
