"""An e-mail read from its raw bytes: the steps, in order."""

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
    """Return what `raw` says, as far as it can be read. It never raises; what is wrong is named in `defects`."""
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
    """Cut what is over the limit, take off byte order marks, and give a mail with bare CR its line ends."""
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
    """Return a mail that was saved as UTF-16 in UTF-8; as it is where only its first bytes look so."""
    try:
        return raw[: len(raw) & ~1].decode("utf-16").encode()
    except UnicodeError:
        return raw


def _senders(headers: Headers, *, hint: str | None, reading: Reading) -> tuple[str, ...]:
    """Return the mailboxes of the first From. More than one, more than one From, or a second address in one is what forgeries have."""
    values = [value for value in headers.all(b"from") if value]
    senders = read_addresses(values[:1], hint=hint, reading=reading)
    if len(values) > 1 or len(senders) > 1 or any(names_several(one) for one in senders):
        reading.note(Defect.SENDER_AMBIGUOUS)
    return senders


def _joined(parts: list[str]) -> str | None:
    """Return the parts below one another, or None where nothing is written in any."""
    return "\n".join(part for part in parts if part.strip()) or None
