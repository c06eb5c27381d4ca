"""For tests of tenants' webhooks: the receiving endpoint, and the service that posts."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.api.app import create_app
from mailroom.delivery.tenant_webhooks import notify
from mailroom.domain.delivery.events import Kind
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.testing.api import Memory, TestClient
from mailroom.testing.notices import an_event
from mailroom.testing.webhooks import MemoryWebhooks
from tests.support.batch_requests import ACME, HOLDERS

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
URL = "https://acme.test/events"


class Receiver(MemoryWebhooks):
    """Records which events each post has."""

    @property
    def received(self) -> list[list[str]]:
        return [[event["event"] for event in json.loads(body)["events"]] for _, body, _ in self.posts]


class Desk:
    """The webhook service on a database, one endpoint of acme's, and a clock."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.now = engine, NOW
        self.endpoints, self.events = SqlEndpoints(engine), SqlEvents(engine)
        memory = Memory()
        memory.keys.holders.update(HOLDERS)
        services = replace(memory.services(), endpoints=self.endpoints, now=lambda: self.now)
        self.api = TestClient(create_app(services), base_url="http://127.0.0.1:8025", headers=ACME)

    def subscribe(self, *events: str, **headers: str) -> dict[str, Any]:
        answer = self.api.post("/v1/webhooks", json={"url": URL, "events": list(events)}, headers=headers)
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def send(self, count: int = 1, tenant: str = "acme") -> list[str]:
        batch = Batch(id=f"0190a1b2-0000-7000-8000-{self.count():012x}", tenant=tenant, from_=Party("desk@acme.test"))
        ids = [f"0190a1b2-0000-7000-9000-{self.count() * 1000 + at:012x}" for at in range(count)]
        drafts = [
            Draft(id=id_, number=at, to=Party(f"u{at}@users.test"), content=0, metadata={"order": "7"})
            for at, id_ in enumerate(ids)
        ]
        SqlOutbox(self.engine).accept(batch, [Content(subject="secret", text="t", html=None)], drafts, now=self.now)
        return ids

    def count(self) -> int:
        with self.engine.connect() as connection:
            return int(connection.execute(text("select count(*) from batch")).scalar_one())

    def report(self, message_id: str, *kinds: Kind) -> None:
        events = [an_event(kind, f"{message_id}-{kind}", message_id=message_id, at=self.now) for kind in kinds]
        for event in events:
            self.events.record([event], now=self.now)

    def notify(self, receiver: Receiver) -> int:
        return notify(self.endpoints, receiver, clock=lambda: self.now, jitter=lambda: 0.5)

    def shown(self, webhook: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self.api.get(f"/v1/webhooks/{webhook['id']}").json())
