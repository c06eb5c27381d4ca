"""The envelope of S/MIME (CMS, RFC 5652): the content of a signed one, and whether it is encrypted.

Nothing is verified or decrypted here. The reader follows only the path to the content, through BER's definite and
indefinite lengths, without recursion; a length is trusted only as far as there are bytes.
"""

from dataclasses import dataclass
from enum import Enum, auto

from mailroom.domain.parsing.limits import Allowance

_SIGNED = bytes.fromhex("2a864886f70d010702")
_ENCRYPTED = frozenset(
    bytes.fromhex(one) for one in ("2a864886f70d010703", "2a864886f70d010706", "2a864886f70d0109100117")
)
_SEQUENCE, _OID, _OCTETS, _OCTETS_OF, _CONTENT, _END = 0x30, 0x06, 0x04, 0x24, 0xA0, 0x00


class Kind(Enum):
    """The kind of a CMS object, as far as it matters for mail."""

    SIGNED = auto()
    ENCRYPTED = auto()
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Cms:
    """One object: its kind, and the signed content if it contains one."""

    kind: Kind
    content: bytes | None = None


@dataclass(frozen=True, slots=True)
class _Value:
    tag: int
    start: int
    end: int | None
    """None if the length is indefinite: then the value ends with two zero bytes."""


def read_cms(data: bytes, *, values: Allowance) -> Cms | None:
    """Return the CMS object in `data`, or None if it is none; truncated content is returned as far as it goes."""
    try:
        outer = _expect(data, 0, _SEQUENCE)
        oid = _expect(data, outer.start, _OID)
        name = data[oid.start : oid.end]
        if name in _ENCRYPTED:
            return Cms(Kind.ENCRYPTED)
        if name != _SIGNED:
            return Cms(Kind.OTHER)
        wrapped = _expect(data, _after(data, oid, values), _CONTENT)
        signed = _expect(data, wrapped.start, _SEQUENCE)
    except (IndexError, ValueError):
        return None
    try:
        return Cms(Kind.SIGNED, _content(data, signed.start, values))
    except (IndexError, ValueError):
        return Cms(Kind.SIGNED)


def _content(data: bytes, at: int, values: Allowance) -> bytes | None:
    """Return the signed bytes; `at` is the position of the version, which the digest algorithms follow."""
    for _ in range(2):
        at = _after(data, _value(data, at), values)
    inner = _expect(data, at, _SEQUENCE)
    oid = _expect(data, inner.start, _OID)
    at = _after(data, oid, values)
    if inner.end is not None and at >= inner.end:
        return None
    wrapped = _value(data, at)
    return _octets(data, _value(data, wrapped.start), values) if wrapped.tag == _CONTENT else None


def _octets(data: bytes, value: _Value, values: Allowance) -> bytes | None:
    """Return an octet string, joined if it is in pieces."""
    if value.tag == _OCTETS:
        return data[value.start : value.end]
    if value.tag != _OCTETS_OF:
        return None
    pieces: list[bytes] = []
    at, end, depth = value.start, len(data) if value.end is None else value.end, 1
    while at < end and depth and values.take():
        try:
            piece = _value(data, at)
        except (IndexError, ValueError):
            break
        if piece.tag == _OCTETS:
            pieces.append(data[piece.start : piece.end])
            at = _after(data, piece, values)
        elif piece.tag in (_OCTETS_OF, _END):
            # Nested pieces are read in one sequence: their grouping has no meaning.
            depth += (1 if piece.end is None else 0) if piece.tag == _OCTETS_OF else -1
            at = piece.start
        else:
            break
    return b"".join(pieces)


def _expect(data: bytes, at: int, tag: int) -> _Value:
    value = _value(data, at)
    if value.tag != tag:
        raise ValueError("another value was expected")
    return value


def _value(data: bytes, at: int) -> _Value:
    """Return the value at `at`, its end no further than the data's."""
    tag, length = data[at], data[at + 1]
    at += 2
    if length == 0x80:
        return _Value(tag, at, None)
    if length > 0x80:
        count = length & 0x7F
        if count > 8:
            raise ValueError("a length of more than eight bytes")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    return _Value(tag, at, min(at + length, len(data)))


def _after(data: bytes, value: _Value, values: Allowance) -> int:
    """Return where the next value begins; a value of indefinite length is skipped piece by piece."""
    if value.end is not None:
        return value.end
    at, depth = value.start, 1
    while values.take():
        inner = _value(data, at)
        if inner.end is None:
            depth += 1
            at = inner.start
        else:
            depth -= inner.tag == _END
            at = inner.end
        if depth == 0:
            return at
    raise ValueError("too many values")
