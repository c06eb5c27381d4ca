"""The steps of parsing an e-mail from its raw bytes."""

from mailroom.domain.parsing.addresses import names_several, read_addresses
from mailroom.domain.parsing.attachments import attach
from mailroom.domain.parsing.contents import identity, read_contents
from mailroom.domain.parsing.dates import read_date
from mailroom.domain.parsing.headers import Headers
from mailroom.domain.parsing.limits import Defect, Limits, Reading
from mailroom.domain.parsing.model import ParsedEmail
from mailroom.domain.parsing.structure import split
from mailroom.domain.parsing.words import header_text

_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def parse_email(raw: bytes, *, limits: Limits | None = None) -> ParsedEmail:
    """Return the parsed e-mail, as far as `raw` can be read. It never raises; faults are in `defects`."""
    reading = Reading(limits or Limits())
    raw = _prepare(raw, reading=reading)
    headers, leaves = split(raw, reading=reading)
    hint = next((charset for leaf in leaves if (charset := leaf.type.parameters.token(b"charset"))), None)
    contents = read_contents(raw, leaves, hint=hint, reading=reading)
    html = _joined(contents.htmls)
    senders = _senders(headers, hint=hint, reading=reading)
    return ParsedEmail(
        message_id=identity(headers.first(b"message-id"), reading=reading),
        subject=header_text(headers.first(b"subject"), hint=hint, reading=reading),
        from_=", ".join(senders) or None,
        to=read_addresses(headers.all(b"to"), hint=hint, reading=reading),
        cc=read_addresses(headers.all(b"cc"), hint=hint, reading=reading),
        date=read_date(headers.first(b"date"), reading=reading),
        text=_joined(contents.texts),
        html=html,
        attachments=attach(contents.found, html, reading=reading),
        protection=tuple(word.value for word in contents.protection),
        reports=tuple(contents.reports),
        defects=reading.defects,
    )


def _prepare(raw: bytes, *, reading: Reading) -> bytes:
    """Cut the mail at the limit, remove byte order marks, and convert bare CR to line ends."""
    if not raw.strip():
        reading.note(Defect.EMPTY)
    if len(raw) > reading.limits.raw_bytes:
        reading.note(Defect.TOO_LARGE)
        raw = raw[: reading.limits.raw_bytes]
    if raw.startswith(_UTF16):
        raw = _from_utf16(raw)
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip()


def _from_utf16(raw: bytes) -> bytes:
    """Return a mail that was saved as UTF-16 in UTF-8; unchanged if only its first bytes look like UTF-16."""
    try:
        return raw[: len(raw) & ~1].decode("utf-16").encode()
    except UnicodeError:
        return raw


def _senders(headers: Headers, *, hint: str | None, reading: Reading) -> tuple[str, ...]:
    """Return the mailboxes of the first From. Several mailboxes, several From headers, or two addresses in one are a defect."""
    values = [value for value in headers.all(b"from") if value]
    senders = read_addresses(values[:1], hint=hint, reading=reading)
    if len(values) > 1 or len(senders) > 1 or any(names_several(one) for one in senders):
        reading.note(Defect.SENDER_AMBIGUOUS)
    return senders


def _joined(parts: list[str]) -> str | None:
    """Return the parts joined by line breaks, or None if all are blank."""
    return "\n".join(part for part in parts if part.strip()) or None
