"""The sandbox's SMTP server against an emulator: what a mail leaves in S3 and in the inbound queue is what SES would leave."""

import json
import os
import signal
import smtplib
import subprocess
import sys
import threading
from collections.abc import Iterator
from email.message import EmailMessage

import boto3
import pytest

from mailroom.adapters.aws.kms import KmsKeys
from mailroom.domain.inbound.envelope_encryption import Binding, unseal
from mailroom.domain.inbound.notifications import read_notification, received_recipients
from mailroom.domain.inbound.received_email import Arrival, ObjectRef
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.sandbox.stack.aws import Names, Rule, provision
from mailroom.sandbox.stand_ins.door import MOST_MAIL_BYTES, Door
from mailroom.sandbox.stand_ins.verdicts import EICAR, GTUBE
from tests.support.loopback_ports import free_port

NAMES = Names(stem="doortest")
SENDER = "alice@sender.test"


@pytest.fixture(scope="module")
def stack(aws: str) -> dict[str, str]:
    first = provision(NAMES)
    assert provision(NAMES) == first
    return first


@pytest.fixture(scope="module")
def port(stack: dict[str, str]) -> Iterator[int]:
    door = Door(account_id=stack["account_id"], region=stack["region"], port=free_port())
    door.start()
    yield door.port
    door.stop()


@pytest.fixture(autouse=True)
def quiet_queue(stack: dict[str, str]) -> None:
    arrivals(stack)


def arrivals(stack: dict[str, str]) -> list[Arrival]:
    """Return what waits in the inbound queue, and empty it."""
    sqs, found = boto3.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=stack["inbound_queue_url"], MaxNumberOfMessages=10).get("Messages"):
        for message in messages:
            found += read_notification(message["Body"])
            sqs.delete_message(QueueUrl=stack["inbound_queue_url"], ReceiptHandle=message["ReceiptHandle"])
    return found


def notified(stack: dict[str, str]) -> list[Arrival]:
    """Return the arrivals that have an envelope: SES's own notifications."""
    return [arrival for arrival in arrivals(stack) if arrival.envelope]


def opened(stack: dict[str, str], ref: ObjectRef, *, rule: str = "inbound") -> bytes:
    stored = boto3.client("s3").get_object(Bucket=ref.bucket, Key=ref.key)
    binding = Binding(stack["account_id"], ref.message_id, frozenset({rule}))
    return unseal(
        stored["Body"].read(),
        stored["Metadata"],
        keys=KmsKeys(boto3.client("kms"), key_arn=stack["kms_key_arn"]),
        binding=binding,
    )


def mail(text: str = "hello", *, from_: str = SENDER) -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = from_, "inbox@mailroom.test", "a subject"
    message.set_content(text)
    return message.as_bytes().replace(b"\n", b"\r\n")


def send(port: int, raw: bytes, *recipients: str) -> str:
    """Send and return the message id in the server's response."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo("sender.test")
        client.mail(SENDER, [f"SIZE={len(raw)}"])
        for recipient in recipients:
            assert client.rcpt(recipient)[0] == 250
        code, answer = client.data(raw)
    assert code == 250, answer
    return answer.decode().rpartition(" ")[2]


def test_accepted_mail_lies_encrypted_in_the_bucket(stack: dict[str, str], port: int) -> None:
    """250 is the server's only promise; the object must open with the real key service and end with the sender's bytes."""
    raw = mail()

    message_id = send(port, raw, "inbox@mailroom.test")

    stored = opened(stack, ObjectRef(stack["inbound_bucket"], f"in/{message_id}"))
    assert stored.endswith(raw)
    assert stored.startswith(b"Return-Path: <alice@sender.test>\r\nReceived: from sender.test")
    assert received_recipients(stored, message_id=message_id) == ("inbox@mailroom.test",)


def test_bucket_event_and_notification_name_the_same_object(stack: dict[str, str], port: int) -> None:
    """Both sources announce each mail, in any order; only the same reference makes them one e-mail in the ledger."""
    message_id = send(port, mail(), "inbox@mailroom.test")

    found = arrivals(stack)

    assert {arrival.ref for arrival in found} == {ObjectRef(stack["inbound_bucket"], f"in/{message_id}")}
    assert sorted(arrival.envelope is not None for arrival in found) == [False, True]


def test_notification_has_envelope_and_verdicts(stack: dict[str, str], port: int) -> None:
    """Recipients are those of RCPT, and To names none of them here: a Bcc must reach its inbox."""
    send(port, mail(), "hidden@mailroom.test", "Zweite+akte@mailroom.test", "hidden@mailroom.test")

    [arrival] = notified(stack)

    assert arrival.envelope is not None
    assert arrival.envelope.recipients == ("hidden@mailroom.test", "Zweite+akte@mailroom.test")
    assert arrival.envelope.sender == SENDER
    assert arrival.envelope.verdicts.dmarc is Verdict.PASS


def test_mail_with_hidden_recipients_names_none_in_its_headers(stack: dict[str, str], port: int) -> None:
    """Each recipient sees the stored mail: it must not show the others."""
    message_id = send(port, mail(), "first@mailroom.test", "second@mailroom.test")

    stored = opened(stack, ObjectRef(stack["inbound_bucket"], f"in/{message_id}"))

    assert b"first@" not in stored
    assert b"second@" not in stored


def test_each_rule_gets_its_recipients_and_no_others(stack: dict[str, str], port: int) -> None:
    """The scans rule stops the evaluation, so that the default rule does not file the mail twice."""
    message_id = send(port, mail(), "a@scans.mailroom.test", "b@mailroom.test")

    found = {arrival.ref.key: arrival.envelope for arrival in notified(stack)}

    assert set(found) == {f"scans/{message_id}", f"in/{message_id}"}
    scans, default = found[f"scans/{message_id}"], found[f"in/{message_id}"]
    assert scans is not None
    assert scans.recipients == ("a@scans.mailroom.test",)
    assert default is not None
    assert default.recipients == ("b@mailroom.test",)
    assert opened(stack, ObjectRef(stack["inbound_bucket"], f"scans/{message_id}"), rule="scans").endswith(mail())


@pytest.mark.parametrize(
    ("raw", "check", "verdict"),
    [
        (mail(EICAR.decode()), "virus", Verdict.FAIL),
        (mail(GTUBE.decode()), "spam", Verdict.FAIL),
        (mail(from_="boss@dmarc-fail.test"), "dmarc", Verdict.FAIL),
        (mail(from_="colleague@scans.mailroom.test"), "dmarc", Verdict.FAIL),
    ],
    ids=["eicar", "gtube", "dmarc", "pretender"],
)
def test_bad_mail_is_accepted_with_its_verdict(
    stack: dict[str, str], port: int, raw: bytes, check: str, verdict: Verdict
) -> None:
    """SES refuses nothing by verdict; what happens to such mail is decided behind the queue."""
    send(port, raw, "inbox@mailroom.test")

    [arrival] = notified(stack)

    assert arrival.envelope is not None
    assert getattr(arrival.envelope.verdicts, check) is verdict


def test_mail_of_exactly_the_limit_is_taken(stack: dict[str, str], port: int) -> None:
    """40 MB are promised to senders."""
    head = mail()
    line = b"x" * 998 + b"\r\n"
    raw = head + line * ((MOST_MAIL_BYTES - len(head)) // len(line))
    raw += b"y" * (MOST_MAIL_BYTES - len(raw) - 2) + b"\r\n"
    assert len(raw) == MOST_MAIL_BYTES

    message_id = send(port, raw, "inbox@mailroom.test")

    stored = boto3.client("s3").head_object(Bucket=stack["inbound_bucket"], Key=f"in/{message_id}")
    assert stored["ContentLength"] > MOST_MAIL_BYTES


def test_announced_size_over_the_limit_is_refused_at_mail_from(port: int) -> None:
    """RFC 1870: the sender is spared the transfer."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.ehlo()

        code, answer = client.mail(SENDER, [f"SIZE={MOST_MAIL_BYTES + 1}"])

    assert (code, answer[:5]) == (552, b"5.3.4")


def test_mail_over_the_limit_is_refused_after_data(stack: dict[str, str], port: int) -> None:
    """A sender that announces no size is refused too, and nothing is stored."""
    line = b"x" * 998 + b"\r\n"
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        client.ehlo()
        client.mail(SENDER)
        client.rcpt("inbox@mailroom.test")

        code, answer = client.data(mail() + line * (MOST_MAIL_BYTES // 1000 + 1))

    assert (code, answer[:5]) == (552, b"5.3.4")
    assert arrivals(stack) == []


def test_bounce_with_empty_sender_is_taken(stack: dict[str, str], port: int) -> None:
    """RFC 5321 section 4.5.5: delivery reports come with an empty return path."""
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail("", ["inbox@mailroom.test"], mail())

    [arrival] = notified(stack)

    assert arrival.envelope is not None
    assert arrival.envelope.sender == ""


def test_internationalised_recipient_and_long_lines_are_taken(stack: dict[str, str], port: int) -> None:
    """SMTPUTF8 and lines over 998 octets occur in practice; neither may lose a mail."""
    raw = mail() + b"x" * 100_000 + b"\r\n"
    with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
        client.sendmail("jürgen@sender.test", ["jürgen@bücher.test"], raw, mail_options=["SMTPUTF8", "BODY=8BITMIME"])

    [arrival] = notified(stack)

    assert arrival.envelope is not None
    assert arrival.envelope.recipients == ("jürgen@bücher.test",)
    assert opened(stack, arrival.ref).endswith(raw)


def test_parallel_connections_each_get_their_own_mail(stack: dict[str, str], port: int) -> None:
    """Clients and rules are shared by all connections; keys, ids and objects must not be."""
    answers: dict[int, str] = {}

    def one(number: int) -> None:
        answers[number] = send(port, mail(f"mail number {number}"), f"inbox{number}@mailroom.test")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, message_id in answers.items():
        stored = opened(stack, ObjectRef(stack["inbound_bucket"], f"in/{message_id}"))
        assert f"mail number {number}\r\n".encode() in stored
    assert len(set(answers.values())) == 8


def test_recipient_that_no_rule_takes_is_refused(emulator: str, stack: dict[str, str]) -> None:
    """Without a default rule SES refuses at RCPT, where the sender sees it."""
    only = Names(stem="onlyscans", rules=(Rule("scans", ("scans.mailroom.test",), "scans/"),))
    provision(only)
    door = Door(account_id=stack["account_id"], region=stack["region"], port=free_port())
    door.start()
    try:
        with smtplib.SMTP("127.0.0.1", door.port, timeout=30) as client:
            client.ehlo()
            client.mail(SENDER)

            code, answer = client.rcpt("inbox@mailroom.test")
    finally:
        door.stop()
        provision(NAMES)

    assert (code, answer[:5]) == (550, b"5.1.1")


def test_nothing_is_promised_while_aws_fails(stack: dict[str, str], port: int) -> None:
    """451 leaves the mail with its sender; 250 here would lose it."""
    sns = boto3.client("sns")
    sns.delete_topic(TopicArn=stack["inbound_topic_arn"])
    try:
        with smtplib.SMTP("127.0.0.1", port, timeout=30) as client:
            client.ehlo()
            client.mail(SENDER)
            client.rcpt("inbox@mailroom.test")

            code, answer = client.data(mail())
    finally:
        provision(NAMES)

    assert (code, answer[:5]) == (451, b"4.3.0")


def test_process_says_when_it_listens_and_ends_on_sigterm(stack: dict[str, str]) -> None:
    """The stack waits for this line at its start, and must be able to stop the server without losing a mail."""
    elsewhere = ("database_url", "prefect_api_url", "prefect_url", "api_url")
    settings = stack | dict.fromkeys(elsewhere, "http://127.0.0.1:9")
    environment = os.environ | {f"MAILROOM_{name.upper()}": value for name, value in settings.items()}
    port = free_port()
    command = [sys.executable, "-m", "mailroom.sandbox.stand_ins.door", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as door:
        assert door.stdout is not None
        assert str(port) in door.stdout.readline()
        message_id = send(port, mail(), "inbox@mailroom.test")

        door.send_signal(signal.SIGTERM)
        _, logged = door.communicate(timeout=20)

    assert door.returncode == 0
    assert message_id in logged
    assert "@" not in logged


def test_queues_give_up_after_five_receives(stack: dict[str, str]) -> None:
    """A message that cannot be handled must end in the dead letters, where operators see it."""
    sqs = boto3.client("sqs")

    for name in ("inbound_queue_url", "mailbox_queue_url", "tracking_queue_url"):
        attributes = sqs.get_queue_attributes(QueueUrl=stack[name], AttributeNames=["All"])["Attributes"]
        redrive = json.loads(attributes["RedrivePolicy"])

        assert redrive["maxReceiveCount"] == 5
        assert redrive["deadLetterTargetArn"] == attributes["QueueArn"] + "-dlq"


def test_provisioned_rules_stay_in_their_order(stack: dict[str, str]) -> None:
    """The narrow rule must come before the one that takes all, also after provisioning again."""
    rules = boto3.client("ses").describe_active_receipt_rule_set()["Rules"]

    assert [rule["Name"] for rule in rules] == ["scans", "inbound"]
    assert all(rule["Actions"][-1]["StopAction"]["Scope"] == "RuleSet" for rule in rules)


def test_only_the_archive_bucket_is_locked_and_by_no_default(stack: dict[str, str]) -> None:
    """SES does not write to a bucket with default retention; the archive sets retention for each deposit."""
    s3 = boto3.client("s3")

    archive = s3.get_object_lock_configuration(Bucket=stack["archive_bucket"])["ObjectLockConfiguration"]

    assert archive == {"ObjectLockEnabled": "Enabled"}
    with pytest.raises(s3.exceptions.ClientError):
        s3.get_object_lock_configuration(Bucket=stack["inbound_bucket"])
