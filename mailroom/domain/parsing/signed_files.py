"""Signed files and signed mails: both are CMS (.p7m). A signed file stays a file; only a mail's own S/MIME body is opened.

Invoices of Italy and documents of many authorities come as `invoice.xml.p7m`: the recipient needs the signed bytes, for they
are the proof. In S/MIME (RFC 8551 section 3.5.2) the content is a MIME entity, the mail itself.
"""

import binascii
import re

from mailroom.domain.parsing.cms import Cms, read_cms
from mailroom.domain.parsing.limits import Allowance, Reading
from mailroom.domain.parsing.parameters import read_parameters
from mailroom.domain.parsing.structure import Leaf

_TYPES = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ENTITY = re.compile(rb"\s{0,20}(?:[\w-]{1,60}[ \t]{0,9}:[^\n]{0,1000}\n(?:[ \t][^\n]{0,1000}\n){0,50}){1,60}\r?\n")
_PART_FIELD = re.compile(rb"(?im)^(?:content-type|mime-version|content-transfer-encoding)[ \t]*:")
#: A name with the ending of the signed file: `invoice.xml.p7m`.
_FILE_NAME = re.compile(rb"(?i)\.[a-z0-9]{1,8}(?:\.p7m)+$")
_LONGEST_ENDING = 64
_ARMOUR = re.compile(rb"\s*-----BEGIN [A-Z0-9 ]{1,40}-----(.*?)(?:-----END|\Z)", re.S)
_ENTITY_BYTES = 64 * 1024


def is_signed_type(content_type: str) -> bool:
    """Whether a declared type is that of signed or encrypted data."""
    return content_type in _TYPES


def read_signed(data: bytes, *, values: Allowance) -> Cms | None:
    """Return the CMS object in `data`, which may be in base64 or PEM; None if it is none."""
    return read_cms(_binary(data), values=values)


def is_body(leaf: Leaf, content: bytes, *, reading: Reading) -> bool:
    """Whether a signed part is the mail's own body: a MIME entity, or the whole mail, without the name of a file."""
    names = [leaf.type.parameters.raw(b"name") or b""]
    disposition = leaf.headers.first(b"content-disposition") or b""
    names.append(read_parameters(disposition.partition(b";")[2], reading=reading).raw(b"filename") or b"")
    if any(_FILE_NAME.search(name.strip()[-_LONGEST_ENDING:]) for name in names):
        return False
    return is_entity(content) or (not leaf.around and all(name.lower() in (b"", b"smime.p7m") for name in names))


def is_entity(content: bytes) -> bool:
    """Whether `content` begins with the header block of a MIME entity."""
    head = _ENTITY.match(content, 0, _ENTITY_BYTES)
    return head is not None and _PART_FIELD.search(head[0]) is not None


def _binary(data: bytes) -> bytes:
    """Return data that is in base64 or PEM as bytes; unchanged if it is neither."""
    if data[:1] == b"\x30" and data[1:2] not in b"0123456789":
        return data
    text = data.removeprefix(b"\xef\xbb\xbf")
    if armoured := _ARMOUR.match(text):
        text = armoured[1]
    if head := _ENTITY.match(text, 0, _ENTITY_BYTES):
        text = text[head.end() :]
    # Every CMS object begins with 30 8x, the length that follows in several bytes.
    if not text.lstrip().startswith(b"MI"):
        return data
    clean = text.translate(None, b" \t\r\n")
    try:
        return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))
    except binascii.Error:
        return data
