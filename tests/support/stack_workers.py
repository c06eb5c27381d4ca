"""Workers beside the stack's own, on another queue, that a test may stop, kill and disconnect."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.settings import Settings
from mailroom.testing.notices import ses_notice
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, store_as_ses, unannounced, wait_until

#: A worker's timing follows its heartbeat: at 1 s, a message is hidden for 4 s, and leases expire after 3 s.
BEAT_S = 1
MOST_RECEIVES = 4
TO = "anna@acme.test"
FAULTS = Path(__file__).parents[1] / "e2e" / "faults"

_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Worker:
    """A running worker process."""

    process: subprocess.Popen[bytes]
    log: Path
    started_s: float

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stops_within(self, seconds: float) -> bool:
        """Ask it to stop, and return whether it ended well and in time.

        A start takes eight seconds of a core. Where it took longer the machine is as much slower, and a stop may take as long.
        """
        asked = time.monotonic()
        self.process.terminate()
        ended = self.process.wait(timeout=PATIENCE_S)
        return ended == 0 and time.monotonic() - asked < max(seconds, self.started_s)

    def says(self, words: str) -> bool:
        """Return whether its log has these words."""
        return words in self.log.read_text()

    def died(self) -> bool:
        return self.process.poll() is not None


class Line:
    """A queue with its dead-letter queue, the mails announced in it, and the workers that listen to it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        sqs, name = stack.aws("sqs"), f"faults-{next(_numbers)}"
        self._released = stack.folder / f"{name}.released"
        self.dead_url = sqs.create_queue(QueueName=f"{name}-dlq")["QueueUrl"]
        asked = sqs.get_queue_attributes(QueueUrl=self.dead_url, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": asked["Attributes"]["QueueArn"], "maxReceiveCount": MOST_RECEIVES}
        attributes = {"VisibilityTimeout": str(4 * BEAT_S), "RedrivePolicy": json.dumps(redrive)}
        self.url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]

    def send(self, subject: str, *, attachment: bytes = b"%PDF-1.7 small") -> str:
        """Store a mail as SES does, announce it in this queue alone, and return its message id."""
        message_id = "fault" + os.urandom(8).hex()
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", TO, subject
        mail.set_content("Attached.")
        mail.add_attachment(attachment, maintype="application", subtype="pdf", filename="a.pdf")
        with unannounced(self.stack):
            store_as_ses(self.stack, self.stack["inbound_bucket"], message_id, mail.as_bytes(), recipient=TO)
        self.announce(message_id)
        return message_id

    def announce(self, message_id: str) -> None:
        """Announce the mail (again)."""
        body = ses_notice(ObjectRef(self.stack["inbound_bucket"], f"in/{message_id}"), TO)
        self.stack.aws("sqs").send_message(QueueUrl=self.url, MessageBody=body)

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of a program that works on this queue."""
        known = {name: self.stack[name] for name in Settings.model_fields if name in self.stack.facts}
        settings = Settings(**known | {"inbound_queue_url": self.url}).environment()
        return self.stack.environment_of("worker") | settings | {"MAILROOM_BEAT_S": str(BEAT_S)} | more

    @contextmanager
    def worker(self, *, faulty: bool = False, **environment: str) -> Iterator[Worker]:
        """Have a worker listen; `faulty` has the faults of `tests/e2e/faults`."""
        number = next(_numbers)
        ready, log = self.stack.folder / f"faults-{number}.ready", self.stack.folder / "logs" / f"faults-{number}.log"
        path = {"PYTHONPATH": str(FAULTS), "MAILROOM_FAULTS_RELEASED": str(self._released)} if faulty else {}
        own = self.environment(MAILROOM_READY_FILE=str(ready), **path, **environment)
        with log.open("wb") as to:
            began = time.monotonic()
            process = subprocess.Popen([sys.executable, "-m", "deployments.worker"], env=own, stdout=to, stderr=to)
        try:
            wait_until(lambda: ready.exists() or process.poll() is not None, "the worker is ready")
            assert process.poll() is None, log.read_text()[-2000:]
            yield Worker(process, log, time.monotonic() - began)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
            try:
                process.wait(timeout=PATIENCE_S)
            finally:
                process.kill()

    def release(self) -> None:
        """Release mails whose subject is `hold`."""
        self._released.touch()

    def receives_of(self, *message_ids: str) -> list[int]:
        """Return how often the messages of these mails were received, as the queue itself counts; nothing is received."""
        output = httpx.get(f"{self.stack['aws_endpoint']}/moto-api/data.json", timeout=PATIENCE_S).json()["sqs"][
            "Message"
        ]
        return [
            sum(one["approximate_receive_count"] for one in output if f"in/{message_id}" in one["body"])
            for message_id in message_ids
        ]

    def state(self, message_id: str) -> dict[str, Any]:
        """Return the ledger's row as it is now; {} before there is one."""
        rows = self.stack.ask(
            "select state, attempts, deaths, reason, run_id, closed_at from inbound_email where message_id = %s",
            message_id,
        )
        names = ("state", "attempts", "deaths", "reason", "run_id", "closed_at")
        return dict(zip(names, rows[0], strict=True)) if rows else {}

    def begun(self, message_id: str) -> None:
        """Wait until a worker has started the mail."""
        wait_until(lambda: self.state(message_id).get("attempts"), "the mail is at work")

    def ended(self, *message_ids: str, state: str = "filed") -> None:
        """Wait until these mails are in `state`."""

        def all_ended() -> bool:
            return all(self.state(message_id).get("state") == state for message_id in message_ids)

        wait_until(all_ended, f"{len(message_ids)} mails are {state}")

    def items(self, message_id: str) -> int:
        """Return how many inbox items the mail has."""
        asked = "select count(*) from inbox_item join inbound_email e on e.id = email_id where e.message_id = %s"
        return int(self.stack.ask(asked, message_id)[0][0])

    def run(self, message_id: str) -> Any:
        """Return the mail's flow run, as Prefect shows it."""
        return self.stack.prefect("GET", f"/flow_runs/{self.state(message_id)['run_id']}")
