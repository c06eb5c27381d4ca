"""JSON responses of the routes of inbound mail. Stable: fields are added, never renamed or removed."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from mailroom.api.mail_pictures import item_notices, text_of_html
from mailroom.api.sanitising import sanitise
from mailroom.api.v1.responses.carried import HeaderFieldResponse, InvitationResponse, ReportResponse
from mailroom.domain.inbound.filing_policy import Finding
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.inbound.received_email import Attachment, State
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.domain.mail.contained import Contained
from mailroom.outbound.json_model import JsonModel
from mailroom.ports.inbox_reader import EmailLine, FiledItem
from mailroom.ports.runs import Run

_AMBIGUOUS = "True if From has more than one address, so that mail programs may show different senders"
_ENVELOPE = "Who sent a mail without From, by its envelope (Return-Path); empty for a bounce, null if there is a From"
_READ = "Who opened its page first, or was done with it unopened; null for unread. Fetching it by the API marks nothing"
_DONE = "Who is done with it; null for to do"
_OLD = "null if an older release filed the item"
_INTERNAL = "For administrators; null with a tenant's key"
_UNROUTED = (
    "Recipients of the e-mail that have no route here, while others have one; for administrators. Null with a tenant's key, and "
    "where it is not known: mail of releases before this field, and mail known from the bucket alone"
)


class VerdictsResponse(JsonModel):
    """SES's verdicts on the mail; only PASS is a pass."""

    spam: Verdict
    virus: Verdict
    spf: Verdict
    dkim: Verdict
    dmarc: Verdict
    dmarc_policy: str | None


class ScanResponse(JsonModel):
    """The virus scanner's result; only `clean` is clean."""

    finding: Finding
    engine: str
    why: str | None
    signatures_of: datetime | None


class DepositReceiptResponse(JsonModel):
    """An archive receipt: what is archived, where, and until when it cannot be deleted.

    `verified_at` is when the archive last confirmed bytes and lock; `damage` is what a later check found wrong, or null.
    `bucket`, `key` and `version` are for administrators, and null with a tenant's key.
    """

    archive_id: str
    sha256: str
    size: int
    bucket: str | None
    key: str | None
    version: str | None
    lock_mode: str
    retain_until: datetime
    verified_at: datetime | None = Field(description="When the archive last confirmed the bytes and their lock")
    damage: str | None = Field(
        description="What a later check found wrong: `missing deposit`, `altered`, `wrong receipt`"
    )


class MemberResponse(JsonModel):
    """A file inside an attachment; download it at `url`, where it can be extracted."""

    number: int = Field(description="Its address within the attachment, from 1; 0 if it is listed only")
    name: str
    content_type: str | None = Field(description="Media type, where the container says it")
    size: int
    sha256: str | None = Field(description="Null if it is listed only")
    inside: int = Field(description="Number of the member that contains it; 0 is the attachment itself")
    text: str | None = Field(description="Of an attached mail: its heading and text, perhaps only the begin")
    text_cut: bool = Field(description="True if `text` is only the begin; the download has all of it")
    unopened: bool = Field(description="True if a limit was reached, so that what it contains is not listed")
    url: str | None


class PartialResponse(JsonModel):
    """Another part of the same split mail, in the same inbox."""

    id: str
    number: int
    total: int | None
    url: str


class AttachmentResponse(JsonModel):
    """One attachment; download it at `url`."""

    number: int
    filename: str
    content_type: str = Field(description="Media type declared by the sender")
    detected_type: str | None = Field(description="Media type detected from the content")
    size: int
    sha256: str
    inline: bool = Field(description="Decoration: a picture that the HTML draws, not counted among the attachments")
    content_id: str | None
    members: list[MemberResponse] = Field(
        description="What is inside: an attached mail's text and files, a signed file's content"
    )
    url: str
    archive: DepositReceiptResponse | None


class NoticeResponse(JsonModel):
    """What of a mail was not read or is not shown, or a fault of it."""

    code: str = Field(description="A word of `defects`, an encryption, or what of the HTML is not shown")
    sentence: str = Field(description="For people, with how much was left out where that is known")
    what_to_do: str | None
    count: int | None = Field(description="How many parts, files, pictures and so on; null if not known")
    bytes: int | None
    left_out: bool = Field(description="False for a fault that hides nothing")


class MarkResponse(JsonModel):
    """Who marked an item, and when; `by` is a person's or a key's name, null for mail from before the upgrade to this release."""

    at: datetime
    by: str | None


class MarksResponse(JsonModel):
    """The marks of an item, shared by all who see its inbox."""

    id: str
    read: MarkResponse | None = Field(description=_READ)
    done: MarkResponse | None = Field(description=_DONE)
    changed: bool = Field(description="False if it was so before: then `done` names who was first")


class ItemLineResponse(JsonModel):
    """An inbox item, as in a list."""

    id: str
    email_id: str
    tenant: str
    recipient: str
    subject: str | None
    from_: str | None = Field(serialization_alias="from")
    envelope_sender: str | None = Field(description=_ENVELOPE)
    sender_ambiguous: bool = Field(description=_AMBIGUOUS)
    received_at: datetime
    listed_at: datetime | None = Field(
        default=None, description="When it was put into the inbox: filed, or released after it was held"
    )
    attachments: int = Field(description="Number of attachments, without inline pictures")
    files: list[str] = Field(description="The names of the first three of them")
    snippet: str = Field(description="How the letter begins: at most 120 characters of its text; empty if it has none")
    read: MarkResponse | None = Field(description=_READ)
    done: MarkResponse | None = Field(description=_DONE)
    verdicts: VerdictsResponse | None


class ItemsResponse(BaseModel):
    """A page of an inbox; `next` is the `cursor` of the next page."""

    items: list[ItemLineResponse]
    next: str | None
    until: datetime | None = Field(
        default=None,
        description="With `since`: all items with an earlier `listed_at` are in this list; use it as `since` the next time",
    )


class ItemResponse(JsonModel):
    """One item with all its fields."""

    id: str
    email_id: str
    run_id: str | None = Field(description=_INTERNAL)
    tenant: str
    recipient: str
    user: str
    plus_token: str | None
    plus_tokens: list[str] | None = Field(description=f"Of all recipients that are this inbox; {_OLD}")
    message_id: str | None
    subject: str | None
    from_: str | None = Field(serialization_alias="from")
    envelope_sender: str | None = Field(description=_ENVELOPE)
    sender_ambiguous: bool = Field(description=_AMBIGUOUS)
    reply_to: list[str] | None = Field(description=f"Addresses of Reply-To; {_OLD}")
    to: list[str]
    cc: list[str]
    in_reply_to: list[str] | None = Field(description=f"Message-IDs without angle brackets; {_OLD}")
    references: list[str] | None = Field(
        description=f"Message-IDs of the thread, the first one first, without angle brackets; {_OLD}"
    )
    date: datetime | None
    received_at: datetime
    filed_at: datetime
    text: str | None
    html: str | None = Field(
        description="Sanitised HTML; null if there is none, or it is too large to sanitise: then `text` has its text"
    )
    defects: list[str]
    protection: list[str] | None = Field(
        description="`smime_signed`, `smime_encrypted`, `pgp_signed`, `pgp_encrypted`: recognised, never verified;"
        f" an encrypted mail cannot be read here; {_OLD}"
    )
    automatic_reply: bool | None = Field(description=f"An absence note or another automatic reply; {_OLD}")
    reports: list[ReportResponse] | None = Field(description=f"Parts for programs, without calendars; {_OLD}")
    invitations: list[InvitationResponse] | None = Field(description=f"Meetings and other calendar entries; {_OLD}")
    header_fields: list[HeaderFieldResponse] | None = Field(
        description="The other header fields in their order, at most 100 of 1,000 characters; without those of MIME, the"
        f" trace and signatures of servers (`raw_url` has all); {_OLD}"
    )
    not_carried: dict[str, int] | None = Field(
        description="Number of entries that a limit left out or cut, by the field above; the raw e-mail has them"
    )
    unrouted: list[str] | None = Field(description=_UNROUTED)
    left_out: dict[str, dict[str, int]] | None = Field(
        description="`count` and `bytes` that were left out, by the word; null for an item of an earlier release"
    )
    notices: list[NoticeResponse] = Field(
        description="What was not read or is not shown, and each defect, as a sentence"
    )
    partial_id: str | None = Field(
        description="Of a part of a split mail (message/partial): the id that its parts share"
    )
    partial_number: int | None
    partial_total: int | None = Field(description="How many parts there are; null where this part does not say it")
    partials: list[PartialResponse] = Field(description="The other parts of the split mail that this inbox has")
    read: MarkResponse | None = Field(description=_READ)
    done: MarkResponse | None = Field(description=_DONE)
    verdicts: VerdictsResponse | None
    scan: ScanResponse | None = Field(description="Null if the mail was not scanned")
    archive: DepositReceiptResponse | None = Field(description="Archive receipt of the raw e-mail")
    attachments: list[AttachmentResponse]
    raw_url: str = Field(description="The raw e-mail (.eml)")
    files_url: str | None = Field(description="All files as one zip; null if there are none")


class EmailResponse(JsonModel):
    """A received e-mail and its state."""

    id: str
    message_id: str
    state: State
    reason: str | None = Field(description="The word of up to 0.1.0, for one release; `reason_code` is the stable one")
    reason_code: str | None = Field(default=None, description="Why it is not filed, by the words of docs/reasons.md")
    why: str | None = Field(default=None, description="The same as a sentence")
    what_to_do: str | None = None
    attempts: int
    run_id: str | None = Field(description=_INTERNAL)
    received_at: datetime
    closed_at: datetime | None
    facts: dict[str, Any] = Field(description="For administrators; empty with a tenant's key")
    sender: str | None
    recipients: list[str]
    unrouted: list[str] | None = Field(default=None, description=_UNROUTED)


class EmailsResponse(BaseModel):
    """A page of received e-mails; `next` is the `cursor` of the next page."""

    items: list[EmailResponse]
    next: str | None


class RunResponse(JsonModel):
    """The scheduled flow run; a tenant's key sees only its `state`."""

    id: str | None
    name: str | None
    state: str
    url: str | None


class ReplayResponse(BaseModel):
    """An accepted replay."""

    email_id: str
    run: RunResponse


def item_response(filed: FiledItem, *, internal: bool) -> ItemResponse:
    """Return an item's response; `internal` adds its location in the archive."""
    item = filed.item
    safe = sanitise(item.html) if item.html else None
    values: dict[str, Any] = {name: getattr(item, name) for name in ItemResponse.model_fields if hasattr(item, name)}
    values |= {name: getattr(filed, name) for name in ItemResponse.model_fields if hasattr(filed, name)}
    if item.html and safe is None:
        values["text"] = item.text or text_of_html(item.html)
    values |= {
        "notices": item_notices(item, safe, framed=False),
        "html": safe.html if safe else None,
        "archive": _receipt(filed, item.raw_archive_id, internal),
        "attachments": [_attachment(filed, part, internal) for part in item.attachments],
        "partials": [
            {"id": one.id, "number": one.number, "total": one.total, "url": f"/v1/items/{one.id}"}
            for one in filed.partials
        ],
        "raw_url": f"/v1/items/{filed.id}/raw",
        "files_url": f"/v1/items/{filed.id}/files.zip" if item.attachments else None,
    }
    return ItemResponse.model_validate(values)


def email_answer(line: EmailLine) -> EmailResponse:
    """Return a ledger line with its reason in both spellings, as a sentence, and what to do."""
    why = {"reason": InboundReason.old_word(line.reason), **InboundReason.explain(line.reason)}
    return EmailResponse.model_validate(line).model_copy(update=why)


def replay_response(email_id: str, run: Run, *, internal: bool) -> ReplayResponse:
    """Return the run that a replay started; `internal` adds Prefect's ids and links."""
    started = (
        RunResponse.model_validate(run) if internal else RunResponse(id=None, name=None, state=run.state, url=None)
    )
    return ReplayResponse(email_id=email_id, run=started)


def _attachment(filed: FiledItem, part: Attachment, internal: bool) -> dict[str, Any]:
    listed = {name: getattr(part, name) for name in part.__slots__}
    url = f"/v1/items/{filed.id}/attachments/{part.number}"
    listed["members"] = [_member(url, member) for member in part.members]
    return listed | {"url": url, "archive": _receipt(filed, part.archive_id, internal)}


def _member(url: str, member: Contained) -> dict[str, Any]:
    listed = {name: getattr(member, name) for name in member.__slots__}
    at = f"{url}/members/{member.number}" if member.sha256 else None
    return listed | {"content_type": member.content_type or None, "url": at}


def _receipt(filed: FiledItem, archive_id: str, internal: bool) -> dict[str, Any] | None:
    kept = filed.deposits.get(archive_id)
    if kept is None:
        return None
    hidden: dict[str, Any] = {} if internal else dict.fromkeys(("bucket", "key", "version"))
    receipt = {name: getattr(kept, name) for name in kept.__slots__}
    return receipt | hidden | {"damage": filed.damages.get(archive_id)}
