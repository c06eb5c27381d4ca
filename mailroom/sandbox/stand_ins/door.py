"""The SMTP server of the sandbox for incoming mail, on loopback; it does what SES does with a received mail.

    MAIL, RCPT, DATA -> receipt rules -> verdicts -> SES's headers -> sealed with a new data key -> S3 -> SNS -> 250

It replies 250 only after the object and the notification of every rule that applies are written. If one fails it replies 451
and the sender tries again; an object that was already written stays and is one more copy, as any repeated mail is.

Run as `python -m mailroom.sandbox.stand_ins.door --port 2525`; the receipt rules come from the emulator's SES, active set.
"""

import argparse
import asyncio
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import boto3
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.envelope_encryption import seal, ses_context
from mailroom.operations.fresh import Fresh
from mailroom.sandbox.stand_ins.ses_format import (
    ReceiptRule,
    Reception,
    deliveries,
    named_domains,
    new_message_id,
    prepend_headers,
    read_rules,
    received_notification,
)
from mailroom.sandbox.stand_ins.verdicts import judge
from mailroom.settings import load_settings, use_stack_environment

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ses import SESClient
    from mypy_boto3_sns import SNSClient

MOST_MAIL_BYTES = 40 * 1024 * 1024
"""SES's limit for the S3 action, headers included."""

_MOST_RECIPIENTS = 500  # of one mail, so that the notification stays within SNS's 256 KiB
_RULES_FRESH_S = 5.0
_THREADS = 20
_TRY_LATER = "451 4.3.0 Temporary failure, nothing was accepted"
_TOO_LARGE = f"552 5.3.4 Message is over {MOST_MAIL_BYTES} bytes"

log = logging.getLogger("mailroom.door")


@dataclass(frozen=True, slots=True)
class Clients:
    """AWS as the door uses it. The clients are thread-safe and shared by all mails."""

    s3: "S3Client"
    kms: "KMSClient"
    sns: "SNSClient"
    ses: "SESClient"

    @classmethod
    def of(cls, region: str, storage_region: str = "") -> Self:
        """Return clients for the endpoints of the environment (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`)."""
        config = Config(max_pool_connections=_THREADS, connect_timeout=5, read_timeout=30)
        return cls(
            s3=boto3.client("s3", region_name=storage_region or region, config=config),
            kms=boto3.client("kms", region_name=region, config=config),
            sns=boto3.client("sns", region_name=region, config=config),
            ses=boto3.client("ses", region_name=region, config=config),
        )


class Rules:
    """The active receipt rules, read again from SES when they are older than five seconds."""

    def __init__(self, ses: "SESClient") -> None:
        self._rules = Fresh(lambda: read_rules(ses.describe_active_receipt_rule_set()), _RULES_FRESH_S)

    def active(self) -> tuple[ReceiptRule, ...]:
        """Return the rules in order; while there are none, they are read from SES each time."""
        rules = self._rules.get()
        if not rules:
            self._rules.forget()
        return rules


class Receiver:
    """Stores and announces a mail by blocking calls; one thread for each mail."""

    def __init__(self, clients: Clients, *, account_id: str, region: str) -> None:
        self.rules = Rules(clients.ses)
        self._aws = clients
        self._account_id = account_id
        self._region = region

    def receive(self, raw: bytes, *, sender: str, recipients: list[str], helo: str, peer_ip: str) -> str:
        """Store the mail for every rule that applies, then notify of each, and return its message id.

        Raises:
            BotoCoreError, ClientError: something was not stored or not notified.
            TransientError: the rules changed meanwhile and none applies.
        """
        started = time.monotonic()
        rules = self.rules.active()
        planned = deliveries(rules, recipients)
        if not planned:
            raise TransientError("no receipt rule matches the recipients any more")
        message_id = new_message_id(os.urandom(25))
        verdicts = judge(raw, sender=sender, own_domains=named_domains(rules))
        received_at = datetime.now(UTC)
        notifications = []
        for rule, taken in planned:
            reception = Reception(message_id, self._region, sender, taken, helo, peer_ip, received_at, verdicts)
            mail = prepend_headers(raw, reception)
            self._store(mail, rule, message_id)
            took = int((time.monotonic() - started) * 1000)
            notifications.append((rule, received_notification(mail, reception, rule, took=took)))
        for rule, notification in notifications:
            self._notify(rule, notification)
        names = "+".join(rule.name for rule, _ in planned)
        words = "/".join((verdicts.spam, verdicts.virus, verdicts.spf, verdicts.dkim, verdicts.dmarc))
        log.info("received %s: %d bytes, rule %s, spam/virus/spf/dkim/dmarc %s", message_id, len(raw), names, words)
        return message_id

    def _store(self, mail: bytes, rule: ReceiptRule, message_id: str) -> None:
        body, metadata = mail, dict[str, str]()
        if rule.kms_key_arn:
            context = ses_context(
                message_id=message_id, rule=rule.name, account_id=self._account_id, key_id=rule.kms_key_arn
            )
            key = self._aws.kms.generate_data_key(KeyId=rule.kms_key_arn, KeySpec="AES_256", EncryptionContext=context)
            body, metadata = seal(
                mail,
                data_key=key["Plaintext"],
                wrapped_key=key["CiphertextBlob"],
                iv=os.urandom(12),
                context=context,
            )
        self._aws.s3.put_object(Bucket=rule.bucket, Key=rule.prefix + message_id, Body=body, Metadata=metadata)

    def _notify(self, rule: ReceiptRule, notification: str) -> None:
        if rule.topic_arn:
            # SES sets a subject. The emulator signs as if there were none, so no receiver could verify its posts.
            self._aws.sns.publish(TopicArn=rule.topic_arn, Message=notification)


class Handler:
    """The SMTP side: answers for aiosmtpd's hooks. Nothing here may block the event loop."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Accept a recipient that a rule takes."""
        if len(envelope.rcpt_tos) >= _MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        try:
            rules = await asyncio.to_thread(self._receiver.rules.active)
        except (BotoCoreError, ClientError) as error:
            log.warning("receipt rules cannot be read: %s", type(error).__name__)
            return _TRY_LATER
        if not deliveries(rules, [address]):
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Receive the mail; the 250 reply comes last, because it accepts responsibility."""
        raw, sender = bytes(envelope.original_content or b""), envelope.mail_from or ""
        peer_ip = session.peer[0] if isinstance(session.peer, tuple) else "127.0.0.1"
        try:
            message_id = await asyncio.to_thread(
                self._receiver.receive,
                raw,
                sender="" if sender == "<>" else sender,
                recipients=list(dict.fromkeys(envelope.rcpt_tos)),
                helo=session.host_name or "",
                peer_ip=peer_ip,
            )
        except (BotoCoreError, ClientError, TransientError) as error:
            log.warning("a mail of %d bytes was not accepted: %s", len(raw), type(error).__name__)
            return _TRY_LATER
        return f"250 2.0.0 OK {message_id}"

    async def handle_exception(self, error: Exception) -> str:
        """Reply to unexpected errors; the default would echo the error's text, and with it the sender's."""
        log.error("SMTP session: %s", type(error).__name__)
        return _TRY_LATER


class _Protocol(SMTP):
    # aiosmtpd's 1001 also sizes its read buffer: a long line would be refused, and a large mail read in tiny pieces.
    line_length_limit = 256 * 1024

    async def push(self, status: Any) -> None:
        """Send a reply; aiosmtpd's own ones for mails over the limit have no enhanced code (RFC 3463)."""
        await super().push(_TOO_LARGE if isinstance(status, str) and status.startswith("552 Error") else status)


class Door(Controller):
    """The listening server; `start()` returns when it listens, `stop()` when it no longer does. Loopback only."""

    def __init__(self, *, account_id: str, region: str, port: int, storage_region: str = "") -> None:
        self._receiver = Receiver(Clients.of(region, storage_region), account_id=account_id, region=region)
        super().__init__(
            Handler(self._receiver),
            hostname="127.0.0.1",
            port=port,
            server_hostname=f"inbound-smtp.{region}.amazonaws.com",
            data_size_limit=MOST_MAIL_BYTES,
            enable_SMTPUTF8=True,
            ident="ESMTP mailroom-sandbox",
        )
        # Its INFO lines contain addresses and, if a client gets out of step, lines of mails.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="door")
        self.loop.set_default_executor(self._pool)

    def start(self) -> None:
        """Read the receipt rules, then listen: without AWS it does not start."""
        log.info("receipt rules: %s", ", ".join(rule.name for rule in self._receiver.rules.active()) or "none")
        super().start()

    def factory(self) -> SMTP:
        """Return the protocol of one connection."""
        return _Protocol(self.handler, **self.SMTP_kwargs)

    def stop(self, no_assert: bool = False) -> None:
        """Stop listening; a mail in progress is finished or gets no reply, so that its sender keeps it."""
        super().stop(no_assert=no_assert)
        self._pool.shutdown()


def main() -> None:
    """Run the door until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="mailroom.sandbox.stand_ins.door", description="SMTP server of the sandbox")
    parser.add_argument("--port", type=int, default=2525)
    port = parser.parse_args().port
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    use_stack_environment()
    settings = load_settings()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    storage = settings.region_of_buckets
    door = Door(account_id=settings.account_id, region=settings.region, port=port, storage_region=storage)
    door.start()
    print(f"SMTP server listens on 127.0.0.1:{port}", flush=True)
    stopped.wait()
    door.stop()


if __name__ == "__main__":
    main()
