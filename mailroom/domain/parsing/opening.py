"""Opened attachments: the texts and files of an attached mail, and the content of a signed file, as members of it.

A member is derived from the bytes of its attachment, which the archive has: the same bytes give the same members, so that
none is deposited. What is inside a member is a member too, up to `container_depth`; what is deeper is not listed, and the
member says so.
"""

import hashlib
import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum, auto

from mailroom.domain.mail.contained import Contained
from mailroom.domain.parsing.attachments import detected_type
from mailroom.domain.parsing.cms import Kind
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.model import ENCRYPTED, Invitation, ParsedAttachment, ParsedEmail, Protection
from mailroom.domain.parsing.names import display_name, ending_of
from mailroom.domain.parsing.signed_files import is_entity, is_signed_type, read_signed

ReadMail = Callable[..., tuple[ParsedEmail, list[bytes]]]

_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_FIRST_FIELD = re.compile(rb"(?:\xef\xbb\xbf)?\s{0,20}(?:>?From [^\n]{0,500}\n)?[A-Za-z][\w-]{0,100}[ \t]{0,9}:")
_TAG = re.compile(r"(?is)<(script|style|title)\b.*?(?:</\1\s*>|\Z)|<[^<>]*>")
#: `a.xml (2).p7m` is the second `a.xml.p7m` of its mail; inside is `a.xml`.
_NUMBERED = re.compile(r"(\.\w{1,8}) \([0-9]{1,6}\)$")
_MOST_HTML = 400_000
#: Limits of an attached mail that are limits of the whole: what it leaves out is not listed.
_LIMITS = frozenset(
    {Defect.TOO_DEEP, Defect.TOO_MANY_PARTS, Defect.TOO_MANY_DELIMITERS, Defect.TOO_MANY_FILES, Defect.FILES_TOO_LARGE,
     Defect.TOO_MANY_PROPERTIES, Defect.TEXT_TOO_LONG}
)  # fmt: skip


class _Form(Enum):
    MESSAGE = auto()
    SIGNED = auto()


@dataclass(frozen=True, slots=True)
class _Entry:
    """Something found in a container; `text` is what a person reads of it."""

    name: str
    content_type: str
    content: bytes
    text: str | None = None
    sha256: str = ""
    is_open: bool = False
    """Whether its content is listed beside it already."""


@dataclass(frozen=True, slots=True)
class _Container:
    entry: _Entry
    form: _Form
    number: int
    depth: int


def with_members(
    attachments: tuple[ParsedAttachment, ...], opened: list[bytes], *, read: ReadMail, reading: Reading
) -> tuple[ParsedAttachment, ...]:
    """Return the attachments with their members; those in `opened` have theirs in the mail itself."""
    if not any(_form(one.display_name, one.content_type, one.content) for one in attachments):
        return attachments
    return tuple(
        one
        if one.members or any(one.content is data for data in opened)
        else replace(one, members=tuple(member for member, _ in members_of(one, read=read, reading=reading)))
        if _form(one.display_name, one.content_type, one.content)
        else one
        for one in attachments
    )


def member_of(request: bytes, *, read: ReadMail) -> ParsedEmail:
    """Return a mail whose only attachment is one member: the answer to `request_for`; without any if it is not there."""
    line, _, content = request.partition(b"\n")
    if not line:
        return ParsedEmail()
    values = json.loads(line)
    part = _attachment(_Entry(values["name"], values["content_type"], content), "")
    for member, data in members_of(part, read=read, reading=Reading()):
        if member.sha256 == values["sha256"]:
            entry = _Entry(member.name, member.content_type, data)
            return ParsedEmail(attachments=(_attachment(entry, values["sha256"]),))
    return ParsedEmail()


def request_for(content: bytes, *, name: str, content_type: str, sha256: str) -> bytes:
    """Return the request for the member with this digest of an attachment, by the name that the inbox has for it."""
    return json.dumps({"name": name, "content_type": content_type, "sha256": sha256}).encode() + b"\n" + content


def members_of(part: ParsedAttachment, *, read: ReadMail, reading: Reading) -> Iterator[tuple[Contained, bytes]]:
    """Yield the members of an attachment with their bytes, those of each container together, the outer ones first."""
    outer = _Entry(part.display_name, part.content_type, part.content)
    form = _form(outer.name, outer.content_type, outer.content)
    waiting = [_Container(outer, form, 0, 0)] if form and _may_open(outer, 0, reading=reading) else []
    number = 0
    while waiting:
        container = waiting.pop(0)
        for entry in _entries(container, read=read, reading=reading):
            if not reading.remaining.members.take():
                reading.note(Defect.TOO_MANY_FILES, count=1, size=len(entry.content))
                continue
            number += 1
            inner = None if entry.is_open else _form(entry.name, entry.content_type, entry.content)
            opens = inner is not None and _may_open(entry, container.depth + 1, reading=reading)
            if inner and opens:
                waiting.append(_Container(entry, inner, number, container.depth + 1))
            yield (
                _member(entry, number, container.number, unopened=bool(inner) and not opens, reading=reading),
                entry.content,
            )


def _form(name: str, content_type: str, content: bytes) -> _Form | None:
    """Return the form of a container, by its type, or by its name where the type does not say what it is."""
    ending = name.lower().rpartition(".")[2]
    if content_type in _MESSAGES or (ending == "eml" and _FIRST_FIELD.match(content)):
        return _Form.MESSAGE
    return _Form.SIGNED if is_signed_type(content_type) or ending == "p7m" else None


def _may_open(entry: _Entry, depth: int, *, reading: Reading) -> bool:
    """Whether a container is within the limits of the mail, which it then uses up; otherwise the limit is noted."""
    remaining, size = reading.remaining, len(entry.content)
    if depth >= reading.limits.container_depth:
        reading.note(Defect.TOO_DEEP, size=size)
    elif not remaining.containers.take():
        reading.note(Defect.TOO_MANY_FILES)
    elif size > remaining.container_bytes.left:
        reading.note(Defect.FILES_TOO_LARGE)
    else:
        remaining.container_bytes.take(size)
        return True
    return False


def _entries(container: _Container, *, read: ReadMail, reading: Reading) -> Iterator[_Entry]:
    """Yield what is in a container; nothing if it cannot be read."""
    if container.form is _Form.MESSAGE:
        yield from _of_message(container.entry, read=read, reading=reading)
    else:
        yield from _of_signed(container.entry, reading=reading)


def _of_signed(entry: _Entry, *, reading: Reading) -> Iterator[_Entry]:
    cms = read_signed(entry.content, values=reading.remaining.cms_values)
    if cms is not None and cms.kind is Kind.ENCRYPTED:
        reading.encrypted.add(Protection.SMIME_ENCRYPTED)
    if cms is None or cms.kind is not Kind.SIGNED or not cms.content:
        return
    name = entry.name[:-4] if entry.name.lower().endswith(".p7m") else entry.name
    name = _NUMBERED.sub(r"\1", name)
    if is_entity(cms.content) and "." not in name:
        yield _Entry(f"{name}.eml", "message/rfc822", cms.content)
    else:
        ending = "" if "." in name else ending_of(detected_type(cms.content) or "")
        yield _Entry(f"{name}{ending}", "application/octet-stream", cms.content)


def _of_message(entry: _Entry, *, read: ReadMail, reading: Reading) -> Iterator[_Entry]:
    """Yield the text of an attached mail with its heading, its HTML, then its files."""
    inner = reading.aside()
    mail, opened = read(entry.content, reading=inner)
    reading.encrypted.update(word for word in mail.protection if word in ENCRYPTED)
    for word in inner.defects:
        if word in _LIMITS:
            amounts = inner.left_out.get(word, {})
            reading.note(Defect(word), count=amounts.get("count", 0), size=amounts.get("bytes", 0))
    if text := _readable(mail):
        yield _Entry("message.txt", "text/plain", text.encode(), text)
    if mail.html:
        yield _Entry("message.html", "text/html", mail.html.encode())
    for part in mail.attachments:
        is_open = any(part.content is data for data in opened)
        yield _Entry(part.display_name, part.content_type, part.content, sha256=part.sha256, is_open=is_open)


def _readable(mail: ParsedEmail) -> str:
    """Return the heading of a mail, its meetings, and its text or that of its HTML; empty if it has none of them."""
    heading = {
        "From": mail.from_,
        "To": ", ".join(mail.to),
        "Cc": ", ".join(mail.cc),
        "Date": mail.date.isoformat(" ", "minutes") if mail.date else None,
        "Subject": mail.subject,
    }
    lines = [f"{name}: {value}" for name, value in heading.items() if value]
    lines += [line for one in mail.invitations for line in _meeting(one)]
    text = mail.text or html.unescape(_TAG.sub(" ", (mail.html or "")[:_MOST_HTML]))
    return "\n".join([*lines, "", text]) if lines or text.strip() else ""


def _meeting(invitation: Invitation) -> list[str]:
    """Return an entry of an attached mail's calendar as lines; the page has no other place for it."""
    what = "Meeting" if invitation.component == "event" else invitation.component.replace("_", " ").capitalize()
    times = [" ".join(filter(None, (one.local, one.zone))) for one in (invitation.starts, invitation.ends) if one]
    about = {
        f"{what} ({invitation.action})" if invitation.action else what: invitation.summary or "(no title)",
        # The end of a whole day is the day after it.
        "When": (" to before " if invitation.all_day else " to ").join(times),
        "Where": invitation.location,
        "Organiser": invitation.organiser,
    }
    return ["", *(f"{name}: {value}" for name, value in about.items() if value)]


def _member(entry: _Entry, number: int, inside: int, *, unopened: bool, reading: Reading) -> Contained:
    text = entry.text or ""
    granted = reading.remaining.member_text.take(len(text))
    longest = reading.limits.name_bytes
    return Contained(
        name=display_name(entry.name, content_type=entry.content_type, number=number, longest=longest),
        size=len(entry.content),
        number=number,
        content_type=entry.content_type,
        sha256=entry.sha256 or hashlib.sha256(entry.content).hexdigest(),
        inside=inside,
        text=text[:granted] or None,
        text_cut=granted < len(text),
        unopened=unopened,
    )


def _attachment(entry: _Entry, sha256: str) -> ParsedAttachment:
    return ParsedAttachment(
        entry.name, entry.name, None, entry.content_type, None, len(entry.content), sha256, False, None, entry.content
    )
