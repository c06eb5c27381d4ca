"""Kinds of mail about containers: multiparts and their damage, forwarded mails, signed files, uuencode, AppleDouble."""

import binascii
from typing import Any

from tests.support.mails.making import (
    CLIENTS,
    PDF,
    PNG,
    XML,
    ZIP,
    Style,
    encoded,
    expect,
    file_part,
    kind,
    lined,
    mail,
    multi,
    multipart,
    part,
    right,
    single,
    text_part,
    whole,
)  # fmt: skip

Made = tuple[bytes, dict[str, Any]]


def _pdf(s: Style) -> tuple[bytes, dict[str, Any]]:
    name = f"{s.stem}.pdf"
    return file_part(s, name, PDF, "application/pdf"), expect(name, PDF, "application/pdf")


@kind(7)
def text_behind_delimiters(s: Style) -> Made:
    """A multipart with text behind its delimiters shows its texts and files, with a defect."""
    file, wanted = _pdf(s)
    fields, body = multi(s, "mixed", text_part(s), file)
    mark = b"--" + fields[0].partition('boundary="')[2].partition('"')[0].encode()
    opening, closing = (
        (b" extra", b"--"),
        (b" \t", b"-- x"),
        (b" ; x=1", b"--"),
        (b" ", b" --"),
        (b" (part 1)", b"--"),
        (b"\t# 1", b"--"),
        (b"   ", b"--   "),
    )[s.n]
    body = body.replace(mark + b"\r\n", mark + opening + b"\r\n").replace(mark + b"--\r\n", mark + closing + b"\r\n")
    return mail(s, fields, body), right(s, attachments=[wanted])


@kind(10)
def unreadable_multipart(s: Style) -> Made:
    """A multipart type that cannot be read, with a boundary that occurs, is cut like multipart/mixed."""
    file, wanted = _pdf(s)
    fields, body = multi(s, "mixed", text_part(s), file)
    written = (
        "multipart/*",
        "multipart\\mixed",
        "multipart",
        "multipart/",
        "mixed",
        "multipart-mixed",
        "multipart/x;y",
        "multipart//mixed",
        "Multipart/ Mixed",
        "multi-part/mixed",
    )[s.n]
    fields[0] = fields[0].replace("multipart/mixed", written)
    return mail(s, fields, body), right(s, attachments=[wanted])


@kind(8)
def boundary_damage(s: Style) -> Made:
    """A boundary that is folded, commented, unquoted, of another case of quotes, or not declared at all."""
    file, wanted = _pdf(s)
    fields, body = multi(s, "mixed", text_part(s), file)
    boundary = fields[0].partition('boundary="')[2].partition('"')[0]
    written = (
        f"boundary={boundary}", f"boundary = \"{boundary}\"", f"boundary=\"{boundary}\" (c)", f"boundary='{boundary}'", f'BOUNDARY="{boundary}"',
        "x=1", f'boundary="{boundary[:10]}\r\n {boundary[10:]}"', f'boundary="{boundary} "',
    )[s.n]  # fmt: skip
    fields[0] = f"Content-Type: multipart/mixed; {written}"
    return mail(s, fields, body), right(s, attachments=[wanted])


@kind(6)
def boundary_of_one_beginning(s: Style) -> Made:
    """Nested boundaries that begin alike, or are equal: no part is lost."""
    outer = CLIENTS[s.client][1] % (s.n * 16 + 1)
    inner = (outer + "x", outer + "_alt", outer + "-", outer, "x" + outer, outer[:-1])[s.n]
    page = text_part(s, f"<p>{s.text}</p>", "html")
    alternative = f'Content-Type: multipart/alternative; boundary="{inner}"\r\n\r\n'.encode()
    alternative += (
        b"".join(b"--" + inner.encode() + b"\r\n" + one + b"\r\n" for one in (text_part(s), page))
        + b"--"
        + inner.encode()
        + b"--\r\n"
    )
    file, wanted = _pdf(s)
    return whole(s, "mixed", alternative, file), right(s, attachments=[wanted], html_contains=[s.text])


@kind(6)
def multipart_not_closed(s: Style) -> Made:
    """A mail that was cut: its parts so far, the last one as far as it goes."""
    file, wanted = _pdf(s)
    fields, body = multi(s, "mixed", text_part(s), file)
    end = body.rindex(b"--", 0, len(body) - 4)
    body = (body[:end], body[:end].rstrip(), body[:-4], body[:-2], body[: end + 6], body.replace(b"--\r\n", b"\r\n"))[
        s.n
    ]
    return mail(s, fields, body), right(s, attachments=[wanted])


@kind(6)
def uuencoded_text(s: Style) -> Made:
    """Files that are uuencoded in the text: with garbage bits, check letters, stripped blanks, two of them."""
    data = PDF + bytes(range(200)) + b"12345"[: s.n]
    rows = [binascii.b2a_uu(data[at : at + 45]).rstrip(b"\n") for at in range(0, len(data), 45)]
    if s.n in (0, 1):
        rows[-1] = rows[-1][:-1] + bytes([min(96, rows[-1][-1] | 3)]) if len(data) % 3 else rows[-1]
    if s.n == 2:
        rows = [row + b"x" for row in rows]
    if s.n == 3:
        rows = [row.rstrip(b" ") for row in rows]
    if s.n == 4:
        rows = [row.replace(b" ", b"`") for row in rows]
    written = b"begin 644 a b.pdf\r\n" + b"\r\n".join(rows) + b"\r\n`\r\nend\r\n"
    raw = b"From: a@x.example\r\nSubject: x\r\n\r\nbefore\r\n" + written * (2 if s.n == 5 else 1) + b"after\r\n"
    wanted = [expect("a b.pdf", data)] * (2 if s.n == 5 else 1)
    return raw, {
        "text_contains": ["before", "after"],
        "text_lacks": ["begin 644", rows[0].decode()],
        "attachments": wanted,
        "complete": True,
    }


@kind(6)
def uuencoded_part(s: Style) -> Made:
    """A file part in x-uuencode, with bits behind the last byte that are no part of the file."""
    data = (ZIP, PDF, PNG, XML, ZIP + b"a", PDF + b"ab")[s.n]
    written = encoded(data, "x-uuencode")
    lines = written.split(b"\r\n")
    if len(data) % 3:
        at = len(lines) - 4
        last = lines[at][-1] if lines[at][-1] != 0x60 else 0x20
        lines[at] = lines[at][:-1] + bytes([(last - 32 | 3) + 32])
    name = ("x-uuencode", "uuencode", "x-uue")[s.n % 3]
    fields = ["Content-Type: application/octet-stream; name=a.bin", f"Content-Transfer-Encoding: {name}"]
    return whole(s, "mixed", text_part(s), part(fields, b"\r\n".join(lines))), right(
        s, attachments=[expect("a.bin", data)]
    )


@kind(5)
def appledouble(s: Style) -> Made:
    """AppleDouble: the document has the name and the bytes; the resource fork never takes its name."""
    fork = b"\x00\x05\x16\x07\x00\x02\x00\x00" + bytes(40)
    name = f"{s.stem}.pdf"
    header = file_part(s, name, fork, "application/applefile")
    double = multipart(s, "appledouble", header, file_part(s, name, PDF, "application/pdf"), mark=2)
    return whole(s, "mixed", text_part(s), double), right(
        s, attachments=[expect(name, PDF, "application/pdf")], complete=False, once=[name]
    )


@kind(6)
def forwarded_mail(s: Style) -> Made:
    """A forwarded mail is a file as it was sent; its text and its files are its members."""
    file, wanted = _pdf(s)
    inner = whole(s, "mixed", text_part(s, "inner text"), file, subject=f"inner {s.n}", mark=9)
    field = (
        "Content-Disposition: attachment",
        "Content-Disposition: inline",
        "Content-Description: x",
        'Content-Disposition: attachment; filename="forward.eml"',
    )[s.n % 4]
    message = part(["Content-Type: message/rfc822", field], inner)
    name = "forward.eml" if s.n % 4 == 3 else f"inner {s.n}.eml"
    return whole(s, "mixed", text_part(s), message), right(
        s, attachments=[expect(name, lined(s, inner), "message/rfc822")], nested=[wanted]
    )


@kind(5)
def forwarded_mails(s: Style) -> Made:
    """Several forwarded mails, also as a digest: each is a file with its subject as its name."""
    inner = [f"Subject: {s.n} number {one}\r\nFrom: a@x.example\r\n\r\ntext {one}".encode() for one in range(3)]
    parts = [(b"\r\n" if s.n % 2 else b"Content-Type: message/rfc822\r\n\r\n") + one for one in inner]
    wanted = [expect(f"{s.n} number {one}.eml", lined(s, data), "message/rfc822") for one, data in enumerate(inner)]
    return whole(s, "digest" if s.n % 2 else "mixed", *parts), right(s, text_contains=[], attachments=wanted)


def _der(tag: int, *inside: bytes) -> bytes:
    data = b"".join(inside)
    size = len(data)
    length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
    return bytes([tag]) + length + data


def signed(content: bytes) -> bytes:
    """Return a CMS SignedData around `content` without certificates and signers (RFC 5652)."""
    data = bytes.fromhex("06092a864886f70d010701")
    inner = _der(0x30, data, _der(0xA0, _der(0x04, content)))
    body = _der(0x30, b"\x02\x01\x01", _der(0x31), inner, _der(0x31))
    return _der(0x30, bytes.fromhex("06092a864886f70d010702"), _der(0xA0, body))


@kind(6)
def signed_file(s: Style) -> Made:
    """A signed FILE (`*.xml.p7m`) stays an attachment, bytes unchanged; what is inside is listed besides."""
    inner_name, data = (("fattura.xml", XML), ("contratto.pdf", PDF))[s.n % 2]
    container = signed(data)
    content_type = ("application/pkcs7-mime", "application/octet-stream", "application/x-pkcs7-mime")[s.n % 3]
    file = file_part(s, inner_name + ".p7m", container, content_type)
    wanted = expect(inner_name + ".p7m", container, content_type)
    return whole(s, "mixed", text_part(s), file), right(s, attachments=[wanted], nested=[expect(None, data)])


@kind(5)
def signed_mail(s: Style) -> Made:
    """A mail's own S/MIME body is opened: its text and its files are those of the mail; its container is listed, too."""
    file, wanted = _pdf(s)
    container = signed(multipart(s, "mixed", text_part(s), file, mark=2))
    written = part(
        ["Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", "Content-Transfer-Encoding: base64"],
        encoded(container, "base64"),
    )  # fmt: skip
    files = [wanted, expect("smime.p7m", container)]
    return single(s, written), right(s, attachments=files, complete=False, protection=["smime_signed"])


@kind(5)
def split_mail(s: Style) -> Made:
    """Part of a mail that was split (RFC 2046 5.2.2): named as such, and kept."""
    fields = [f'Content-Type: message/partial; id="abc{s.n}@x.example"; number={s.n + 1}; total=5']
    body = f"Subject: whole\r\nFrom: a@x.example\r\n\r\npiece {s.n}".encode()
    return mail(s, fields, body), right(
        s, text_contains=[], complete=False, defects=["message_partial"], part_of=[s.n + 1, 5]
    )


@kind(6)
def deep_nesting(s: Style) -> Made:
    """Multiparts inside each other to any usual depth: nothing is lost."""
    file, wanted = _pdf(s)
    inside = multipart(s, "mixed", text_part(s), file, mark=2)
    for level in range((1, 3, 6, 9, 12, 15)[s.n]):
        inside = multipart(s, ("mixed", "related", "alternative")[level % 3], inside, mark=level + 3)
    return whole(s, "mixed", inside), right(s, attachments=[wanted], sound=True)


@kind(5)
def empty_parts(s: Style) -> Made:
    """Empty parts, and an empty multipart, hide nothing."""
    file, wanted = _pdf(s)
    blank = (
        b"\r\n",
        b"",
        part(["Content-Type: text/plain"], b""),
        multipart(s, "alternative", mark=2),
        part(["Content-Type: text/html"], b"\r\n"),
    )[s.n]
    return whole(s, "mixed", blank, text_part(s), blank, file), right(s, attachments=[wanted])
