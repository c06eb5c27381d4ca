"""How fast delivery events become activities, and webhook calls are verified and kept. `python -m benchmarks.events`.

Runs only a PostgreSQL of its own. A fifth of the events is sent twice, and all of them arrive out of order, as from a
provider under load.
"""

import base64
import json
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Engine

from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlHooks
from mailroom.adapters.postgres.engine import make_engine, migrate
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.delivery.provider_events import sendgrid
from mailroom.delivery.provider_events.credentials import Credential
from mailroom.delivery.tracking import Tracking
from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.outbound.message import Batch, Content, Draft, Party
from mailroom.ports.hooks import Hook
from mailroom.sandbox.stack.postgres import running_postgres
from mailroom.testing.notices import an_event
from mailroom.testing.queue import MemoryQueue
from tests.support.loopback_ports import free_port

MESSAGES, CALLS, EVENTS_OF_CALL = 4_000, 400, 20
_KINDS = (Kind.SENT, Kind.DELIVERED, Kind.OPENED, Kind.CLICKED, Kind.BOUNCED_HARD)


def main() -> None:
    """Measure and print one table."""
    folder = tempfile.TemporaryDirectory()
    with folder as path, running_postgres(Path(path), port=free_port(), password="for-the-benchmark") as server:  # noqa: S106
        migrate(server.url("mailroom"))
        engine = make_engine(server.url("mailroom"))
        rows = [
            *(
                (f"events recorded, {size} at once, {workers} worker(s)", _record(engine, size, workers))
                for size, workers in ((1, 1), (200, 1), (200, 2))
            ),
            (f"calls verified and kept, {EVENTS_OF_CALL} events each", _keep(engine)),
            (f"events of kept calls handled, {EVENTS_OF_CALL} a call", _handle(engine)),
        ]
        engine.dispose()
    for name, per_second in rows:
        print(f"{name:<52} {per_second:>8,.0f} /s")


def _record(engine: Engine, size: int, workers: int) -> float:
    ids = _messages(engine, MESSAGES if size > 1 else 200)
    values = [an_event(kind, f"{id_}-{kind}", message_id=id_, recipient=None) for id_ in ids for kind in _KINDS]
    values += random.sample(values, len(values) // 5)
    random.shuffle(values)
    events = SqlEvents(engine)
    begun = time.perf_counter()
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda some: events.record(some, now=datetime.now(UTC)), _parts(values, size)):
            pass
    return len(values) / (time.perf_counter() - begun)


def _keep(engine: Engine) -> float:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    verifier, hooks = sendgrid.Verifier([Credential(base64.b64encode(public).decode())]), SqlHooks(engine)
    now = datetime.now(UTC)
    timestamp = str(int(now.timestamp()))
    bodies = [_call(ids) for ids in _parts(_messages(engine, CALLS * EVENTS_OF_CALL), EVENTS_OF_CALL)]
    signed = [
        (body, base64.b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode())
        for body in bodies
    ]
    begun = time.perf_counter()
    for body, signature in signed:
        verifier.check(body, signature=signature, timestamp=timestamp, now=now)
        sendgrid.read(body, received_at=now)
        hooks.store([Hook(sendgrid.PROVIDER, uuid4().hex, body)], now=now)
    return len(signed) / (time.perf_counter() - begun)


def _handle(engine: Engine) -> float:
    tracking = Tracking(SqlEvents(engine), SqlHooks(engine), MemoryQueue())
    begun, handled = time.perf_counter(), 0
    while some := tracking.once():
        handled += some
    return handled * EVENTS_OF_CALL / (time.perf_counter() - begun)


def _messages(engine: Engine, count: int) -> list[str]:
    batch = Batch(id=str(uuid4()), tenant="bench", from_=Party("desk@acme.test"))
    drafts = [Draft(id=str(uuid4()), number=at, to=Party(f"u{at}@users.test"), content=0) for at in range(count)]
    SqlOutbox(engine).accept(batch, [Content(subject="s", text="t", html=None)], drafts, now=datetime.now(UTC))
    return [draft.id for draft in drafts]


def _call(ids: Sequence[str]) -> bytes:
    values = [
        {"event": "delivered", "sg_event_id": uuid4().hex, "timestamp": 1795339841, "mailroom-id": id_} for id_ in ids
    ]
    return json.dumps(values).encode()


def _parts(values: Sequence[str] | Sequence[DeliveryEvent], size: int) -> Iterator[list]:  # type: ignore[type-arg]
    for at in range(0, len(values), size):
        yield list(values[at : at + size])


if __name__ == "__main__":
    main()
