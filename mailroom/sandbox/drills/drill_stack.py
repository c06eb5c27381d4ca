"""The stack of drills: an embedded stack without a worker, mails with known expected outcomes, and the check."""

import hashlib
import json
import os
import random
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from pathlib import Path
from typing import Any

import boto3
import psycopg

from mailroom.audit.sent_mails import SentMail
from mailroom.operations.loops import wait_until
from mailroom.sandbox.drills.drill_archive import ArchiveResult, archive_of_drill, seal
from mailroom.sandbox.stack.environment import NO_SENDER_LIMIT
from mailroom.sandbox.stack.folder import DataFolder, read_json
from mailroom.sandbox.stack.ports import choose_apart
from mailroom.sandbox.stack.stack import Stack
from mailroom.settings import CHECKOUT

#: Two tenants, so that each mail for both makes two items and two deposits of each content.
ANNA, BOB = "anna@acme.test", "bob@globex.test"
_ADDRESSES = ((ANNA, "acme", "anna"), (BOB, "globex", "bob"))

#: Every mail has this attachment as well: one deposit for each tenant, however many mails.
_SHARED = b"the same page in every mail\n" * 50

_LOOK_AGAIN_S = 0.2


@dataclass(slots=True)
class DrillStack:
    """A running stack without a worker. Each drill on it must leave it drained.

    `known` is a file of known log entries of its drills, besides those of a healthy installation (see `mailroom check --known`).
    """

    folder: Path
    chance: random.Random
    facts: dict[str, Any] = field(default_factory=dict)
    drills: int = 0
    known: Path | None = None
    #: Settings that drills add to those of the sandbox.
    chosen: dict[str, str] = field(default_factory=dict)

    @property
    def manifest(self) -> Path:
        """The manifest of accepted mails in this drill, one line per mail."""
        return self.folder / f"sent-{self.drills}.jsonl"

    def environment(self) -> dict[str, str]:
        """Return the environment for a worker on this stack."""
        stack = Stack(DataFolder(self.folder), read_json(self.folder / "ports.json"))
        ensure = next(part for part in stack.parts() if part.name == "deployments")
        return {**stack.environment(), **ensure.env(), **NO_SENDER_LIMIT, **self.chosen}

    def send(self, count: int, *, mail: bytes | None = None, state: str = "filed") -> list[SentMail]:
        """Send this many mails, each with an attachment of its own, and write their expected outcomes to the manifest.

        Half of them are for users of two tenants. `mail` is sent instead, as it is, without expectations on attachments.
        """
        sent = []
        with smtplib.SMTP(self.facts["smtp_host"], self.facts["smtp_port"], timeout=60) as smtp:
            for number in range(count):
                recipients = (ANNA, BOB) if number % 2 else (ANNA,)
                own = self.chance.randbytes(2000)
                content = mail or _a_mail(number, own)
                message_id = _smtp_send(smtp, content, recipients)
                parts = None if mail else tuple(hashlib.sha256(part).hexdigest() for part in (own, _SHARED))
                sent.append(SentMail(message_id, recipients, parts, state))
        self.note(sent)
        return sent

    def note(self, sent: Sequence[SentMail]) -> None:
        """Write the expected outcomes of these mails to the manifest."""
        with self.manifest.open("a") as lines:
            lines.writelines(one.line() for one in sent)

    def unfinished(self, sent: Sequence[SentMail]) -> list[str]:
        """Return the message ids that are not in their expected state."""
        query = "select message_id, state from inbound_email where message_id = any(%s)"
        states = dict(self.ask(query, [one.message_id for one in sent]))
        return [one.message_id for one in sent if states.get(one.message_id) != one.state]

    def drain(self, sent: Sequence[SentMail], *, within_s: float) -> float:
        """Wait until all of them are in their expected state and the queue is empty; return how long it took, in seconds.

        Raises:
            TimeoutError: it took longer.
        """
        began = time.monotonic()

        def is_drained() -> bool:
            return not self.unfinished(sent) and self.depth() == 0

        if not wait_until(is_drained, within_s=within_s, every_s=_LOOK_AGAIN_S):
            raise TimeoutError(f"{len(self.unfinished(sent))} mails and {self.depth()} messages after {within_s} s")
        return time.monotonic() - began

    def depth(self, queue: str = "inbound") -> int:
        """Return how many messages a queue holds, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        url = self.facts[f"{queue}_queue_url"]
        values = self.aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(values[name]) for name in names)

    def take_messages(self, queue: str) -> list[str]:
        """Take every message out of a queue, and return the bodies."""
        sqs, url = self.aws("sqs"), self.facts[f"{queue}_queue_url"]
        bodies: list[str] = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", []):
            for message in messages:
                bodies.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    def post_messages(self, bodies: Sequence[str], queue: str) -> None:
        """Put messages into a queue."""
        for body in bodies:
            self.aws("sqs").send_message(QueueUrl=self.facts[f"{queue}_queue_url"], MessageBody=body)

    def check(self, *more: str) -> dict[str, Any]:
        """Return what `mailroom check` finds, with further arguments; nothing may be in progress."""
        words = ["check", "--deep", "--stuck-after", "0s", "--json", *more]
        if self.manifest.exists():
            words += ["--manifest", str(self.manifest)]
        if self.known is not None:
            words += ["--known", str(self.known)]
        report: dict[str, Any] = json.loads(self.mailroom(*words, check=False))
        return report

    def seal(self) -> None:
        """Have workers seal all journals of the archive.

        Raises:
            StackError: it failed, or took too long.
        """
        seal(self.facts["prefect_api_url"], self.ask)

    def verify_archive(self) -> ArchiveResult:
        """Return what `mailroom archive verify` finds, reading every byte."""
        report: dict[str, Any] = json.loads(self.mailroom("archive", "verify", "--json", check=False))
        [[seals]] = self.ask("select count(*) from seal")
        return ArchiveResult(report, seals)

    def mailroom(self, *words: str, check: bool = True) -> str:
        """Run a command of Mailroom on this stack, and return what it printed."""
        environment = {**os.environ, **self.chosen, "MAILROOM_DATA": str(self.folder)}
        command = [sys.executable, "-m", "mailroom.cli", *words]
        return subprocess.run(
            command, env=environment, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True, check=check
        ).stdout

    def ask(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a statement on Mailroom's database, as its owner; none where it returns no rows."""
        with psycopg.connect(self.facts["database_owner_url"]) as connection:
            answer = connection.execute(query, values)
            return answer.fetchall() if answer.description else []

    def aws(self, service: str) -> Any:
        """Return a client of the stack's emulator."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.facts["aws_endpoint"],
            region_name=self.facts["region"],
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",  # noqa: S106 - not a secret
        )


@contextmanager
def open_drill_stack(folder: Path, *, seed: int, archived: bool = False) -> Iterator[DrillStack]:
    """Run a drill stack for the duration of a block, in a folder that is deleted at its end.

    With `archived` it has second copies, a witness and time stamps, without which nothing counts as sealed.
    """
    drill_stack = DrillStack(folder, random.Random(seed))
    folder.mkdir(mode=0o700)
    choose_apart(folder / "ports.json")
    archive: AbstractContextManager[dict[str, str]] = archive_of_drill(folder) if archived else nullcontext({})
    with archive as drill_stack.chosen:
        drill_stack.mailroom("up", "--detach", "--json", "--only", "deployments", "--only", "door")
        yield from _prepared(drill_stack)


def _prepared(drill_stack: DrillStack) -> Iterator[DrillStack]:
    """Add the users of drills, and stop the stack at the end of the block."""
    try:
        drill_stack.facts = json.loads((drill_stack.folder / "stack.json").read_text())
        for address, tenant, user in _ADDRESSES:
            drill_stack.mailroom("address", "add", address, "--tenant", tenant, "--user", user)
        _quicken(drill_stack)
        yield drill_stack
    finally:
        drill_stack.mailroom("down", "--wipe", "--json")


def _quicken(drill_stack: DrillStack) -> None:
    """Set the queues' visibility timeout to seconds, and more receives than any drill kills for one mail, batch or event."""
    sqs = drill_stack.aws("sqs")
    for url in [drill_stack.facts[f"{name}_queue_url"] for name in ("inbound", "mailbox", "tracking")]:
        values = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])["Attributes"]
        redrive = json.dumps(json.loads(values["RedrivePolicy"]) | {"maxReceiveCount": 1000})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "4", "RedrivePolicy": redrive})


def _a_mail(number: int, own: bytes) -> bytes:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", ANNA, f"drill {number}"
    mail.set_content("Two pages.")
    for name, part in (("own.bin", own), ("shared.bin", _SHARED)):
        mail.add_attachment(part, maintype="application", subtype="octet-stream", filename=name)
    return mail.as_bytes(policy=SMTP_LINES)


def _smtp_send(smtp: smtplib.SMTP, content: bytes, recipients: Sequence[str]) -> str:
    """Return the message id in the 250 reply: only then is the mail accepted."""
    smtp.ehlo_or_helo_if_needed()
    smtp.mail("scanner@office.test")
    for recipient in recipients:
        smtp.rcpt(recipient)
    code, answer = smtp.data(content)
    if code != 250:
        raise ConnectionError(f"the SMTP server responds {code}")
    return answer.decode().split()[-1]
