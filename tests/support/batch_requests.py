"""Keys, requests and their results, for tests of the outbound API."""

from typing import Any

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.domain.api_keys import key_digest
from mailroom.domain.outbound.quotas import ProviderRate
from mailroom.outbound.rendering import outgoing
from mailroom.outbound.sent_content import digests_of
from mailroom.ports.api_keys import Holder
from mailroom.ports.dispatch import Outcome
from mailroom.ports.provider import ProviderReceipt
from mailroom.ports.terms import ProviderTerms
from mailroom.testing.api import NOW, TestClient
from mailroom.testing.archive import MemoryArchive

ACME, UMBRELLA, ADMIN = ({"Authorization": f"Bearer {key}"} for key in ("acme-key", "umbrella-key", "admin-key"))
#: The ports of the outbound routes, in the order that these take them.
PORTS = (SqlOutbox, SqlMessageReader, SqlSuppressions, SqlQuotas, SqlBreakers, SqlSenders, SqlTerms)
HOLDERS = {
    "acme-key": Holder("acme", "acme"),
    "umbrella-key": Holder("umbrella", "umbrella"),
    "admin-key": Holder("admin"),
}


class PlantedKeys(SqlApiKeys):
    """The port `ApiKeys` on PostgreSQL, which also accepts the keys of HOLDERS."""

    def holder(self, sha256: str) -> Holder | None:
        return next((holder for key, holder in HOLDERS.items() if key_digest(key) == sha256), None) or super().holder(
            sha256
        )


def message(**changes: Any) -> dict[str, Any]:
    return {"to": "ada@users.test", "subject": "Your invoice", "text": "It is attached."} | changes


def batch(*messages: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"from": "Acme <desk@acme.test>", "messages": list(messages or [message()])} | changes


def template(*recipients: dict[str, Any], **changes: Any) -> dict[str, Any]:
    words = {"subject": "Dear {{ name }}", "html": "<p>Dear {{ name }}, <a href='https://acme.test'>look</a></p>"}
    return {"from": "desk@acme.test", "template": words | changes, "recipients": list(recipients)}


def submitted(api: TestClient, asked: dict[str, Any], **headers: str) -> Any:
    answer = api.post("/v1/batches", json=asked, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


def refused(api: TestClient, asked: dict[str, Any]) -> list[tuple[list[str], str]]:
    answer = api.post("/v1/batches", json=asked)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return [(fault["where"], fault["what"]) for fault in answer.json()["errors"]]


def kept(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("select count(*) from message")).scalar_one())


def sent(engine: Engine, batch_id: str, archive: MemoryArchive, **links: Any) -> list[Any]:
    dispatch = SqlDispatch(engine)
    claims = dispatch.claim(batch_id, most=100, provider="ses", now=NOW)
    mails = outgoing(claims, dispatch=dispatch, archive=archive, **links)
    digests, ids = digests_of(mails), [(one.draft.id, one.attempt) for one in claims]
    dispatch.settle(
        [Outcome(id_, at, ProviderReceipt("ses", id_), sent_sha256=digests.get(id_)) for id_, at in ids], now=NOW
    )
    return mails


def provider_terms(pace: ProviderRate, **changes: Any) -> ProviderTerms:
    given: dict[str, Any] = {"identity": "ses/123456789012/eu-west-1", "name": "ses", "max_bytes": 10_000_000}
    return ProviderTerms(pace=pace, **given | {"told_at": NOW} | changes)
