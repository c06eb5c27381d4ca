"""The drill stack of the fault tests: send mails, start and stop workers, fail calls, prove that each mail is there once."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from mailroom.audit.sent_mails import SentMail
from mailroom.sandbox.drills.drill_stack import DrillStack
from mailroom.sandbox.drills.workers import ForkServer, Worker
from mailroom.sandbox.stand_ins.fault_proxy import Fault, FaultProxies
from tests.support.patience import PATIENCE_S


@dataclass
class Range:
    """The drill stack, its proxies and its fork server."""

    drill_stack: DrillStack
    proxies: FaultProxies
    fork_server: ForkServer
    workers: list[Worker] = field(default_factory=list)

    def fork(self, **how: Any) -> Worker:
        """Start a worker, which is ended with the test."""
        worker = self.fork_server.fork(**how)
        self.workers.append(worker)
        return worker

    def ready(self, **how: Any) -> Worker:
        """Start a worker and wait until it listens."""
        worker = self.fork(**how)
        assert worker.wait_ready(within_s=PATIENCE_S), self.fork_server.log.read_text()[-3000:]
        return worker

    @contextmanager
    def failing(self, service: str, fault: Fault) -> Iterator[Fault]:
        """Have a service fail with `fault` for the length of a block."""
        self.proxies[service].fault = fault
        try:
            yield fault
        finally:
            self.proxies[service].fault = None

    @contextmanager
    def absent(self, service: str) -> Iterator[None]:
        """Have a service refuse every connection and call for the length of a block."""
        self.proxies[service].absent = True
        try:
            yield
        finally:
            self.proxies[service].absent = False

    def take_messages(self) -> list[str]:
        """Take every message out of the queue, and return the bodies."""
        return self.drill_stack.take_messages("inbound")

    def post_messages(self, bodies: Sequence[str]) -> None:
        """Put messages into the queue."""
        self.drill_stack.post_messages(bodies, "inbound")

    def receives_of(self, sent: Sequence[SentMail]) -> list[int]:
        """Return how often each message about these mails was received, as the queue itself counts."""
        output = httpx.get(f"{self.drill_stack.facts['aws_endpoint']}/moto-api/data.json", timeout=PATIENCE_S).json()[
            "sqs"
        ]["Message"]
        ids = [mail.message_id for mail in sent]
        return [one["approximate_receive_count"] for one in output if any(mine in one["body"] for mine in ids)]

    def proves(self, sent: Sequence[SentMail], *, within_s: float = PATIENCE_S) -> None:
        """Fail unless all reach their expected end, and the independent check finds no fault."""
        try:
            self.drill_stack.drain(sent, within_s=within_s)
        except TimeoutError as error:
            raise AssertionError(f"{error}\n{self.fork_server.log.read_text()[-3000:]}") from None
        found = self.drill_stack.check()
        assert found["clean"], json.dumps(found, indent=1)

    def clear(self) -> None:
        """End every worker and every fault."""
        for proxy in self.proxies.by_name.values():
            proxy.fault, proxy.absent, proxy.hides_locks = None, False, False
        for worker in self.workers:
            worker.kill()
        assert all(worker.wait(within_s=PATIENCE_S) for worker in self.workers)
        self.workers.clear()


def change_block(drill_stack: DrillStack, slug: str, changed: dict[str, Any], name: str = "mailroom") -> None:
    """Change fields of a block, as an operator does in the UI."""
    with httpx.Client(base_url=drill_stack.facts["prefect_api_url"], timeout=PATIENCE_S) as http:
        block = http.get(f"/block_types/slug/{slug}/block_documents/name/{name}")
        block.raise_for_status()
        http.patch(f"/block_documents/{block.json()['id']}", json={"data": changed}).raise_for_status()


def eventually(condition: Callable[[], Any], what: str, *, within_s: float = PATIENCE_S) -> Any:
    """Return the condition's value as soon as it is true; fail with a sentence when it does not become so."""
    value = soon(condition, within_s=within_s)
    assert value, f"waited {within_s} s in vain until {what}"
    return value


def soon(condition: Callable[[], Any], *, within_s: float) -> Any:
    """Return the condition's value as soon as it is true, or as it is after this time."""
    deadline = time.monotonic() + within_s
    while not (value := condition()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return value
