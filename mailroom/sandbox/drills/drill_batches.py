"""Batches of a drill, from both ends: those that the HTTP service accepted, and the mails that the receiving end got.

The service is forked like the workers, so that it can die at its crash points; a caller whose response was lost submits
again with the same Idempotency-Key, as callers do. Mail goes to an SMTP server outside the stack.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from mailroom.audit.batches import Submissions
from mailroom.domain.outbound.message import UNANSWERED, UNDER_WAY, WAITING
from mailroom.operations.loops import wait_until
from mailroom.sandbox.drills.drill_stack import DrillStack
from mailroom.sandbox.drills.workers import ForkServer, Worker
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.ports import LOOPBACK

_PATIENCE_S = 60.0
_LOOK_AGAIN_S = 0.1
_SMTP = {"name": "Mailroom provider: SMTP", "slug": "mailroom-provider-smtp"}


@dataclass(slots=True)
class DrillBatches:
    """Submits batches and counts their results. `received` returns our ids of all mails received so far."""

    drill_stack: DrillStack
    fork_server: ForkServer
    received: Callable[[], Iterable[str]]
    batches: dict[str, int] = field(default_factory=dict)
    service: Worker | None = None
    since: Any = None
    smtp_port: int = 0

    def __post_init__(self) -> None:
        self.since = self.drill_stack.ask("select now()")[0][0]

    def use(self, smtp_port: int, *, per_second: float = 5000.0) -> None:
        """Make workers that start from now on send to this SMTP server."""
        self.smtp_port = smtp_port
        with httpx.Client(base_url=self.drill_stack.facts["prefect_api_url"], timeout=15) as prefect:
            kind = _made(prefect, "block_types", _SMTP, f"/block_types/slug/{_SMTP['slug']}")
            schema = _made(prefect, "block_schemas", {"block_type_id": kind, "fields": {}, "capabilities": []})
            # Each port is a separate server, with a separate concurrency limit and rate.
            data = {"host": LOOPBACK, "port": smtp_port, "tls": "off"}
            name = f"drill-{smtp_port}"
            document = {"name": name, "data": data, "block_type_id": kind, "block_schema_id": schema}
            there = f"/block_types/slug/{_SMTP['slug']}/block_documents/name/{name}"
            _made(prefect, "block_documents", document, there)
        self.choose(f"{_SMTP['slug']}/{name}", per_second=per_second)

    def choose(self, provider: str, *, per_second: float) -> None:
        """Make workers that start from now on use the provider of this block, as an operator does in the UI."""
        with httpx.Client(base_url=self.drill_stack.facts["prefect_api_url"], timeout=15) as prefect:
            outbound = prefect.get("/block_types/slug/mailroom-outbound/block_documents/name/outbound").json()
            # A change drops the references to other blocks unless it repeats them.
            others = {
                field: {"$ref": {"block_document_id": other["block_document"]["id"]}}
                for field, other in outbound["block_document_references"].items()
            }
            changed = {"data": {"provider": provider, "per_second": per_second, **others}}
            prefect.patch(f"/block_documents/{outbound['id']}", json=changed).raise_for_status()

    def serve(self, *, crash: str = "") -> Worker:
        """Start the HTTP service, or restart it."""
        self.close()
        self.service = self.fork_server.serve(urlsplit(self.drill_stack.facts["api_url"]).port or 0, crash=crash)
        return self.service

    def close(self) -> None:
        """End the service."""
        if self.service is not None:
            self.service.kill()
            self.service.wait(within_s=5)

    def post(self, mails: int, **changes: Any) -> str:
        """Submit a batch of this many mails, and return its id; retried until there is a response."""
        return self.insist(self.request(mails, **changes))

    def request(self, mails: int, **changes: Any) -> dict[str, Any]:
        """Return the request for such a batch, with a new idempotency key."""
        words = {"subject": "Hello {{ name }}", "text": "Dear {{ name }},\n\nhello.\n\n-- the end"}
        people = [{"to": f"u{at}@users.test", "data": {"name": f"number {at}"}} for at in range(mails)]
        body = {"template": words, "recipients": people, **changes}
        return {"headers": {"Idempotency-Key": str(uuid4())}, "json": body}

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request to the service.

        Raises:
            httpx.TransportError: it is not running, or it died during the request.
        """
        headers = {"Authorization": f"Bearer {self.drill_stack.facts['api_key']}", **options.pop("headers", {})}
        url = f"{self.drill_stack.facts['api_url']}{path}"
        return httpx.request(method, url, headers=headers, timeout=30, **options)

    def insist(self, request: dict[str, Any]) -> str:
        """Send the request with the same key until the batch is accepted; a service that died is restarted."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if self.service is None or not self.service.is_alive():
                self.serve()
            try:
                answer = self.ask("POST", "/v1/batches", **request)
            except httpx.TransportError:
                time.sleep(_LOOK_AGAIN_S)
                continue
            if answer.status_code != httpx.codes.ACCEPTED:
                raise StackError(f"a batch was not accepted: {answer.status_code}")
            self.batches[answer.json()["id"]] = answer.json()["messages"]
            return str(answer.json()["id"])
        raise StackError(f"no batch was accepted within {_PATIENCE_S} s")

    def write(self, to: str) -> None:
        """Put a plain producer's mail on the mailbox queue."""
        kinds = {"channel": "email", "type": "plaintext"}
        self.drill_stack.aws("sqs").send_message(
            QueueUrl=self.drill_stack.facts["mailbox_queue_url"],
            MessageBody=json.dumps({"to": to, "subject": "plain", "message": "hello"}),
            MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in kinds.items()},
        )

    def sweep(self) -> None:
        """Start the sweep for overdue batches now, as Quick run does."""
        with httpx.Client(base_url=self.drill_stack.facts["prefect_api_url"], timeout=15) as prefect:
            deployment = prefect.get("/deployments/name/sweep-outbound/sweep-outbound").raise_for_status().json()
            body = {"state": {"type": "SCHEDULED"}}
            prefect.post(f"/deployments/{deployment['id']}/create_flow_run", json=body).raise_for_status()

    def adopt(self) -> None:
        """Count the batches made of plain mails as submitted too."""
        self.batches |= dict(
            self.drill_stack.ask("select id::text, messages from batch where created_at >= %s", self.since)
        )

    def statuses(self) -> Counter[str]:
        """Return how many messages of the submitted batches are in each status."""
        query = "select status, count(*) from message where batch_id = any(%s::uuid[]) group by status"
        return Counter(dict(self.drill_stack.ask(query, list(self.batches))))

    def in_status(self, *statuses: str) -> set[str]:
        """Return the ids of the messages in one of these statuses."""
        query = "select id::text from message where status = any(%s) and batch_id = any(%s::uuid[])"
        return {
            message_id
            for (message_id,) in self.drill_stack.ask(query, [str(status) for status in statuses], list(self.batches))
        }

    def waiting(self) -> int:
        """Return how many messages are still to be claimed."""
        statuses = self.statuses()
        return sum(statuses[status] for status in WAITING)

    def pass_time(self) -> None:
        """Age messages and orders of a dead service or worker by hours."""
        self.drill_stack.ask(
            "update message set handed_at = handed_at - interval '3 hours' where status = any(%s)",
            [status.value for status in UNANSWERED],
        )
        self.drill_stack.ask(
            "update outbox set taken_until = now() where published_at is null and taken_until is not null"
        )

    def resume(self) -> None:
        """Reschedule deferred messages to now, as an operator does."""
        waiting = "status = 'deferred' and handed_at is null and batch_id = any(%s::uuid[])"
        query = f"select distinct batch_id from message where {waiting}"  # noqa: S608
        for (batch_id,) in self.drill_stack.ask(query, [*self.batches]):
            now = self.drill_stack.ask("select now() + interval '1 s'")[0][0].isoformat()
            self.ask("PATCH", f"/v1/batches/{batch_id}", json={"send_at": now}).raise_for_status()

    def drain(self, *, within_s: float = 120.0) -> float:
        """Wait until nothing is in progress and return how long it took, in seconds.

        Raises:
            TimeoutError: it took longer.
        """
        began = time.monotonic()

        def is_drained() -> bool:
            return not self._under_way() and not self.drill_stack.depth("mailbox")

        if not wait_until(is_drained, within_s=within_s, every_s=_LOOK_AGAIN_S):
            left, orders = self._under_way(), self.drill_stack.depth("mailbox")
            raise TimeoutError(f"{left} messages and {orders} orders after {within_s} s")
        return time.monotonic() - began

    def check(self) -> dict[str, Any]:
        """Return what `mailroom check` finds, given the counts of both ends."""
        file = self.drill_stack.folder / "submissions.jsonl"
        Submissions(self.batches, Counter(self.received())).write(file)
        return self.drill_stack.check("--batches", str(file))

    def _under_way(self) -> int:
        statuses = self.statuses()
        return sum(statuses[status] for status in UNDER_WAY)


@contextmanager
def open_drill_batches(
    drill_stack: DrillStack, fork_server: ForkServer, received: Callable[[], Iterable[str]]
) -> Iterator[DrillBatches]:
    """Yield `DrillBatches`; its service ends with the block."""
    batches = DrillBatches(drill_stack, fork_server, received)
    try:
        yield batches
    finally:
        batches.close()


def _made(prefect: httpx.Client, what: str, body: dict[str, Any], there: str = "") -> str:
    """Create an object on the Prefect server and return its id; with `there`, unless it exists at that path."""
    response = prefect.get(there) if there else None
    if response is None or response.status_code == httpx.codes.NOT_FOUND:
        response = prefect.post(f"/{what}/", json=body)
    return str(response.raise_for_status().json()["id"])
