"""The contents of a mail's parts: texts, files, reports, and how it is protected."""

import re
from dataclasses import dataclass, field, replace

from mailroom.domain.parsing.apple import DOUBLE, fork_name, may_be_apple, read_apple
from mailroom.domain.parsing.attachments import Found
from mailroom.domain.parsing.binhex import take_binhex
from mailroom.domain.parsing.bodies import Description, Role, body_text, describe, name_text
from mailroom.domain.parsing.cms import Kind
from mailroom.domain.parsing.headers import read_headers
from mailroom.domain.parsing.invitations import outlook_invitation
from mailroom.domain.parsing.limits import Defect, Reading
from mailroom.domain.parsing.model import Invitation, Protection, Report
from mailroom.domain.parsing.nameless import begins_as_file, described_name
from mailroom.domain.parsing.outlook import members_as_files
from mailroom.domain.parsing.reports import read_report, report_type
from mailroom.domain.parsing.signed_files import is_body, is_signed_type, read_signed
from mailroom.domain.parsing.structure import Leaf, split
from mailroom.domain.parsing.tnef import SIGNATURE, Tnef, read_tnef
from mailroom.domain.parsing.transfer import is_uuencoded, transfer_decode
from mailroom.domain.parsing.uuencode import TextFile, decode_part, take_files
from mailroom.domain.parsing.words import decode_words, header_text
from mailroom.domain.parsing.yenc import take_yenc

_ID = re.compile(r"<([^<>]+)>")
_PGP = re.compile(rb"(?m)^-----BEGIN PGP (SIGNED )?MESSAGE-----[ \t]*\r?$")
_ARMOUR = b"-----BEGIN PGP MESSAGE-----"
_PGP_IN_HTML = re.compile(rb"(?m)(?:^|>)-----BEGIN PGP MESSAGE-----[ \t]*(?:\r?$|<)")
_ENCODED = re.compile(rb"(?i)base64|quoted")
_FORWARDED = frozenset({"message/rfc822", "message/global", "message/news"})
_PROTECTED = {
    "application/pkcs7-signature": Protection.SMIME_SIGNED,
    "application/x-pkcs7-signature": Protection.SMIME_SIGNED,
    "application/pgp-signature": Protection.PGP_SIGNED,
    "application/pgp-encrypted": Protection.PGP_ENCRYPTED,
}
#: Parts whose content is elsewhere: nothing is fetched, and nothing is assembled from several mails.
_ELSEWHERE = {"message/partial": Defect.MESSAGE_PARTIAL, "message/external-body": Defect.EXTERNAL_BODY}


@dataclass(slots=True)
class Contents:
    """The contents collected from the leaves of one mail so far."""

    reading: Reading
    hint: str | None
    texts: list[str] = field(default_factory=list)
    htmls: list[str] = field(default_factory=list)
    found: list[Found] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    invitations: list[Invitation] = field(default_factory=list)
    entries_not_read: int = 0
    """The number of entries of calendars over the limit of invitations."""
    protection: dict[Protection, None] = field(default_factory=dict)
    shown: list[tuple[Leaf, bytes]] = field(default_factory=list)
    """Named texts with the disposition inline; the first one becomes the text of a mail without any other."""
    text_bytes: int = 0
    wrappings: int = 0
    container: tuple[Leaf, bytes] | None = None
    """The outermost S/MIME container that was opened; it is listed after what is inside."""
    opened: list[bytes] = field(default_factory=list)
    """Containers whose content is that of the mail itself."""
    apple_name: str | None = None
    """The document's name, by the header part of a multipart/appledouble."""

    def has_body(self, role: Role) -> bool:
        """Return whether a body of this role was found yet."""
        bodies = {Role.TEXT: self.texts, Role.HTML: self.htmls}.get(role, [])
        return any(one.strip() for one in bodies)

    @property
    def has_text(self) -> bool:
        """Whether a text was found yet."""
        return any(text.strip() for text in self.texts + self.htmls)


def read_contents(raw: bytes, leaves: list[Leaf], *, hint: str | None, reading: Reading) -> Contents:
    """Return the contents of `leaves` in order, including those of opaque-signed messages (S/MIME)."""
    contents = Contents(reading, hint)
    waiting = [(raw, leaf) for leaf in reversed(leaves)]
    while waiting:
        around, leaf = waiting.pop()
        data, files = _decoded(contents, leaf, around)
        inner = _unwrap(contents, leaf, data)
        if inner is None:
            _read_leaf(contents, leaf, data)
        else:
            waiting += [(inner, one) for one in reversed(split(inner, reading=reading)[1])]
        if files:
            _add_files(contents, files)
    _show_named_text(contents)
    if contents.container is not None:
        leaf, data = contents.container
        contents.found.append(_file(contents, leaf, describe(leaf, reading=reading), data))
    return contents


def _decoded(contents: Contents, leaf: Leaf, around: bytes) -> tuple[bytes, list[TextFile]]:
    """Return a part's content, and the files besides it in a uuencoded one, whose text around them is added at once."""
    data, encoding = around[leaf.start : leaf.end], leaf.headers.first(b"content-transfer-encoding")
    if not is_uuencoded(encoding):
        return transfer_decode(data, encoding, reading=contents.reading), []
    is_text = describe(leaf, reading=contents.reading).role is Role.TEXT
    data, files, words = decode_part(data, is_text=is_text, reading=contents.reading)
    if words:
        contents.texts.append(_body(contents, leaf, words))
    return data, files


def identity(value: bytes | None, *, reading: Reading) -> str | None:
    """Return a Message-ID or Content-ID without its angle brackets, or None."""
    text = header_text(value, hint=None, reading=reading) or ""
    match = _ID.search(text)
    return (match[1] if match else text).replace(" ", "") or None


def _unwrap(contents: Contents, leaf: Leaf, data: bytes) -> bytes | None:
    """Return the mail inside a part: S/MIME's content, whose protection is recorded, or an encoded multipart."""
    if leaf.type.parameters.raw(b"boundary"):
        return _within_wrappings(contents, _decoded_multipart(leaf, data))
    if not _may_be_cms(leaf, data):
        return None
    cms = read_signed(data, values=contents.reading.remaining.cms_values)
    if cms is None:
        contents.reading.note(Defect.SMIME_DAMAGED)
        return None
    if cms.kind is Kind.ENCRYPTED:
        contents.protection[Protection.SMIME_ENCRYPTED] = None
    if cms.kind is not Kind.SIGNED or not cms.content or not is_body(leaf, cms.content, reading=contents.reading):
        return None
    contents.protection[Protection.SMIME_SIGNED] = None
    inner = _within_wrappings(contents, cms.content)
    contents.opened.append(data)
    if inner is not None and contents.container is None:
        contents.container = leaf, data
    return inner


def _within_wrappings(contents: Contents, inner: bytes | None) -> bytes | None:
    """Return `inner`, or None if it exceeds the limit of wrappings."""
    contents.wrappings += inner is not None
    if contents.wrappings > contents.reading.limits.wrappings:
        contents.reading.note(Defect.TOO_DEEP, size=len(inner or b""))
        return None
    return inner


def _may_be_cms(leaf: Leaf, data: bytes) -> bool:
    """Whether a part is S/MIME, even if a gateway removed its type (RFC 8551 section 3.9)."""
    name = leaf.type.parameters.raw(b"name") or b""
    stripped = leaf.type.name == "application/octet-stream" and name.lower().endswith(b".p7m")
    return is_signed_type(leaf.type.name) or (stripped and data[:1] == b"\x30")


def _decoded_multipart(leaf: Leaf, data: bytes) -> bytes | None:
    """Return the decoded form of a multipart that was encoded as a whole, which RFC 2045 forbids and some senders do."""
    boundary = leaf.type.parameters.raw(b"boundary") or b""
    declared = leaf.headers.first(b"content-type") or b""
    encoding = leaf.headers.first(b"content-transfer-encoding") or b""
    if not _ENCODED.search(encoding) or b"--" + boundary not in data or b"multipart/" not in declared.lower():
        return None
    return b"Content-Type: " + declared + b"\r\n\r\n" + data


def _read_leaf(contents: Contents, leaf: Leaf, data: bytes) -> None:
    about = describe(leaf, reading=contents.reading)
    kind = leaf.type.name
    if kind in _PROTECTED:
        contents.protection[_PROTECTED[kind]] = None
    if kind in _ELSEWHERE:
        contents.reading.note(_ELSEWHERE[kind])
    if reported := report_type(kind, data):
        charset = leaf.type.parameters.token(b"charset")
        method = leaf.type.parameters.token(b"method")
        report, invitations, more = read_report(
            reported, data, charset=charset, method=method, reading=contents.reading
        )
        contents.reports += [report] if report else []
        # The same calendar comes as a part and as a file: what is left out of it is counted once.
        contents.entries_not_read += 0 if invitations and set(invitations) <= set(contents.invitations) else more
        contents.invitations += invitations
    if may_be_apple(kind, data) or leaf.around == DOUBLE:
        _read_apple(contents, leaf, about, data)
    else:
        _read_part(contents, leaf, about, data)


def _read_part(contents: Contents, leaf: Leaf, about: Description, data: bytes) -> None:
    if about.role is Role.ATTACHMENT or (about.name is not None and contents.has_body(about.role)):
        # Of several named alternatives of one type only the first is the body.
        _read_file(contents, leaf, about, data)
    elif about.role in (Role.TEXT, Role.HTML) and begins_as_file(data):
        _read_file(contents, leaf, about, data)
    elif about.role is Role.TEXT:
        _read_text(contents, leaf, data)
    elif about.role is Role.HTML:
        if _ARMOUR in data and _PGP_IN_HTML.search(data):
            contents.protection[Protection.PGP_ENCRYPTED] = None
        contents.htmls.append(_body(contents, leaf, data))


def _read_text(contents: Contents, leaf: Leaf, data: bytes) -> None:
    """Extract the files from a text, and keep the rest as text."""
    if b"-----BEGIN PGP " in data and (pgp := _PGP.search(data)):
        contents.protection[Protection.PGP_SIGNED if pgp[1] else Protection.PGP_ENCRYPTED] = None
    for take in (take_files, take_yenc, take_binhex):
        data, files = take(data, reading=contents.reading)
        _add_files(contents, files)
    contents.texts.append(_body(contents, leaf, data))


def _add_files(contents: Contents, files: list[TextFile]) -> None:
    for file in files:
        name = decode_words(file.name, hint=contents.hint, reading=contents.reading)
        contents.found.append(Found(name, "application/octet-stream", file.content))


def _body(contents: Contents, leaf: Leaf, data: bytes) -> str:
    """Return a body's text, within the limit of all texts together."""
    room = contents.reading.limits.text_bytes - contents.text_bytes
    if len(data) > room:
        contents.reading.note(Defect.TEXT_TOO_LONG, size=len(data) - room)
        data = data[:room]
    contents.text_bytes += len(data)
    return body_text(leaf, data, reading=contents.reading)


def _read_file(contents: Contents, leaf: Leaf, about: Description, data: bytes) -> None:
    tnef = read_tnef(data, reading=contents.reading) if data.startswith(SIGNATURE) else None
    if tnef is not None and tnef.meeting:
        contents.reports.append(Report("calendar", {"method": tnef.message_class or ""}, (tnef.meeting,)))
        contents.invitations.append(outlook_invitation(tnef.message_class, tnef.meeting))
    if tnef is not None and (tnef.members or (tnef.has_text and not contents.has_text)):
        _open_tnef(contents, tnef)
        return
    contents.found.append(_file(contents, leaf, about, data))
    if leaf.type.name in ("text/plain", "text/html") and about.disposition != "attachment" and not begins_as_file(data):
        contents.shown.append((leaf, data))


def _read_apple(contents: Contents, leaf: Leaf, about: Description, data: bytes) -> None:
    """Add a Mac's document under its name, and its other fork under a name of its own."""
    apple = read_apple(leaf.type.name, data, declared=leaf.around == DOUBLE)
    if apple is None and (leaf.around != DOUBLE or contents.apple_name is None):
        _read_part(contents, leaf, about, data)
        return
    file = _file(contents, leaf, about, data)
    if apple is None:
        contents.found.append(replace(file, suggestion=file.suggestion or contents.apple_name))
        contents.apple_name = None
        return
    name = contents.apple_name = file.name or apple.name
    if apple.document is not None:
        contents.found.append(replace(file, name=name, content_type="application/octet-stream", content=apple.document))
    contents.found.append(replace(file, name=fork_name(name), content_id=None))


def _show_named_text(contents: Contents) -> None:
    if contents.has_text or not contents.shown:
        return
    leaf, data = contents.shown[0]
    into = contents.htmls if leaf.type.name == "text/html" else contents.texts
    into.append(_body(contents, leaf, data))


def _open_tnef(contents: Contents, tnef: Tnef) -> None:
    """Add the container's members in its place, and its text if the mail has none."""
    contents.found.extend(members_as_files(tnef))
    if not contents.has_text:
        contents.texts.extend([tnef.text] if tnef.text else [])
        contents.htmls.extend([tnef.html] if tnef.html else [])


def _file(contents: Contents, leaf: Leaf, about: Description, data: bytes) -> Found:
    name = name_text(about.name, hint=contents.hint, reading=contents.reading) if about.name else None
    if name is None and (description := leaf.headers.first(b"content-description")):
        name = described_name(header_text(description, hint=contents.hint, reading=contents.reading))
    return Found(
        name=name,
        content_type=leaf.type.name,
        content=data,
        disposition=about.disposition,
        content_id=identity(leaf.headers.first(b"content-id"), reading=contents.reading),
        suggestion=_suggestion(contents, leaf, data),
    )


def _suggestion(contents: Contents, leaf: Leaf, data: bytes) -> str | None:
    """Return a name for a file if the sender gave none: a message's subject, or the usual one of OpenPGP (RFC 3156)."""
    if leaf.around == "multipart/encrypted" and leaf.type.name == "application/octet-stream":
        return "encrypted.asc"
    return _subject_of(data, silent=contents.reading.aside()) if leaf.type.name in _FORWARDED else None


def _subject_of(message: bytes, *, silent: Reading) -> str | None:
    """Return a file name for a forwarded message: its subject. Its faults are no defects of this mail."""
    headers, _ = read_headers(message, 0, min(len(message), silent.limits.header_block_bytes), reading=silent)
    subject = header_text(headers.first(b"subject"), hint=None, reading=silent)
    return f"{subject[:80].strip()}.eml" if subject else None
