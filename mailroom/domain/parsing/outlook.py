"""Members of a winmail.dat as attachments; a message among them is written as an .eml, as other senders attach it."""

import base64
import hashlib

from mailroom.domain.parsing.attachments import Found
from mailroom.domain.parsing.tnef import Member, Tnef


def members_as_files(tnef: Tnef) -> list[Found]:
    """Return one attachment for each member."""
    return [_as_file(member) for member in tnef.members]


def _as_file(member: Member) -> Found:
    if member.message is not None:
        title = member.name or member.message.subject or "message"
        return Found(f"{title.removesuffix('.eml')}.eml", "message/rfc822", write_message(member.message))
    return Found(
        member.name,
        (member.content_type or "application/octet-stream").lower(),
        member.content,
        content_id=(member.content_id or "").strip("<> ") or None,
    )


def write_message(tnef: Tnef) -> bytes:
    """Return a message with `tnef`'s subject, texts and members; the same input always gives the same bytes.

    It calls itself for messages inside messages; `read_tnef` limits their depth.
    """
    parts = [_text("plain", tnef.text)] if tnef.text else []
    parts += [_text("html", tnef.html)] if tnef.html else []
    parts += [_part(member) for member in tnef.members]
    digest = hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    boundary = f"=_{digest[:40]}".encode()
    subject = f"Subject: {_word(tnef.subject)}\r\n".encode() if tnef.subject else b""
    head = subject + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n'
    return head + b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def _text(kind: str, text: str) -> bytes:
    return _encoded(f"Content-Type: text/{kind}; charset=utf-8\r\n", text.encode())


def _part(member: Member) -> bytes:
    file = _as_file(member)
    disposition = f"Content-Disposition: attachment; filename*=utf-8''{_percent(file.name or 'attachment')}\r\n"
    if member.message is not None:
        return f"Content-Type: message/rfc822\r\n{disposition}\r\n".encode() + file.content
    kind = (
        file.content_type
        if file.content_type.isascii() and file.content_type.isprintable()
        else "application/octet-stream"
    )
    return _encoded(f"Content-Type: {kind}\r\n{disposition}", file.content)


def _encoded(fields: str, data: bytes) -> bytes:
    return f"{fields}Content-Transfer-Encoding: base64\r\n\r\n".encode() + base64.encodebytes(data)


def _word(text: str) -> str:
    return f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def _percent(text: str) -> str:
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 128 else f"%{byte:02X}" for byte in text.encode())
