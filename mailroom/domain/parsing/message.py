"""The steps of parsing an e-mail from its raw bytes."""

import re
from dataclasses import replace

from mailroom.domain.parsing.addresses import names_several, read_addresses
from mailroom.domain.parsing.attachments import attach
from mailroom.domain.parsing.contents import Contents, identity, read_contents
from mailroom.domain.parsing.dates import read_date
from mailroom.domain.parsing.fields import CarriedFields, carried_fields
from mailroom.domain.parsing.headers import Headers
from mailroom.domain.parsing.invitations import MOST_INVITATIONS
from mailroom.domain.parsing.limits import Defect, Limits, Reading
from mailroom.domain.parsing.model import ENCRYPTED, ParsedEmail
from mailroom.domain.parsing.opening import member_of, with_members
from mailroom.domain.parsing.partial import read_partial
from mailroom.domain.parsing.structure import split
from mailroom.domain.parsing.words import header_text

_BARE_CR = re.compile(rb"\r(?!\n)")
_CR_FIELD = re.compile(rb"\r[\w-]{1,100}+:")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def parse_email(raw: bytes, *, limits: Limits | None = None) -> ParsedEmail:
    """Return the parsed e-mail, as far as `raw` can be read. It never raises; faults are in `defects`."""
    reading = Reading(limits or Limits())
    mail, opened = read_mail(raw, reading=reading)
    attachments = with_members(mail.attachments, opened, read=read_mail, reading=reading)
    if attachments is mail.attachments:
        return mail
    left_out = dict(mail.left_out) | {word: {} for word in sorted(reading.encrypted)} | reading.left_out
    return replace(mail, attachments=attachments, defects=reading.defects, left_out=left_out)


def read_mail(raw: bytes, *, reading: Reading) -> tuple[ParsedEmail, list[bytes]]:
    """Return an e-mail whose attachments are not opened, and the containers among them whose content is its own."""
    raw = _prepare(raw, reading=reading)
    headers, leaves = split(raw, reading=reading)
    hint = next((charset for leaf in leaves if (charset := leaf.type.parameters.token(b"charset"))), None)
    contents = read_contents(raw, leaves, hint=hint, reading=reading)
    html = _joined(contents.htmls)
    senders = _senders(headers, hint=hint, reading=reading)
    carried = carried_fields(headers, hint=hint, reading=reading)
    invitations = tuple(dict.fromkeys(contents.invitations))
    partial = read_partial(leaves, reading=reading)
    mail = ParsedEmail(
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
        partial_id=partial.id,
        partial_number=partial.number,
        partial_total=partial.total,
        defects=reading.defects,
        reply_to=carried.reply_to,
        in_reply_to=carried.in_reply_to,
        references=carried.references,
        invitations=invitations[:MOST_INVITATIONS],
        header_fields=carried.header_fields,
        not_carried=_not_carried(carried, len(invitations), contents.entries_not_read),
        left_out=_unreadable(contents) | reading.left_out,
    )
    return mail, contents.opened


def _not_carried(carried: CarriedFields, invitations: int, not_read: int) -> dict[str, int]:
    more = max(0, invitations - MOST_INVITATIONS) + not_read
    return carried.not_carried | ({"invitations": more} if more else {})


def _prepare(raw: bytes, *, reading: Reading) -> bytes:
    """Cut the mail at the limit, remove byte order marks, and convert bare CR to line ends."""
    if not raw.strip():
        reading.note(Defect.EMPTY)
    if len(raw) > reading.limits.raw_bytes:
        reading.note(Defect.TOO_LARGE, size=len(raw) - reading.limits.raw_bytes)
        raw = raw[: reading.limits.raw_bytes]
    if raw.startswith(_UTF16):
        raw = _from_utf16(raw)
    if _ends_lines_by_cr(raw):
        raw = _BARE_CR.sub(b"\n", raw)
    return raw.removeprefix(b"\xef\xbb\xbf").lstrip()


def _ends_lines_by_cr(raw: bytes) -> bool:
    """Whether the lines of a mail, or those of its header block alone, end in a bare CR."""
    first = raw.find(b"\n")
    if first < 0:
        return b"\r" in raw
    block = raw.find(b"\r\r", 0, len(raw[:first].rstrip(b"\r")))
    return block >= 0 and _CR_FIELD.search(raw, 0, block) is not None


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


def _unreadable(contents: Contents) -> dict[str, dict[str, int]]:
    """Return the words of the encryptions that hide the mail, or a part of it."""
    return {word.value: {} for word in contents.protection if word in ENCRYPTED}


def _joined(parts: list[str]) -> str | None:
    """Return the parts joined by line breaks, or None if all are blank."""
    return "\n".join(part for part in parts if part.strip()) or None


def parse_member(request: bytes) -> ParsedEmail:
    """Return a mail whose only attachment is the member asked for; see `opening.member_of`."""
    return member_of(request, read=read_mail)
