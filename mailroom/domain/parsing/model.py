"""What a parsed e-mail is: the values that the rest of Mailroom stores, shows and archives."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class ParsedAttachment:
    """What a person would call an attachment: a file, an inline image, a forwarded message, a member of winmail.dat."""

    filename: str
    """A display name: clean, at most 200 bytes, and unique in its mail. Never a path to write to."""
    original_name: str | None
    """The name as the sender gave it, decoded; None where there was none."""
    content_type: str
    """As declared, in lower case and without parameters. The sender chose it: never serve a file by it."""
    detected_type: str | None
    """What the first bytes look like, where that is known."""
    size: int
    sha256: str
    inline: bool
    content_id: str | None
    """Without its angle brackets, so that it equals what follows `cid:` in the HTML."""
    content: bytes
    nested: bool = False
    """Found inside a container, such as a message inside winmail.dat."""

    def as_dict(self) -> dict[str, Any]:
        """Return what programs are told about it: everything but the bytes."""
        return {
            "filename": self.filename,
            "content_type": self.content_type,
            "size": self.size,
            "sha256": self.sha256,
            "inline": self.inline,
            "content_id": self.content_id,
        }


@dataclass(frozen=True, slots=True)
class ParsedEmail:
    """An e-mail as far as it could be read. Its strings hold neither NUL nor lone surrogates."""

    message_id: str | None = None
    subject: str | None = None
    from_: str | None = None
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    date: datetime | None = None
    """Aware; in UTC where the mail named no zone."""
    text: str | None = None
    html: str | None = None
    """As sent: sanitise it before anyone looks at it."""
    attachments: tuple[ParsedAttachment, ...] = ()
    defects: tuple[str, ...] = ()
    """Words of `Defect`; nothing that a sender wrote is among them."""

    def as_dict(self) -> dict[str, Any]:
        """Return the object of the `parse` contract, ready for JSON."""
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
            "defects": list(self.defects),
        }
