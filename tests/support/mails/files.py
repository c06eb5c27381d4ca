"""Kinds of mail about files in the forms of programs: winmail.dat, mails that are one file, voice messages, files as text."""

import struct
from typing import Any

from tests.support.mails.making import (
    CSV,
    PDF,
    XML,
    Style,
    encoded,
    expect,
    file_part,
    kind,
    part,
    right,
    single,
    text_part,
    whole,
)

Made = tuple[bytes, dict[str, Any]]


def _attribute(level: int, number: int, value: bytes) -> bytes:
    return struct.pack("<BII", level, number, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def _winmail(*files: tuple[str, bytes]) -> bytes:
    """Return a TNEF stream ([MS-OXTNEF]) with these files, their names in Unicode."""
    attributes = []
    for name, data in files:
        value = (name + "\0").encode("utf-16-le")
        found = struct.pack("<IHHII", 1, 0x1F, 0x3707, 1, len(value)) + value + bytes(-len(value) % 4)
        attributes += [
            _attribute(2, 0x69002, bytes(14)), _attribute(2, 0x18010, b"SHORT~1.DAT\0"), _attribute(2, 0x6800F, data),
            _attribute(2, 0x69005, found),
        ]  # fmt: skip
    return b"\x78\x9f\x3e\x22\x01\x00" + b"".join(attributes)


@kind(6)
def winmail(s: Style) -> Made:
    """The files of a winmail.dat are the mail's own, whatever its type and its name are."""
    content_type, name = (
        ("application/ms-tnef", "winmail.dat"), ("application/octet-stream", "winmail.dat"), ("application/vnd.ms-tnef", "winmail.dat"),
        ("application/ms-tnef", "ATT00001.dat"), ("APPLICATION/MS-TNEF", "WINMAIL.DAT"), ("application/octet-stream", "noname"),
    )[s.n]  # fmt: skip
    files = [(f"{s.stem}.pdf", PDF), ("factur-x.xml", XML)][: 1 + s.n % 2]
    container = file_part(s, name, _winmail(*files), content_type, disposition=("attachment", "inline", "")[s.n % 3])
    return whole(s, "mixed", text_part(s), container), right(
        s, attachments=[expect(*one, decoration=False) for one in files]
    )


@kind(8)
def mail_that_is_a_file(s: Style) -> Made:
    """A mail without any text around: one PDF, table, voice message, forwarded mail."""
    name, data, content_type = (
        ("a.pdf", PDF, "application/pdf"), ("liste.csv", CSV, "text/csv"), ("voice.wav", b"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/x-wav"),
        ("invoice.xml", XML, "application/xml"), ("note.txt", b"a note", "text/plain"), ("page.html", b"<p>x</p>", "text/html"),
        ("clip.mp4", b"\x00\x00\x00\x18ftypmp42", "video/mp4"), ("data.bin", bytes(range(256)), "application/octet-stream"),
    )[s.n]  # fmt: skip
    raw = single(s, file_part(s, name, data, content_type))
    return raw, right(s, text_contains=[], attachments=[expect(name, data, content_type)])


@kind(6)
def text_that_is_a_file(s: Style) -> Made:
    """A text with the disposition attachment, or with a name, is a file with its bytes, and no part of the text."""
    data = f"secret words of a file {s.n}\r\n".encode()
    fields = (
        ["Content-Type: text/plain; name=a.txt", "Content-Disposition: attachment; filename=a.txt"], ["Content-Type: text/plain; name=a.txt"],
        ["Content-Type: text/html; charset=utf-8", "Content-Disposition: attachment; filename=a.txt"], ["Content-Type: text/csv; name=a.txt"],
        ["Content-Type: text/x-log; name=a.txt", "Content-Disposition: inline"], ["Content-Disposition: attachment; filename=a.txt"],
    )[s.n]  # fmt: skip
    file = part([*fields, "Content-Transfer-Encoding: base64"], encoded(data, "base64"))
    return whole(s, "mixed", text_part(s), file), right(
        s, text_lacks=["secret words"], attachments=[expect("a.txt", data)]
    )


@kind(6)
def bytes_of_files(s: Style) -> Made:
    """A file is byte for byte what was sent, in every transfer encoding and with every end of line."""
    data = (
        bytes(range(256)),
        b"a\nb\r\nc\rd",
        b"\r\n",
        "ü\r\n".encode() * 50,
        b"=3D==\r\n.\r\n..",
        b"From me\r\n>From\r\n",
    )[s.n]
    encoding = ("base64", "quoted-printable", "base64", "8bit", "base64", "7bit")[s.n]
    body = b"a=0Ab=0D=0Ac=0Dd" if encoding == "quoted-printable" else encoded(data, encoding)
    fields = ["Content-Type: application/octet-stream; name=a.bin", f"Content-Transfer-Encoding: {encoding}"]
    raw = (
        b"From: a@x.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        + part(fields, body)
        + b"\r\n--b--\r\n"
    )
    return raw, {"attachments": [expect("a.bin", data)], "complete": True, "sound": True}
