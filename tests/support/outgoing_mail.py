"""For tests of sending: batches over the API, mails that the emulator's SES accepted, and workers on another mailbox queue."""

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, wait_until
from tests.support.stack_workers import BEAT_S, Line

_OURS = re.compile(r"X-Correlation-ID: (\S+)")
_numbers = count(1)

#: Statuses that only a person or an event changes.
ENDED = ("dispatched", "delivered", "bounced", "complained", "opened", "clicked", "unknown", "suppressed", "cancelled")


class Mailing:
    """Batches of a running stack, seen from both ends."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        headers = {"Authorization": f"Bearer {stack['api_key']}"}
        self.api = httpx.Client(base_url=stack["api_url"], headers=headers, timeout=PATIENCE_S)

    def submit(self, mails: int, **changes: Any) -> str:
        """Submit a batch of plain mails and return its id."""
        words = {"subject": "Hello {{ name }}", "text": "Dear {{ name }}, hello."}
        # One address: other tests are about what providers do with addresses.
        people = [{"to": f"u{at}@users.test", "data": {"name": f"number {at}"}} for at in range(mails)]
        return self.post({"template": words, "recipients": people} | changes)

    def post(self, asked: dict[str, Any]) -> str:
        """Submit a request, and return the batch's id."""
        answer = self.api.post("/v1/batches", json=asked)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def statuses(self, batch_id: str) -> dict[str, str]:
        """Return the status of each message."""
        rows = self.stack.ask("select id::text, status from message where batch_id = %s", batch_id)
        return dict(rows)

    def ended(self, batch_id: str) -> dict[str, str]:
        """Wait until no message of a batch is in progress, and return the statuses."""

        def all_ended() -> bool:
            return all(status in ENDED for status in self.statuses(batch_id).values())

        wait_until(all_ended, "the batch has ended")
        return self.statuses(batch_id)

    def mails(self, batch_id: str) -> dict[str, list[str]]:
        """Return what SES accepted of a batch: for each message id the raw mails that came under it."""
        answer = httpx.get(f"{self.stack['aws_endpoint']}/moto-api/data.json", timeout=PATIENCE_S)
        assert answer.is_success, answer.text
        output = answer.json()
        ours, found = self.statuses(batch_id), dict[str, list[str]]()
        for mail in output["ses"]["RawMessage"]:
            # What was answered to senders has no id of ours.
            message_id = next(iter(_OURS.findall(mail["raw_data"])), None)
            if message_id in ours:
                found.setdefault(message_id, []).append(mail["raw_data"])
        return found

    def received(self, batch_id: str) -> Counter[str]:
        """Return how often SES accepted each message."""
        return Counter({message_id: len(mails) for message_id, mails in self.mails(batch_id).items()})

    def has_received(self, batch_id: str, mails: int) -> None:
        """Wait until SES accepted `mails` mails of a batch."""
        wait_until(lambda: len(self.received(batch_id)) >= mails, f"{mails} mails are received")

    def runs(self, batch_id: str) -> list[dict[str, Any]]:
        """Return the batch's runs as the Prefect server has them, in the order of their times."""
        asked = {"flow_runs": {"name": {"any_": [batch_id]}}, "sort": "EXPECTED_START_TIME_ASC"}
        return list(self.stack.prefect("POST", "/flow_runs/filter", asked))

    def run(self, batch_id: str) -> dict[str, Any]:
        """Return the batch's first run, or {}."""
        return next(iter(self.runs(batch_id)), {})

    def run_is(self, batch_id: str, state: str) -> dict[str, Any]:
        """Wait until the batch's run is in this state, and return it."""
        return dict(
            wait_until(
                lambda: (run := self.run(batch_id)) and run["state_type"] == state and run,
                f"the run is {state}",
            )
        )

    def artifacts(self, batch_id: str) -> dict[str, Any]:
        """Return the artifacts of the batch's run, by type."""
        run_id = self.run(batch_id)["id"]
        asked = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
        return {one["type"]: one["data"] for one in self.stack.prefect("POST", "/artifacts/filter", asked)}

    def at_most(self, per_second: int) -> None:
        """Edit the provider's limit, as an operator does in the Prefect UI."""
        name = f"rate:ses:{self.stack['account_id']}:{self.stack['region']}"
        changed = {"limit": per_second, "slot_decay_per_second": per_second}
        self.stack.prefect("PATCH", f"/v2/concurrency_limits/{name}", changed)

    def knows_limit(self, per_second: int) -> None:
        """Send mails until the worker has read the provider's limit: it looks when it sends, every two seconds at most."""

        def known() -> bool:
            self.ended(self.submit(1))
            asked = "select 1 from rate where provider = 'ses' and per_second = %s"
            return bool(self.stack.ask(asked, per_second))

        wait_until(known, f"the worker knows that {per_second} mails a second are allowed")

    def at_most_by_smtp(self, per_second: int, port: int) -> None:
        """Make the limit of an SMTP server, before the first mail does."""
        made = {"limit": per_second, "slot_decay_per_second": per_second, "active": True}
        self.stack.prefect("POST", "/v2/concurrency_limits/", {"name": f"rate:smtp:127.0.0.1:{port}"} | made)


class MailLine(Line):
    """A mailbox queue of a test's own; the stack's worker, whose queue is another, only takes what is in its pool."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(stack)
        attributes = {"VisibilityTimeout": str(4 * BEAT_S)}
        name = f"mailbox-{next(_numbers)}"
        self.mailbox_url = stack.aws("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a worker that listens to this mailbox."""
        return super().environment(**more) | {"MAILROOM_MAILBOX_QUEUE_URL": self.mailbox_url}

    def submit(self, mailing: Mailing, mails: int, **changes: Any) -> str:
        """Submit a batch for tomorrow, which the stack holds until then, and order it here for now."""
        tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        batch_id = mailing.submit(mails, send_at=tomorrow, **changes)
        wait_until(lambda: mailing.runs(batch_id), "the run of tomorrow is there")
        with_time = "update message set due_at = now() where batch_id = %s returning due_at"
        due_at = self.stack.ask(with_time, batch_id)[0][0]
        body = json.dumps({"batch_id": batch_id, "due_at": due_at.isoformat()})
        self.stack.aws("sqs").send_message(QueueUrl=self.mailbox_url, MessageBody=body)
        return batch_id
