"""Automatic answers to received mail: when none may be sent, and the text of a receipt.

An answer goes to the envelope's sender alone, and only if SPF confirms that its domain sent the mail: the victim of a forged
sender would otherwise get a mail for each forged one. Automatic mail is never answered, nor are addresses that are received
here, so that no two machines answer each other for ever.

Source: RFC 3834 sections 2 and 3; RFC 5230 section 4.6; RFC 2369 and RFC 2919 for lists.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.headerregistry import Address as Mailbox
from email.message import EmailMessage
from email.policy import SMTP

from mailroom.domain.inbound.received_email import Envelope
from mailroom.domain.inbound.routing import normalise
from mailroom.domain.inbound.verdicts import Verdict

_MACHINES = re.compile(r"(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|listserv|majordomo|root|daemon)")
_PARTS_OF_LISTS = re.compile(r"owner-.*|.*-(request|owner|bounces?|relay)")
_MOST_HEADER_BYTES = 256 * 1024
_MESSAGE_ID = re.compile(r"[\x21-\x3b\x3d\x3f-\x7e]{1,250}")
_MOST_LINES = 500


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """The outcome of one attachment: archived, duplicate or rejected."""

    filename: str
    outcome: str
    archive_id: str | None = None


def headers_of(raw: bytes) -> dict[str, list[str]] | None:
    """Return the header fields by lower-case name; None if the block does not end within the bytes that are read."""
    text = raw[:_MOST_HEADER_BYTES].decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    block, end, _ = text.partition("\n\n")
    if not end and len(raw) > _MOST_HEADER_BYTES:
        return None
    headers: dict[str, list[str]] = {}
    for line in re.sub(r"\n[ \t]+", " ", block).split("\n"):
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), []).append(value.strip())
    return headers


def why_silent(raw: bytes, envelope: Envelope | None) -> str | None:
    """Return why this mail must not be answered automatically, or None. The caller checks whether the sender is ours."""
    headers = headers_of(raw)
    if envelope is None or headers is None:
        return "unknown_sender"
    if not envelope.sender:
        return "null_sender"
    return _why_by_sender(envelope) or _why_by_headers(headers)


def receipt_mail(
    *, sender: str, recipient: str, subject: str | None, message_id: str | None, lines: Sequence[ReceiptLine]
) -> bytes:
    """Return the answer to a mail: one line for each attachment, with its archive id.

    Raises:
        ValueError: `sender` or `recipient` is not an address that a header can contain.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = _mailbox(sender)
    mail["To"] = _mailbox(recipient)
    mail["Subject"] = f"Receipt: {_one_line(subject or 'your e-mail')}"[:200]
    mail["Auto-Submitted"] = "auto-replied"
    # Not `All`, and not `NDR`: Exchange would then report no failed delivery ([MS-OXCMAIL] section 2.1.3.2.20).
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    if message_id and _MESSAGE_ID.fullmatch(message_id.strip("<>")):
        mail["In-Reply-To"] = mail["References"] = f"<{message_id.strip('<>')}>"
    mail.set_content("\n".join(_text(lines)), cte="quoted-printable")
    return mail.as_bytes()


def _why_by_sender(envelope: Envelope) -> str | None:
    try:
        local = normalise(envelope.sender).rpartition("@")[0]
    except ValueError:
        return "unknown_sender"
    if _MACHINES.fullmatch(local) or _PARTS_OF_LISTS.fullmatch(local):
        return "automatic"
    verdicts = envelope.verdicts
    if verdicts.spf is not Verdict.PASS or Verdict.FAIL in (verdicts.dmarc, verdicts.dkim):
        return "unverified_sender"
    return None if verdicts.spam is Verdict.PASS and verdicts.virus is Verdict.PASS else "unverified_content"


def _why_by_headers(headers: Mapping[str, Sequence[str]]) -> str | None:
    def words(name: str) -> list[str]:
        return [re.split(r"[;\s(]", value.lower(), maxsplit=1)[0] for value in headers.get(name, [])]

    if any(word != "no" for word in words("auto-submitted")):
        return "automatic"
    if headers.keys() & {"x-auto-response-suppress", "x-autoreply", "x-autorespond", "x-loop", "feedback-id"}:
        return "automatic"
    if any(word in ("multipart/report", "message/delivery-status") for word in words("content-type")):
        return "report"
    if "<>" in headers.get("return-path", ["", ""])[:1]:
        return "null_sender"
    if any(word in ("bulk", "list", "junk", "auto_reply") for word in words("precedence")):
        return "bulk"
    return "list" if any(name.startswith("list-") or name == "mailing-list" for name in headers) else None


def _text(lines: Sequence[ReceiptLine]) -> list[str]:
    values = [f"{_one_line(line.filename)}: {line.outcome}" + _where(line) for line in lines[:_MOST_LINES]]
    more = [f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else []
    head = "Your e-mail was received. Status of the attachments:" if lines else "Your e-mail was received."
    return [head, "", *values, *more, "", "This is an automatic reply."]


def _where(line: ReceiptLine) -> str:
    return f", archive id {line.archive_id}" if line.archive_id else ""


def _mailbox(address: str) -> Mailbox:
    if not address.isascii():
        raise ValueError("not an address for a header")
    return Mailbox(addr_spec=address)


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
