"""An e-mail read from its raw bytes: the steps, in order."""

import re
from dataclasses import dataclass, field

from mailroom.domain.parsing.addresses import read_addresses
from mailroom.domain.parsing.attachments import Found, attach
from mailroom.domain.parsing.bodies import Description, Role, body_text, describe, name_text
from mailroom.domain.parsing.dates import read_date
from mailroom.domain.parsing.headers import Headers, read_headers
from mailroom.domain.parsing.limits import Defect, Limits, Reading
from mailroom.domain.parsing.model import ParsedEmail
from mailroom.domain.parsing.outlook import members_as_files
from mailroom.domain.parsing.structure import Leaf, split
from mailroom.domain.parsing.tnef import SIGNATURE, Tnef, read_tnef
from mailroom.domain.parsing.transfer import transfer_decode
from mailroom.domain.parsing.uuencode import take_files
from mailroom.domain.parsing.words import decode_words, header_text

_ID = re.compile(r"<([^<>]+)>")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_FORWARDED = frozenset({"message/rfc822", "message/global", "message/news"})


@dataclass(slots=True)
class _Content:
    """What the leaves gave so far."""

    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    shown: list[tuple[Leaf, bytes]] = field(default_factory=list)
    """Named texts that ask to be shown; a mail without any other text has the first of them as its text."""

    @property
    def has_text(self) -> bool:
        """Whether there is anything to read yet."""
        return any(text.strip() for text in self.texts + self.htmls)


def parse_email(raw: bytes, *, limits: Limits | None = None) -> ParsedEmail:
    """Return what `raw` says, as far as it can be read. It never raises; what is wrong is named in `defects`."""
    reading = Reading(limits or Limits())
    raw = _prepare(raw, reading=reading)
    headers, leaves = split(raw, reading=reading)
    hint = next((charset for leaf in leaves if (charset := leaf.type.parameters.token(b"charset"))), None)
    content = _Content()
    for leaf in leaves:
        _read_leaf(raw, leaf, content, hint=hint, reading=reading)
    _show_named_text(content, reading=reading)
    html = _joined(content.htmls)
    senders = _senders(headers, hint=hint, reading=reading)
    return ParsedEmail(
        message_id=_identity(headers.first(b"message-id"), reading=reading),
        subject=header_text(headers.first(b"subject"), hint=hint, reading=reading),
        from_=", ".join(senders) or None,
        to=read_addresses(headers.all(b"to"), hint=hint, reading=reading),
        cc=read_addresses(headers.all(b"cc"), hint=hint, reading=reading),
        date=read_date(headers.first(b"date"), reading=reading),
        text=_joined(content.texts),
        html=html,
        attachments=attach(content.found, html, reading=reading),
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


def _read_leaf(raw: bytes, leaf: Leaf, content: _Content, *, hint: str | None, reading: Reading) -> None:
    about = describe(leaf, reading=reading)
    data = transfer_decode(
        raw[leaf.start : leaf.end], leaf.headers.first(b"content-transfer-encoding"), reading=reading
    )
    if about.role is Role.TEXT:
        data, files = take_files(data, reading=reading)
        content.texts.append(body_text(leaf, data, reading=reading))
        for file in files:
            name = decode_words(file.name, hint=hint, reading=reading)
            content.found.append(Found(name, "application/octet-stream", file.content))
    elif about.role is Role.HTML:
        content.htmls.append(body_text(leaf, data, reading=reading))
    elif about.role is Role.ATTACHMENT:
        tnef = read_tnef(data, reading=reading) if data.startswith(SIGNATURE) else None
        if tnef is not None and tnef.members:
            _open_tnef(tnef, content)
        else:
            content.found.append(_file(leaf, about, data, hint=hint, reading=reading))
            if leaf.type.name in ("text/plain", "text/html") and about.disposition != "attachment":
                content.shown.append((leaf, data))


def _show_named_text(content: _Content, *, reading: Reading) -> None:
    if content.has_text or not content.shown:
        return
    leaf, data = content.shown[0]
    into = content.htmls if leaf.type.name == "text/html" else content.texts
    into.append(body_text(leaf, data, reading=reading))


def _open_tnef(tnef: Tnef, content: _Content) -> None:
    """Put the members in the container's place, and its text where the mail has none."""
    content.found.extend(members_as_files(tnef))
    if not content.has_text:
        content.texts.extend([tnef.text] if tnef.text else [])
        content.htmls.extend([tnef.html] if tnef.html else [])


def _file(leaf: Leaf, about: Description, data: bytes, *, hint: str | None, reading: Reading) -> Found:
    name = name_text(about.name, hint=hint, reading=reading) if about.name else None
    return Found(
        name=name,
        content_type=leaf.type.name,
        content=data,
        disposition=about.disposition,
        content_id=_identity(leaf.headers.first(b"content-id"), reading=reading),
        suggestion=_subject_of(data) if leaf.type.name in _FORWARDED else None,
    )


def _subject_of(message: bytes) -> str | None:
    """Return a file name for a forwarded message: its subject. What is wrong with it is no defect of this mail."""
    silent = Reading()
    headers, _ = read_headers(message, 0, min(len(message), silent.limits.header_block_bytes), reading=silent)
    subject = header_text(headers.first(b"subject"), hint=None, reading=silent)
    return f"{subject[:80].strip()}.eml" if subject else None


def _senders(headers: Headers, *, hint: str | None, reading: Reading) -> tuple[str, ...]:
    """Return the mailboxes of the first From. More than one, or more than one From, is what forgeries have."""
    values = [value for value in headers.all(b"from") if value]
    senders = read_addresses(values[:1], hint=hint, reading=reading)
    if len(values) > 1 or len(senders) > 1:
        reading.note(Defect.SENDER_AMBIGUOUS)
    return senders


def _identity(value: bytes | None, *, reading: Reading) -> str | None:
    """Return a Message-ID or Content-ID without its angle brackets, or None."""
    text = header_text(value, hint=None, reading=reading) or ""
    match = _ID.search(text)
    return (match[1] if match else text).replace(" ", "") or None


def _joined(parts: list[str]) -> str | None:
    """Return the parts below one another, or None where nothing is written in any."""
    return "\n".join(part for part in parts if part.strip()) or None
