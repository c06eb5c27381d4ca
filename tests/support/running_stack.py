"""A running stack as the end-to-end tests use it: from outside, with what any user or operator has."""

import hashlib
import json
import os
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from pathlib import Path
from typing import Any

import boto3
import httpx
import psycopg

from mailroom.audit.logs import Known
from mailroom.domain.inbound.envelope_encryption import seal, ses_context
from tests.support.patience import PATIENCE_S

OPERATOR = "ops@mail.test"
_NOT_HANDED_ON = ("MAILROOM_DATABASE_URL", "MAILROOM_READY_FILE")


@dataclass
class Stack:
    """A running stack, seen from outside: its command line, door, API, database and Prefect server."""

    folder: Path
    started_s: float = 0
    facts: dict[str, Any] = field(default_factory=dict)
    declared: list[Known] = field(default_factory=list)
    """Log entries that tests cause on purpose; any other fails the tier at its end."""

    def declare(self, part: str, match: str, reason: str, *, most: int) -> None:
        """Expect a part's log to have entries with `match`, at most `most`, because the test breaks something on purpose."""
        self.declared.append(Known(part, match, reason, most))

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def mailroom(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `mailroom` with these arguments against this stack."""
        command = [sys.executable, "-m", "mailroom.cli", *arguments]
        environment = os.environ | {"MAILROOM_DATA": str(self.folder)}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
        )
        assert not check or ended.returncode == 0, f"{' '.join(arguments)}: {ended.stdout}{ended.stderr}"
        return ended

    def json(self, *arguments: str) -> Any:
        """Run `mailroom ... --json` and return what it printed."""
        return json.loads(self.mailroom(*arguments, "--json").stdout)

    def receives(self, address: str, *, tenant: str, user: str = "anna") -> None:
        """Add a route for `address`."""
        self.mailroom("address", "add", address, "--user", user, "--tenant", tenant)

    def send(self, mail: EmailMessage | bytes, *recipients: str, sender: str = "scanner@office.test") -> str:
        """Mail it with a plain SMTP client; return the message id in the door's 250."""
        with smtplib.SMTP(self["smtp_host"], self["smtp_port"], timeout=PATIENCE_S) as smtp:
            smtp.ehlo()
            smtp.mail(sender)
            for recipient in recipients:
                smtp.rcpt(recipient)
            code, answer = smtp.data(mail if isinstance(mail, bytes) else mail.as_bytes(policy=SMTP_LINES))
        assert code == 250, answer
        return answer.decode().split()[-1]

    def wait_closed(self, message_id: str, *, state: str = "filed") -> dict[str, Any]:
        """Return the trace of an e-mail once it is in `state` and its run has ended."""

        def closed() -> dict[str, Any] | None:
            if not self.ask("select 1 from inbound_email where message_id = %s and state = %s", message_id, state):
                return None
            found: dict[str, Any] = self.json("trace", message_id)
            over = found["run"] and found["run"]["state"] in ("Completed", "Failed")
            return found if over else None

        return wait_until(closed, f"{message_id} is {state}")

    def ask(self, query: str, *values: Any) -> list[Any]:
        """Return the rows of a query on Mailroom's database."""
        with psycopg.connect(self["database_url"]) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def prefect(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the Prefect server's API."""
        answer = httpx.request(method, f"{self['prefect_api_url']}{path}", json=body, timeout=PATIENCE_S)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def aws(self, service: str) -> Any:
        """Return a boto3 client for the stack's emulator."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self["aws_endpoint"],
            region_name=self["region"],
            aws_access_key_id="sandbox",
            aws_secret_access_key="sandbox",
        )

    def sign_in_link(self, path: str = "/", address: str = OPERATOR) -> str:
        """Return a link that signs in as the stack's operator and opens `path`; who has it needs to press a button."""
        if not self.ask("select 1 from person where address = %s", address):
            self.mailroom("user", "add", address, "--role", "operator")
        return str(self.json("user", "link", address, "--path", path)["url"])

    def open_page(self, page: Any, path: str = "/") -> None:
        """Open a page of Mailroom in a browser, after signing in."""
        page.goto(self.sign_in_link(path))
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{self['api_url']}{path}")

    def queue_depth(self, url: str) -> int:
        """Return how many messages a queue holds, visible or not."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        output = self.aws("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(output[name]) for name in names)

    def environment_of(self, part: str) -> dict[str, str]:
        """Return the environment of a part; a process with it finds its settings in the stack's own file."""
        pairs = Path(f"/proc/{self.part(part)}/environ").read_bytes().decode().split("\0")
        environment = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
        return {name: value for name, value in environment.items() if name not in _NOT_HANDED_ON}

    def part(self, name: str) -> int:
        """Return the pid of a part."""
        return int(next(part["pid"] for part in self["parts"] if part["name"] == name))


def wait_until(condition: Callable[[], Any], what: str, *, timeout_s: float = PATIENCE_S) -> Any:
    """Return the condition's value as soon as it is true; fail with a sentence when it does not become so."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s in vain until {what}"
        time.sleep(0.1)
    return value


def store_as_ses(stack: Stack, bucket: str, message_id: str, mail: bytes, *, recipient: str) -> None:
    """Store an object as SES writes it, without an SES notification."""
    context = ses_context(
        message_id=message_id, rule="inbound", account_id=stack["account_id"], key_id=stack["kms_key_arn"]
    )
    key = stack.aws("kms").generate_data_key(KeyId=stack["kms_key_arn"], KeySpec="AES_256", EncryptionContext=context)
    received = (
        f"Received: from office.test (office.test [192.0.2.7]) by inbound-smtp.{stack['region']}.amazonaws.com"
        f" with SMTP id {message_id} for {recipient}; Sat, 21 Nov 2026 09:30:00 +0000 (UTC)\r\n"
        "X-SES-DKIM-SIGNATURE: a=rsa-sha256; b=x;\r\n"
    )
    body, metadata = seal(
        received.encode() + mail,
        data_key=key["Plaintext"],
        wrapped_key=key["CiphertextBlob"],
        iv=os.urandom(12),
        context=context,
    )
    stack.aws("s3").put_object(Bucket=bucket, Key=f"in/{message_id}", Body=body, Metadata=metadata)


@contextmanager
def unannounced(stack: Stack) -> Iterator[None]:
    """Switch off the inbound bucket's notifications for the length of a block: lost notifications of S3.

    In another bucket such an object would be foreign, and not be read.
    """
    s3, bucket = stack.aws("s3"), stack["inbound_bucket"]
    wiring = s3.get_bucket_notification_configuration(Bucket=bucket)["QueueConfigurations"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        yield
    finally:
        back = {"QueueConfigurations": wiring}
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=back)


def spoil_archive(stack: Stack, content: bytes, *, tenant: str = "acme") -> str:
    """Have every deposit of `content` refused, as by a database that is broken for it alone; return what to undo."""
    digest = hashlib.sha256(content).hexdigest()
    name = f"spoilt_{digest[:16]}"
    body = f"if new.archive_id = '{tenant}/{digest}' then raise exception 'spoilt'; end if; return new;"
    with psycopg.connect(stack["database_owner_url"]) as connection:
        connection.execute(f"create function {name}() returns trigger language plpgsql as $$ begin {body} end $$")
        when = "before insert or update on deposit for each row"
        connection.execute(f"create trigger {name} {when} execute function {name}()")
    return name


def archive_serves_again(stack: Stack, spoilt: str) -> None:
    """Undo `spoil_archive`."""
    with psycopg.connect(stack["database_owner_url"]) as connection:
        connection.execute(f"drop function {spoilt} cascade")
