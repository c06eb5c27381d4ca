"""A file inside an attachment: what the parser lists, the inbox stores, and pages and API show."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mailroom.domain.mail.typed_fields import fitting


@dataclass(frozen=True, slots=True)
class Contained:
    """A member of an attachment: a text or file of an attached mail, or the content of a signed file.

    `number` is its address within the attachment, from 1. A member without `sha256` is listed only, as the files in an
    Outlook item (.msg) are: it has no bytes of its own.
    """

    name: str
    size: int
    number: int = 0
    content_type: str = ""
    sha256: str | None = None
    inside: int = 0
    """The number of the member that contains it; 0 is the attachment itself."""
    text: str | None = None
    """Of an attached mail: its heading and its text, for the page and for search."""
    text_cut: bool = False
    """Whether `text` is only the begin; the bytes have all of it."""
    unopened: bool = False
    """Whether it contains more that is not listed, because a limit was reached."""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that are not as by default, ready for JSON; name and size always."""
        values = {one.name: (getattr(self, one.name), one.default) for one in fields(self)}
        return {name: value for name, (value, usual) in values.items() if value != usual}


def contained_of(values: Mapping[str, Any]) -> Contained:
    """Return the member of a dict made by `as_dict`; what a later release adds is left out.

    Raises:
        TypeError: a value is not of its type, or name or size is missing.
    """
    known = {one.name for one in fields(Contained)}
    return fitting(Contained(**{name: value for name, value in values.items() if name in known}))
