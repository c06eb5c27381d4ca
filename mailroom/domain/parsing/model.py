"""The parsed e-mail: the values that the rest of Mailroom stores, shows and archives."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mailroom.domain.mail.carried import HeaderField as HeaderField
from mailroom.domain.mail.carried import Invitation as Invitation
from mailroom.domain.mail.carried import Report as Report
from mailroom.domain.mail.contained import Contained


class Protection(StrEnum):
    """How a mail is signed or encrypted. Recognised, never verified: it is no basis for trust."""

    SMIME_SIGNED = "smime_signed"
    SMIME_ENCRYPTED = "smime_encrypted"
    PGP_SIGNED = "pgp_signed"
    PGP_ENCRYPTED = "pgp_encrypted"


#: What is encrypted cannot be read here: no private key of a recipient is kept.
ENCRYPTED = frozenset({Protection.SMIME_ENCRYPTED, Protection.PGP_ENCRYPTED})


@dataclass(frozen=True, slots=True)
class ParsedAttachment:
    """An attachment: a file, a picture in the text, a forwarded message, or a member of winmail.dat."""

    filename: str
    """The sender's name for it, cleaned, at most 200 bytes; not unique in the mail. Never use it as a path."""
    display_name: str
    """`filename`, made unique in its mail, for display and download."""
    original_name: str | None
    """The sender's name, decoded; None if there was none."""
    content_type: str
    """As declared, in lower case and without parameters. The sender chose it: never serve a file with it."""
    detected_type: str | None
    """The type of the first bytes, if known."""
    size: int
    sha256: str
    inline: bool
    """Decoration: a picture that the mail's HTML draws, and no file that the sender attached (`parsing.decoration`)."""
    content_id: str | None
    """Without its angle brackets, so that it equals what follows `cid:` in the HTML."""
    content: bytes
    nested: bool = False
    """Found inside a container, such as a message inside winmail.dat."""
    members: tuple[Contained, ...] = ()
    """What is inside: an attached mail's texts and files, a signed file's content, the files in a .msg."""

    def as_dict(self) -> dict[str, Any]:
        """Return its JSON object: everything but the bytes."""
        return {
            "filename": self.filename,
            "display_name": self.display_name,
            "original_name": self.original_name,
            "content_type": self.content_type,
            "detected_type": self.detected_type,
            "size": self.size,
            "sha256": self.sha256,
            "inline": self.inline,
            "content_id": self.content_id,
            "members": [member.as_dict() for member in self.members],
        }


@dataclass(frozen=True, slots=True)
class ParsedEmail:
    """An e-mail as far as it could be read. Its strings contain neither NUL nor lone surrogates."""

    message_id: str | None = None
    subject: str | None = None
    from_: str | None = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    date: datetime | None = None
    """Aware; in UTC if the mail named no zone."""
    text: str | None = None
    html: str | None = None
    """As sent: sanitise it before it is shown."""
    attachments: tuple[ParsedAttachment, ...] = ()
    protection: tuple[str, ...] = ()
    """Words of `Protection`."""
    reports: tuple[Report, ...] = ()
    defects: tuple[str, ...] = ()
    """Words of `Defect`; they contain nothing that a sender wrote."""
    reply_to: tuple[str, ...] = ()
    in_reply_to: tuple[str, ...] = ()
    """Message-IDs without their angle brackets; `references` too."""
    references: tuple[str, ...] = ()
    invitations: tuple[Invitation, ...] = ()
    """The entries of its calendars, as people read them."""
    header_fields: tuple[HeaderField, ...] = ()
    """The other fields of its header block; `header_fields` says which."""
    not_carried: Mapping[str, int] = field(default_factory=dict)
    """The number of entries that a limit left out of the fields above, by the field's name."""
    left_out: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """How much could not be read: `count` and `bytes`, where known, by the word of a defect or of an encryption."""
    partial_id: str | None = None
    """Of a part of a split mail (message/partial): the id that its parts share."""
    partial_number: int | None = None
    partial_total: int | None = None
    """How many parts there are; only the last one must say it."""

    def as_dict(self) -> dict[str, Any]:
        """Return the object of the `parse` contract, ready for JSON; only a part of a split mail has `partial_...`."""
        split = {
            "partial_id": self.partial_id,
            "partial_number": self.partial_number,
            "partial_total": self.partial_total,
        }
        return {
            "message_id": self.message_id,
            "subject": self.subject,
            "from": self.from_,
            "to": list(self.to),
            "cc": list(self.cc),
            "date": self.date.isoformat() if self.date else None,
            "text": self.text,
            "html": self.html,
            "attachments": [attachment.as_dict() for attachment in self.attachments],
            "protection": list(self.protection),
            "reports": [report.as_dict() for report in self.reports],
            "defects": list(self.defects),
            "reply_to": list(self.reply_to),
            "in_reply_to": list(self.in_reply_to),
            "references": list(self.references),
            "invitations": [invitation.as_dict() for invitation in self.invitations],
            "header_fields": [one.as_dict() for one in self.header_fields],
            "not_carried": dict(self.not_carried),
            "left_out": {word: dict(known) for word, known in self.left_out.items()},
        } | (split if self.partial_id else {})
