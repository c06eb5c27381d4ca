"""A mail as bytes on the wire (RFC 5322, MIME), written by the standard library's generator.

Headers are folded and encoded by `email.header`, for the newer `email.policy` wraps long words (a link to unsubscribe, a
message id) in encoded words that no receiver reads. The same mail gives the same bytes: boundaries are derived from its id
and contain a character that neither quoted-printable nor base64 can. All is ASCII, except for addresses with a non-ASCII
local part (RFC 6532), which may be sent only to a server with SMTPUTF8.
"""

import base64
import quopri
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from email.generator import BytesGenerator
from email.header import Header
from email.message import Message
from email.policy import Compat32
from email.utils import format_datetime, formataddr
from io import BytesIO
from itertools import count
from typing import Any
from urllib.parse import quote

from mailroom.domain.errors import Refused
from mailroom.domain.outbound.content_rules import ADDRESSED, check, mailboxes, on_the_wire
from mailroom.domain.outbound.media_types import parameter
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.domain.outbound.wire_size import base64_size

CORRELATION = "X-Correlation-ID"
#: Name of the provider's tag, metadata or argument that contains our id.
TAG = "mailroom-id"
ONE_CLICK = "List-Unsubscribe=One-Click"
_LEAVE = "List-Unsubscribe"
#: A line has 998 characters at most (RFC 5322 section 2.1.1), and begins with the header's name.
_LINK_PIECE = 900

_POLICY = Compat32(linesep="\r\n", max_line_length=78, cte_type="8bit")
#: A longer word, with the blanks before it, is encoded: a line has 998 characters at most (RFC 5322 section 2.1.1) and is
#: folded before blanks only.
_LONGEST_WORD = 920
_WORDS = re.compile(r" *[^ ]+")
_SEGMENT = 60


def mime(mail: Outgoing, *, message_id: str, date: datetime) -> bytes:
    """Return the mail with CRLF line ends; `message_id` has no angle brackets, `date` is aware.

    Raises:
        Refused: a part breaks a rule of `mailroom.domain.outbound.content_rules`.
    """
    check(mail)
    numbers = count()
    root = _body(mail, numbers)
    headers = [*_headers(mail, message_id, date), ("MIME-Version", "1.0")]
    content = root.items()
    for name, _ in content:
        del root[name]
    for name, value in [*headers, *content]:
        root[name] = value
    out = BytesIO()
    BytesGenerator(out, mangle_from_=False, policy=_POLICY).flatten(root)
    raw = out.getvalue()
    _check_names(raw, [name for name, _ in [*headers, *content]])
    return raw


def tagged_headers(mail: Outgoing) -> list[tuple[str, str]]:
    """Return the additional headers: ours, those of one-click unsubscribe (RFC 8058), and the caller's."""
    own = [(CORRELATION, mail.id)]
    if mail.unsubscribe is not None:
        own += [(_LEAVE, f"<{_foldable(mail.unsubscribe)}>"), ("List-Unsubscribe-Post", ONE_CLICK)]
    return [*own, *((name, _addressed(value) if name.lower() in ADDRESSED else value) for name, value in mail.headers)]


def _headers(mail: Outgoing, message_id: str, date: datetime) -> Iterator[tuple[str, Any]]:
    yield "From", _mailbox("From", mail.from_)
    yield "To", _mailbox("To", mail.to)
    if mail.reply_to is not None:
        yield "Reply-To", _mailbox("Reply-To", mail.reply_to)
    yield "Subject", _text("Subject", mail.subject)
    yield "Date", format_datetime(date)
    yield "Message-ID", f"<{message_id}>"
    for name, value in tagged_headers(mail):
        yield name, _text(name, value)


def _foldable(link: str) -> str:
    """Return a link with a blank wherever a line has to end: within angle brackets, blanks are ignored (RFC 2369 section 2)."""
    return " ".join(link[at : at + _LINK_PIECE] for at in range(0, len(link), _LINK_PIECE))


def _addressed(value: str) -> str:
    """Return mailboxes as they are written into a header, in ASCII: only their names may become encoded words (RFC 2047)."""
    return ", ".join(_ascii_mailbox(party) for party in mailboxes(value))


def _ascii_mailbox(party: Party) -> str:
    if _may_stay(party.name):
        return formataddr((party.name, party.address))
    return f"{' '.join(Header(party.name, 'utf-8').encode().split())} <{party.address}>"


def _text(name: str, value: str) -> Header:
    # Of these `tagged_headers` has made ASCII that stays as it is.
    is_ready = name == _LEAVE or name.lower() in ADDRESSED
    charset = "us-ascii" if is_ready or _may_stay(value) else "utf-8"
    return Header(value.strip(), charset, header_name=name, maxlinelen=78)


def _mailbox(name: str, party: Party) -> str | Header:
    address = on_the_wire(party.address)
    if not address.isascii():
        # As escaped bytes, which the generator writes unchanged: the address must not become an encoded word.
        shown = f'"{_quoted(party.name)}" <{address}>' if party.name else address
        return shown.encode().decode("ascii", "surrogateescape")
    if _may_stay(party.name):
        return Header(formataddr((party.name, address)), "us-ascii", header_name=name, maxlinelen=78)
    header = Header(header_name=name, maxlinelen=78)
    header.append(party.name, "utf-8")
    header.append(f"<{address}>", "us-ascii")
    return header


def _may_stay(value: str) -> bool:
    # A mail program would decode a literal encoded word.
    return value.isascii() and "=?" not in value and all(len(word) < _LONGEST_WORD for word in _WORDS.findall(value))


def _quoted(name: str) -> str:
    return name.replace("\\", "\\\\").replace('"', '\\"')


def _body(mail: Outgoing, numbers: Iterator[int]) -> Message:
    inline = [file for file in mail.attachments if _is_inline(file, mail)]
    attached = [file for file in mail.attachments if not _is_inline(file, mail)]
    invitation = next((file for file in attached if _is_invitation(file)), None)
    attached = [file for file in attached if file is not invitation]
    texts = [] if mail.text is None else [_text_part("plain", mail.text)]
    if mail.html is not None:
        html = _text_part("html", mail.html)
        texts.append(_multipart("related", [html, *map(_file_part, inline)], mail, numbers) if inline else html)
    if invitation is not None:
        # Programs that show meetings look for the last form of the text (RFC 2046 section 5.1.4), not for an attachment.
        texts.append(_file_part(invitation, "inline"))
    text_part = texts[0] if len(texts) == 1 else _multipart("alternative", texts, mail, numbers)
    return _multipart("mixed", [text_part, *map(_file_part, attached)], mail, numbers) if attached else text_part


def _is_inline(file: File, mail: Outgoing) -> bool:
    return file.content_id is not None and mail.html is not None


def _is_invitation(file: File) -> bool:
    """Return whether a file is a message between calendars: RFC 6047 section 2.4 requires the parameter."""
    return file.content_type.startswith("text/calendar") and parameter(file.content_type, "method") is not None


def _multipart(subtype: str, parts: Sequence[Message], mail: Outgoing, numbers: Iterator[int]) -> Message:
    whole = Message(_POLICY)
    kind = '; type="text/html"' if subtype == "related" else ""
    whole["Content-Type"] = f'multipart/{subtype}{kind}; boundary="=_{mail.id}_{next(numbers)}"'
    for part in parts:
        whole.attach(part)
    return whole


def _text_part(subtype: str, text: str) -> Message:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    crlf = lines.replace("\n", "\r\n").encode()
    part = Message(_POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    quoted = quopri.encodestring(lines.encode())
    # Quoted-printable takes three bytes for each escaped one, base64 four for any three: `wire_size` relies on this choice.
    if len(quoted) + quoted.count(b"\n") > base64_size(len(crlf)):
        part["Content-Transfer-Encoding"] = "base64"
        part.set_payload(base64.encodebytes(crlf).decode())
    else:
        part["Content-Transfer-Encoding"] = "quoted-printable"
        part.set_payload(quoted.decode())
    return part


def _file_part(file: File, disposition: str = "") -> Message:
    part = Message(_POLICY)
    # A message or multipart must not be base64 (RFC 2046 section 5); as octet-stream it arrives unchanged.
    whole = file.content_type.lower().startswith(("message/", "multipart/"))
    part["Content-Type"] = "application/octet-stream" if whole else file.content_type
    part["Content-Transfer-Encoding"] = "base64"
    disposition = disposition or ("attachment" if file.content_id is None else "inline")
    part["Content-Disposition"] = disposition + _filename(file.filename)
    if file.content_id is not None:
        part["Content-ID"] = f"<{file.content_id}>"
    part.set_payload(base64.encodebytes(file.content).decode("ascii"))
    return part


def _filename(name: str) -> str:
    # RFC 2231: percent-encoded, and in numbered pieces where one line would grow too long. Readers decode encoded words in
    # quotes too, though RFC 2047 section 5 has none there.
    if name.isascii() and len(name) < _SEGMENT and "=?" not in name:
        return f'; filename="{_quoted(name)}"'
    pieces = [""]
    for char in name:
        encoded = quote(char, safe="")
        if len(pieces[-1]) + len(encoded) > _SEGMENT:
            pieces.append("")
        pieces[-1] += encoded
    if len(pieces) == 1:
        return f"; filename*=utf-8''{pieces[0]}"
    pieces[0] = "utf-8''" + pieces[0]
    return "".join(f"; filename*{number}*={piece}" for number, piece in enumerate(pieces))


def _check_names(raw: bytes, names: Sequence[str]) -> None:
    # The content rules were checked before; this check catches faults of the generator itself.
    block = raw.split(b"\r\n\r\n", 1)[0].split(b"\r\n")
    written = [line.split(b":", 1)[0].decode("ascii", "replace") for line in block if line[:1] not in b" \t"]
    if written != list(names) or any(b"\r" in line or b"\n" in line for line in block):
        raise Refused("a header value contains a line break", where="headers")
