"""SES's processing of a received mail, as pure functions: the receipt rules that match, the headers that SES prepends,
the notification that it publishes. The door (`mailroom.sandbox.stand_ins.door`) stores and sends.

Sources: SES developer guide "Receipt rules", "Contents of notifications for email receiving"; the order of the headers
as in mails that SES in eu-west-1 wrote in 2025.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from mailroom.domain.inbound.routing import normalise, normalise_domain
from mailroom.domain.inbound.verdicts import Verdict, Verdicts

MOST_HEADER_BYTES = 10 * 1024
"""SES truncates `mail.headers` of a notification at this size and sets `headersTruncated`."""

_MOST_BLOCK_BYTES = 256 * 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# Bounded, so that no header is slow to search (lengths: RFC 5321 section 4.5.3.1).
_ADDRESS = re.compile(r'(?:"(?:[^"\\]|\\.){1,64}"|[^\s<>,;()":@]{1,64})@[^\s<>,;()":@]{1,255}')


@dataclass(frozen=True, slots=True)
class ReceiptRule:
    """An active receipt rule with an S3 action, as SES describes it. No recipients means all."""

    name: str
    recipients: tuple[str, ...]
    bucket: str
    prefix: str
    topic_arn: str | None = None
    kms_key_arn: str | None = None
    stop: bool = False

    def takes(self, recipient: str) -> bool:
        """Return whether the rule applies to a normalised recipient.

        `a@b` also matches `a+label@b`, `b` matches only the domain, `.b` only its subdomains.
        """
        local, _, domain = recipient.rpartition("@")
        mine = {recipient, f"{local.partition('+')[0]}@{domain}", domain}
        return not self.recipients or any(
            named in mine or (named.startswith(".") and domain.endswith(named)) for named in self.recipients
        )


@dataclass(frozen=True, slots=True)
class Reception:
    """One mail as SES received it; `recipients` are those that one rule matched."""

    message_id: str
    region: str
    sender: str
    recipients: tuple[str, ...]
    helo: str
    peer_ip: str
    received_at: datetime
    verdicts: Verdicts


def read_rules(described: Mapping[str, Any]) -> tuple[ReceiptRule, ...]:
    """Return the enabled rules with an S3 action from the response of `describe_active_receipt_rule_set`, in order."""
    rules = []
    for rule in described.get("Rules", []):
        actions = rule.get("Actions", [])
        s3 = next((action["S3Action"] for action in actions if "S3Action" in action), None)
        if s3 is None or not rule.get("Enabled"):
            continue
        rules.append(
            ReceiptRule(
                name=rule["Name"],
                recipients=tuple(named.lower() for named in rule.get("Recipients", [])),
                bucket=s3["BucketName"],
                prefix=s3.get("ObjectKeyPrefix", ""),
                topic_arn=s3.get("TopicArn"),
                kms_key_arn=s3.get("KmsKeyArn"),
                stop=any("StopAction" in action for action in actions),
            )
        )
    return tuple(rules)


def named_domains(rules: Iterable[ReceiptRule]) -> frozenset[str]:
    """Return the domains that the rules name, alone or in an address, normalised by `normalise_domain`."""
    named = (recipient.rpartition("@")[2].lstrip(".") for rule in rules for recipient in rule.recipients)
    return frozenset(normalise_domain(domain) for domain in named)


def deliveries(rules: Sequence[ReceiptRule], recipients: Sequence[str]) -> list[tuple[ReceiptRule, tuple[str, ...]]]:
    """Return each rule that applies with the recipients that it matches, in the order of the rules.

    Every rule that matches runs. A Stop action ends the rule set, here for the recipients that its rule matched: AWS does not
    document what happens to the others, and this interpretation loses no mail. An invalid address matches no rule.
    """
    left = [(recipient, spelling) for recipient in recipients if (spelling := _spelling(recipient)) is not None]
    matches = []
    for rule in rules:
        taken = tuple(recipient for recipient, spelling in left if rule.takes(spelling))
        if taken:
            matches.append((rule, taken))
        if rule.stop:
            left = [(recipient, spelling) for recipient, spelling in left if recipient not in taken]
    return matches


def new_message_id(entropy: bytes) -> str:
    """Return a message id like SES's, 40 characters of [a-z0-9], from 25 random bytes."""
    if len(entropy) != 25:
        raise ValueError("a message id is made of 25 bytes")
    return base64.b32hexencode(entropy).decode().lower()


def prepend_headers(raw: bytes, reception: Reception) -> bytes:
    """Return the mail as SES stores it: its own headers, in SES's order, before the sender's.

    A recipient is named in Received only where it is the only one (RFC 5321 section 4.4), so that no copy discloses another.
    """
    lines = [f"{name}: {value}" for name, value in _ses_headers(raw, reception)]
    return "\r\n".join([*lines, ""]).encode("utf-8", "replace") + raw


def received_notification(stored: bytes, reception: Reception, rule: ReceiptRule, *, took: int) -> str:
    """Return SES's Received notification for a stored mail (with SES's headers); `took` is in milliseconds."""
    headers = list(_unfolded(stored))
    kept = list(_within(headers, MOST_HEADER_BYTES))
    moment = reception.received_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    verdicts = reception.verdicts
    receipt: dict[str, Any] = {
        "timestamp": moment,
        "processingTimeMillis": took,
        "recipients": list(reception.recipients),
        "spamVerdict": {"status": str(verdicts.spam)},
        "virusVerdict": {"status": str(verdicts.virus)},
        "spfVerdict": {"status": str(verdicts.spf)},
        "dkimVerdict": {"status": str(verdicts.dkim)},
        "dmarcVerdict": {"status": str(verdicts.dmarc)},
    }
    if verdicts.dmarc is Verdict.FAIL:
        receipt["dmarcPolicy"] = verdicts.dmarc_policy
    receipt["action"] = {
        "type": "S3",
        "topicArn": rule.topic_arn,
        "bucketName": rule.bucket,
        "objectKeyPrefix": rule.prefix,
        "objectKey": rule.prefix + reception.message_id,
    }
    mail = {
        "timestamp": moment,
        "source": reception.sender,
        "messageId": reception.message_id,
        "destination": _addresses(headers, "to") + _addresses(headers, "cc"),
        "headersTruncated": len(kept) < len(headers),
        "headers": [{"name": name, "value": value} for name, value in kept],
        "commonHeaders": _common_headers(headers, reception),
    }
    return json.dumps({"notificationType": "Received", "mail": mail, "receipt": receipt}, separators=(",", ":"))


def _spelling(recipient: str) -> str | None:
    try:
        recipient.encode("utf-8")  # bytes that were no UTF-8 came in as surrogates and could not be stored
        return normalise(recipient)
    except ValueError:
        return None


def _ses_headers(raw: bytes, reception: Reception) -> Iterator[tuple[str, str]]:
    verdicts, sender, helo = reception.verdicts, _one_line(reception.sender), _one_line(reception.helo) or "unknown"
    ip, host = reception.peer_ip, f"inbound-smtp.{reception.region}.amazonaws.com"
    domain = sender.rpartition("@")[2] or helo
    recipient = f"\r\n for {_one_line(reception.recipients[0])}" if len(reception.recipients) == 1 else ""
    spf, dkim, dmarc = (str(word).lower() for word in (verdicts.spf, verdicts.dkim, verdicts.dmarc))
    says = "designates" if verdicts.spf is Verdict.PASS else "does not designate"
    checked = f"(spfCheck: domain of {domain} {says} {ip} as permitted sender) client-ip={ip}; envelope-from={sender}; helo={helo};"
    digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
    signed = base64.b64encode(hashlib.sha512(raw + reception.message_id.encode()).digest()).decode()
    yield "Return-Path", f"<{sender}>"
    received = (
        f"from {helo} ({helo} [{ip}])\r\n by {host} with SMTP id {reception.message_id}{recipient};\r\n"
        f" {format_datetime(reception.received_at)}"
    )
    yield "Received", received
    yield "X-SES-Spam-Verdict", str(verdicts.spam)
    yield "X-SES-Virus-Verdict", str(verdicts.virus)
    yield "Received-SPF", f"{spf} {checked}"
    yield (
        "Authentication-Results",
        f"amazonses.com;\r\n spf={spf} {checked}\r\n dkim={dkim} header.i=@{domain};\r\n dmarc={dmarc} header.from={domain};",
    )
    yield "X-SES-RECEIPT", f"AEFB{signed}"
    signature = (
        f"a=rsa-sha256; q=dns/txt; b={signed}; c=relaxed/simple; s=sandbox; d=amazonses.com;"
        f" t={int(reception.received_at.timestamp())}; v=1;\r\n bh={digest}; h=From:To:Subject:Date:Message-ID;"
    )
    yield "X-SES-DKIM-SIGNATURE", signature


def _common_headers(headers: Sequence[tuple[str, str]], reception: Reception) -> dict[str, Any]:
    first = {name.lower(): value for name, value in reversed(headers)}
    common: dict[str, Any] = {"returnPath": reception.sender}
    for name in ("from", "to", "cc"):
        if name in first:
            common[name] = _addresses(headers, name) or [first[name][:1000]]
    for name, key in (("date", "date"), ("message-id", "messageId"), ("subject", "subject")):
        if name in first:
            common[key] = first[name][:MOST_HEADER_BYTES]
    return common


def _addresses(headers: Iterable[tuple[str, str]], wanted: str) -> list[str]:
    text = ",".join(value for name, value in headers if name.lower() == wanted)[:MOST_HEADER_BYTES]
    pairs = ((address, "") for address in _ADDRESS.findall(text))
    return [address for address, _ in _within(pairs, MOST_HEADER_BYTES)]


def _unfolded(mail: bytes) -> Iterator[tuple[str, str]]:
    """Yield the name and unfolded value of each header; never raises, whatever the bytes."""
    block = re.split(rb"\n\r?\n", mail[:_MOST_BLOCK_BYTES], maxsplit=1)[0]
    for line in re.sub(rb"\r?\n[ \t]+", b" ", block).splitlines():
        name, colon, value = line.decode("utf-8", "replace").partition(":")
        if colon:
            yield name.strip(), value.strip()


def _within(pairs: Iterable[tuple[str, str]], most: int) -> Iterator[tuple[str, str]]:
    """Yield pairs while their total stays within `most` bytes."""
    total = 0
    for name, value in pairs:
        total += len(name.encode()) + len(value.encode())
        if total > most:
            return
        yield name, value


def _one_line(text: str) -> str:
    return _CONTROL.sub("", text)
