"""SES's headers, rules and notification, as the SMTP door writes them and the flow reads them."""

import email
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mailroom.domain.inbound.notifications import read_notification, received_recipients
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
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

RULE = ReceiptRule("inbound", (), "mails", "in/", topic_arn="arn:topic", kms_key_arn="arn:key", stop=True)
SCANS = ReceiptRule("scans", ("scans.mailroom.test",), "mails", "scans/", stop=True)
RECEPTION = Reception(
    message_id=new_message_id(bytes(25)),
    region="eu-west-1",
    sender="alice@sender.test",
    recipients=("inbox@mailroom.test",),
    helo="mx.sender.test",
    peer_ip="127.0.0.1",
    received_at=datetime(2026, 11, 2, 8, 30, 0, 123456, tzinfo=UTC),
    verdicts=Verdicts(Verdict.PASS, Verdict.PASS, Verdict.FAIL, Verdict.GRAY, Verdict.FAIL, "reject"),
)
RAW = (
    b"From: Alice <alice@sender.test>\r\nTo: one@x.test,\r\n Two <two@x.test>\r\nCc: three@x.test\r\n"
    b"Subject: hi\r\nMessage-ID: <1@sender.test>\r\n\r\nhello\r\n"
)


def notification(raw: bytes = RAW, reception: Reception = RECEPTION) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(
        received_notification(prepend_headers(raw, reception), reception, RULE, took=406)
    )
    return loaded


def test_headers_come_in_the_order_of_ses() -> None:
    """Readers trust the first of each, above the first signature, and so depend on the order."""
    names = list(email.message_from_bytes(prepend_headers(RAW, RECEPTION)))

    assert names[:8] == [
        "Return-Path",
        "Received",
        "X-SES-Spam-Verdict",
        "X-SES-Virus-Verdict",
        "Received-SPF",
        "Authentication-Results",
        "X-SES-RECEIPT",
        "X-SES-DKIM-SIGNATURE",
    ]
    assert prepend_headers(RAW, RECEPTION).endswith(RAW)


def test_own_received_header_is_read_back() -> None:
    """The recipient in it routes a mail whose notification was lost."""
    assert received_recipients(prepend_headers(RAW, RECEPTION), message_id=RECEPTION.message_id) == (
        "inbox@mailroom.test",
    )


def test_several_recipients_are_not_named() -> None:
    """Naming one would leave the others without the mail, and could reveal a Bcc."""
    stored = prepend_headers(RAW, replace(RECEPTION, recipients=("a@mailroom.test", "b@mailroom.test")))

    assert b"@mailroom.test" not in stored
    assert received_recipients(stored, message_id=RECEPTION.message_id) == ()


def test_sender_adds_no_header_through_helo_or_address() -> None:
    """A bare carriage return survives SMTP's line reading and would start a header of the sender's own."""
    hostile = replace(RECEPTION, helo="x\r\nX-SES-Virus-Verdict: PASS", sender="a\rX-Evil: 1@sender.test")

    names = list(email.message_from_bytes(prepend_headers(RAW, hostile)))

    assert names.count("X-SES-Virus-Verdict") == 1
    assert "X-Evil" not in names


def test_notification_is_read_back() -> None:
    """The listener reads what the SMTP door publishes."""
    [arrival] = read_notification(json.dumps(notification()))

    assert arrival.ref == ObjectRef("mails", f"in/{RECEPTION.message_id}")
    assert arrival.envelope is not None
    assert arrival.envelope.recipients == RECEPTION.recipients
    assert arrival.envelope.verdicts == RECEPTION.verdicts
    assert arrival.envelope.received_at == datetime(2026, 11, 2, 8, 30, 0, 123000, tzinfo=UTC)


def test_destination_is_what_the_sender_wrote() -> None:
    """SES fills it from To and Cc; a reader that took recipients from there would fail here."""
    mail = notification()["mail"]

    assert mail["destination"] == ["one@x.test", "two@x.test", "three@x.test"]
    assert mail["commonHeaders"] == {
        "returnPath": "alice@sender.test",
        "from": ["alice@sender.test"],
        "to": ["one@x.test", "two@x.test"],
        "cc": ["three@x.test"],
        "messageId": "<1@sender.test>",
        "subject": "hi",
    }


def test_policy_is_named_only_where_dmarc_failed() -> None:
    """As SES does."""
    passed = replace(RECEPTION, verdicts=replace(RECEPTION.verdicts, dmarc=Verdict.PASS, dmarc_policy=None))

    assert notification()["receipt"]["dmarcPolicy"] == "reject"
    assert "dmarcPolicy" not in notification(RAW, passed)["receipt"]


def test_headers_are_cut_at_ten_kilobytes() -> None:
    """SES says so in a flag; SNS takes no message over 256 KiB."""
    mail = notification(b"X-Long: " + b"x" * 11_000 + b"\r\n" + RAW)["mail"]

    assert mail["headersTruncated"] is True
    assert [header["name"] for header in mail["headers"]][-1] == "X-SES-DKIM-SIGNATURE"
    assert mail["commonHeaders"]["subject"] == "hi"
    assert notification()["mail"]["headersTruncated"] is False


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n",
        b"no header at all",
        b"To: " + b"(" * 100_000,
        b"To: " + b"a@b.test, " * 100_000,
        b"Subject: \xff\xfe\x00\r\n\r\n",
        b" folded: first\r\n\r\n",
        b"\n" * 300_000,
    ],
)
def test_hostile_headers_are_notified_within_bounds(raw: bytes) -> None:
    """The notification must fit into SNS whatever the sender wrote."""
    text = received_notification(prepend_headers(raw, RECEPTION), RECEPTION, RULE, took=1)

    assert len(text) < 128 * 1024
    assert read_notification(text)


def test_message_ids_look_like_those_of_ses() -> None:
    """40 characters of [a-z0-9]: they become object keys, file names and parts of links."""
    made = new_message_id(bytes(range(25)))

    assert len(made) == 40
    assert made.isalnum()
    assert made == made.lower()
    with pytest.raises(ValueError, match="25 bytes"):
        new_message_id(b"short")


@pytest.mark.parametrize(
    ("named", "recipient", "takes"),
    [
        ("a@x.test", "a@x.test", True),
        ("a@x.test", "a+label@x.test", True),
        ("a+label@x.test", "a@x.test", False),
        ("a@x.test", "b@x.test", False),
        ("x.test", "b@x.test", True),
        ("x.test", "b@sub.x.test", False),
        (".x.test", "b@sub.x.test", True),
        (".x.test", "b@x.test", False),
        ("x.test", "b@notx.test", False),
    ],
)
def test_rules_take_recipients_as_ses_does(named: str, recipient: str, takes: bool) -> None:
    """SES developer guide, "Creating receipt rules": address with labels, domain, or subdomains by a leading dot."""
    assert replace(SCANS, recipients=(named,)).takes(recipient) is takes


def test_every_matching_rule_runs_until_one_stops() -> None:
    """A mail for two rules is stored twice unless the first one ends the rule set."""
    recipients = ["a@Scans.mailroom.test", "b@mailroom.test", "not an address"]

    stopped = deliveries([SCANS, RULE], recipients)
    unstopped = deliveries([replace(SCANS, stop=False), RULE], recipients)

    assert [(rule.name, taken) for rule, taken in stopped] == [
        ("scans", ("a@Scans.mailroom.test",)),
        ("inbound", ("b@mailroom.test",)),
    ]
    assert unstopped[1][1] == ("a@Scans.mailroom.test", "b@mailroom.test")


def test_named_domains_are_those_that_rules_spell_out() -> None:
    """A rule for all recipients names none: it does not distinguish our own domains from others."""
    rules = [SCANS, RULE, replace(SCANS, recipients=("a@x.test", ".Y.test"))]

    assert named_domains(rules) == {"scans.mailroom.test", "x.test", "y.test"}


def test_rules_that_do_nothing_here_are_left_out() -> None:
    """Disabled rules and rules without an S3 action store no mail."""
    s3 = {"S3Action": {"BucketName": "mails", "ObjectKeyPrefix": "in/"}}
    described = {
        "Rules": [
            {"Name": "off", "Enabled": False, "Actions": [s3]},
            {"Name": "bounce", "Enabled": True, "Actions": [{"BounceAction": {}}]},
            {"Name": "on", "Enabled": True, "Actions": [s3, {"StopAction": {"Scope": "RuleSet"}}]},
        ]
    }

    assert read_rules(described) == (ReceiptRule("on", (), "mails", "in/", stop=True),)
    assert read_rules({}) == ()
