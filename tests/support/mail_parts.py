"""Raw mails of a few parts, for tests of what a reader sees of each."""

from base64 import b64encode

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360f8cf50000003030101c8b3f7d20000000049454e44ae426082"
)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01" + bytes(40)
PDF = b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF\n"
TOP = b"From: Carl <carl@x.test>\r\nTo: ann@acme.test\r\nSubject: Documents\r\nMIME-Version: 1.0\r\n"


def part(content: bytes, kind: str, **fields: str) -> bytes:
    """Return a part in base64; `fields` are `name`, `disposition`, `cid` and `description`."""
    lines = [f"Content-Type: {kind}" + (f'; name="{fields["name"]}"' if "name" in fields else "")]
    lines += [f"Content-Disposition: {fields['disposition']}"] if "disposition" in fields else []
    lines += [f"Content-ID: <{fields['cid']}>"] if "cid" in fields else []
    lines += [f"Content-Description: {fields['description']}"] if "description" in fields else []
    head = "\r\n".join([*lines, "Content-Transfer-Encoding: base64", "", ""]).encode()
    return head + b64encode(content)


def html_part(html: str) -> bytes:
    """Return a part of HTML."""
    return b"Content-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()


def mail(*parts: bytes, kind: str = "mixed", more: str = "") -> bytes:
    """Return a mail of these parts."""
    head = f'Content-Type: multipart/{kind}; boundary="=_b"{more}\r\n\r\n'.encode()
    return TOP + head + b"".join(b"--=_b\r\n" + one + b"\r\n" for one in parts) + b"--=_b--\r\n"
