"""Previews of files: one page of a document, or a picture, as a picture that is made here."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mailroom.domain.inbound.received_email import Attachment
from mailroom.domain.mail.contained import Contained

#: The types, by content, of the files that have a preview. Not SVG and HTML, which are documents with scripts.
PREVIEWED = frozenset({"application/pdf", "image/png", "image/jpeg", "image/gif", "image/webp", "image/tiff"})
#: A larger file has no preview.
MAX_PREVIEWED = 64_000_000


@dataclass(frozen=True, slots=True)
class Preview:
    """Page `page` of `pages`, from 1, as a PNG or JPEG of `width` by `height` pixels."""

    content: bytes
    content_type: str
    page: int
    pages: int
    width: int
    height: int


class NoPreview(StrEnum):
    """Why there is no preview."""

    PASSWORD = "password"  # noqa: S105 - a reason, not a password
    DAMAGED = "damaged"
    TOO_LARGE = "too_large"
    TOO_SLOW = "too_slow"
    OTHER_TYPE = "other_type"
    NO_SUCH_PAGE = "no_such_page"

    @property
    def sentence(self) -> str:
        """The reason for people."""
        return _SENTENCES[self]


_SENTENCES = {
    NoPreview.PASSWORD: "This PDF is protected with a password, so it cannot be shown here.",
    NoPreview.DAMAGED: "This file is damaged or incomplete: it cannot be shown here.",
    NoPreview.TOO_LARGE: "This file is too large to be shown here.",
    NoPreview.TOO_SLOW: "This page is too complex to be drawn in time.",
    NoPreview.OTHER_TYPE: "This file is neither a PDF nor a picture of a type that is shown here.",
    NoPreview.NO_SUCH_PAGE: "This document has no such page.",
}

#: Ends of names of files inside an attachment, whose types are only declared.
_ENDINGS = (".pdf", ".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff")


def previewed(file: Attachment | Contained) -> bool:
    """Return whether a preview of a file is offered; what it is, the preview itself decides by its bytes."""
    if file.size > MAX_PREVIEWED:
        return False
    if isinstance(file, Attachment):
        return file.detected_type in PREVIEWED
    return file.sha256 is not None and (file.content_type in PREVIEWED or file.name.lower().endswith(_ENDINGS))


class Previewer(Protocol):
    """Draws previews, isolated so that a hostile file harms nothing else."""

    def preview(self, content: bytes, page: int) -> Preview | NoPreview:
        """Return a preview of page `page`, from 1, of a file, by its content alone; or why there is none. It always returns.

        Raises:
            TransientError: no process could be started.
        """
