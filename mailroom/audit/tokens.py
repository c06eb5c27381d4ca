"""Checks tokens of time stamping authorities (RFC 3161): parsed here, signatures by `cryptography`.

With `journals` and `seals` this file is the verifier of an export: it imports nothing else of Mailroom. Sources: RFC 3161
(2.4.2 the token), RFC 5652 (5 signed data), RFC 5816 (the signer's certificate), X.690 (DER).
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

#: A token has some kilobytes; the rest of a larger one is not what we look for.
MOST_BYTES = 1 << 20

_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4"
_SIGNER_SHA1, _SIGNER = "1.2.840.113549.1.9.16.2.12", "1.2.840.113549.1.9.16.2.47"
_PSS = "1.2.840.113549.1.1.10"
_HASHES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": ("sha256", hashes.SHA256()),
    "2.16.840.1.101.3.4.2.2": ("sha384", hashes.SHA384()),
    "2.16.840.1.101.3.4.2.3": ("sha512", hashes.SHA512()),
}
_MOST_ISSUERS = 8


#: What bytes from outside lead to in our parser and in that of certificates.
_MALFORMED = (
    ValueError, IndexError, TypeError, OverflowError, RecursionError, UnsupportedAlgorithm, x509.ExtensionNotFound,
    x509.DuplicateExtension, x509.UnsupportedGeneralNameType,
)  # fmt: skip


class TokenError(ValueError):
    """The bytes are no valid token; the text says why."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a valid token states: something existed at `at`. `ends_at` is when the authority's certificate ends."""

    at: datetime
    ends_at: datetime
    policy: str


@dataclass(frozen=True, slots=True)
class _Node:
    """A DER value: its tag, its content, and both with the length between."""

    tag: int
    content: bytes
    whole: bytes

    def children(self) -> list["_Node"]:
        """Return the values in the content."""
        found, rest = [], self.content
        while rest:
            one = _parse(rest)
            found.append(one)
            rest = rest[len(one.whole) :]
        return found


def check_token(response: bytes, stamped: bytes, roots: Sequence[x509.Certificate]) -> Stamp:
    """Return what the response of an authority states about `stamped`, if its certificate leads to one of `roots`.

    Raises:
        TokenError: it is no valid token for these bytes.
    """
    if len(response) > MOST_BYTES:
        raise TokenError("the token is too large")
    try:
        return _check(response, stamped, roots)
    except TokenError:
        raise
    except _MALFORMED as error:
        raise TokenError("the token is malformed") from error


def load_roots(pem: bytes) -> list[x509.Certificate]:
    """Return the certificates in a PEM text.

    Raises:
        ValueError: there are none.
    """
    return x509.load_pem_x509_certificates(pem)


def _check(response: bytes, stamped: bytes, roots: Sequence[x509.Certificate]) -> Stamp:
    whole = _parse(response)
    if len(whole.whole) != len(response):
        raise TokenError("the token is followed by other bytes")
    status, *token = whole.children()
    if int.from_bytes(status.children()[0].content, "big") > 1 or not token:
        raise TokenError("the authority refused")
    kind, wrapped = token[0].children()
    if _oid(kind) != _SIGNED_DATA:
        raise TokenError("the token is not signed data")
    parts = wrapped.children()[0].children()
    encapsulated = parts[2].children()
    if _oid(encapsulated[0]) != _TST_INFO:
        raise TokenError("the signed data is no time stamp")
    info = encapsulated[1].children()[0].content
    certificates = [
        x509.load_der_x509_certificate(one.whole) for part in parts if part.tag == 0xA0 for one in part.children()
    ]
    signers = parts[-1].children()
    if len(signers) != 1:
        raise TokenError("the token has not one signature")
    signer = _signer(signers[0], info, certificates)
    at, policy = _stated(info, stamped)
    _check_purpose(signer)
    _check_chain(signer, certificates, roots, at)
    return Stamp(at, signer.not_valid_after_utc, policy)


def _stated(info: bytes, stamped: bytes) -> tuple[datetime, str]:
    """Return the time and the policy of a TSTInfo, if it is about these bytes."""
    _version, policy, imprint, _serial, at, *_rest = _parse(info).children()
    algorithm, digest = imprint.children()
    name = _HASHES.get(_oid(algorithm.children()[0]), ("",))[0]
    if not name or hashlib.new(name, stamped).digest() != digest.content:
        raise TokenError("the token is for other data")
    return _time(at), _oid(policy)


def _signer(one: _Node, info: bytes, certificates: Iterable[x509.Certificate]) -> x509.Certificate:
    """Return the certificate that signed the token."""
    fields = one.children()
    signed = next((field for field in fields if field.tag == 0xA0), None)
    if signed is None:
        raise TokenError("the token has no signed attributes")
    at = fields.index(signed)
    digest, signature = fields[at - 1], fields[at + 2]
    name, algorithm = _hash(digest)
    attributes = {_oid(attribute.children()[0]): attribute.children()[1].children() for attribute in signed.children()}
    if _oid(attributes.get(_CONTENT_TYPE, [_NOTHING])[0]) != _TST_INFO:
        raise TokenError("the signature is of another type of content")
    if attributes.get(_MESSAGE_DIGEST, [_NOTHING])[0].content != hashlib.new(name, info).digest():
        raise TokenError("the signature is of other content")
    signer = next((certificate for certificate in certificates if _names(fields[1], certificate)), None)
    if signer is None:
        raise TokenError("the signer's certificate is not in the token")
    if not _is_named(signer, attributes):
        raise TokenError("the signature names another certificate")
    message = b"\x31" + signed.whole[1:]
    try:
        _verify(signer, signature.content, message, algorithm, is_pss=_oid(fields[at + 1].children()[0]) == _PSS)
    except InvalidSignature:
        raise TokenError("the signature is wrong") from None
    return signer


def _names(sid: _Node, certificate: x509.Certificate) -> bool:
    """Return whether a signer identifier (issuer and serial number, or key identifier) is that of a certificate."""
    if sid.tag == 0x80:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return identifier.digest == sid.content
    issuer, serial = sid.children()
    number = int.from_bytes(serial.content, "big", signed=True)
    return issuer.whole == certificate.issuer.public_bytes() and number == certificate.serial_number


def _is_named(signer: x509.Certificate, attributes: dict[str, list[_Node]]) -> bool:
    """Return whether the signed attribute of the signing certificate is about this one."""
    der = signer.public_bytes(serialization.Encoding.DER)
    if _SIGNER in attributes:
        first = attributes[_SIGNER][0].children()[0].children()[0].children()
        name = _hash(first[0])[0] if first[0].tag == 0x30 else "sha256"
        digest = first[1] if first[0].tag == 0x30 else first[0]
        return hashlib.new(name, der).digest() == digest.content
    if _SIGNER_SHA1 in attributes:
        first = attributes[_SIGNER_SHA1][0].children()[0].children()[0].children()
        return hashlib.sha1(der, usedforsecurity=False).digest() == first[0].content
    return False


def _verify(
    signer: x509.Certificate, signature: bytes, message: bytes, algorithm: hashes.HashAlgorithm, *, is_pss: bool
) -> None:
    key = signer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        pss = padding.PSS(padding.MGF1(algorithm), padding.PSS.AUTO)
        key.verify(signature, message, pss if is_pss else padding.PKCS1v15(), algorithm)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(signature, message, ec.ECDSA(algorithm))
    elif isinstance(key, ed25519.Ed25519PublicKey):
        key.verify(signature, message)
    else:
        raise TokenError("the signature is of an unknown kind")


def _check_purpose(signer: x509.Certificate) -> None:
    """Return if the certificate is for time stamping and nothing else (RFC 3161, 2.3)."""
    usage = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    if not usage.critical or list(usage.value) != [ExtendedKeyUsageOID.TIME_STAMPING]:
        raise TokenError("the signer's certificate is not for time stamping")


def _check_chain(
    signer: x509.Certificate, others: Sequence[x509.Certificate], roots: Sequence[x509.Certificate], at: datetime
) -> None:
    """Return if the certificate leads to a root; all of them valid at the time of the token."""
    one = signer
    for _ in range(_MOST_ISSUERS):
        if not one.not_valid_before_utc <= at <= one.not_valid_after_utc:
            raise TokenError("a certificate was not valid at the time of the token")
        if one in roots:
            return
        above = next((other for other in (*roots, *others) if other != one and _issued(one, other)), None)
        if above is None:
            break
        one = above
    raise TokenError("the authority is unknown: its certificate leads to no trusted root")


def _issued(one: x509.Certificate, by: x509.Certificate) -> bool:
    if one.issuer != by.subject or not _is_authority(by):
        return False
    try:
        one.verify_directly_issued_by(by)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _is_authority(one: x509.Certificate) -> bool:
    try:
        return one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _hash(algorithm: _Node) -> tuple[str, hashes.HashAlgorithm]:
    known = _HASHES.get(_oid(algorithm.children()[0]))
    if known is None:
        raise TokenError("the token uses a hash that is too weak, or unknown")
    return known


def _parse(data: bytes) -> _Node:
    """Return the first value of some DER bytes."""
    if len(data) < 2 or data[0] & 0x1F == 0x1F:
        raise TokenError("the token is malformed")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        if not 1 <= length & 0x7F <= 4 or len(data) < start:
            raise TokenError("the token is malformed")
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        raise TokenError("the token is truncated")
    return _Node(data[0], data[start : start + length], data[: start + length])


_NOTHING = _Node(0x05, b"", b"\x05\x00")


def _oid(node: _Node) -> str:
    """Return an object identifier as text; an empty one for any other value."""
    if node.tag != 0x06 or not node.content:
        return ""
    numbers, value = [], 0
    for byte in node.content:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(value)
            value = 0
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, (first, numbers[0] - first * 40, *numbers[1:])))


def _time(node: _Node) -> datetime:
    """Return a GeneralizedTime in UTC, with or without a fraction of a second."""
    text = node.content.decode("ascii", "replace")
    form = "%Y%m%d%H%M%S.%fZ" if "." in text else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text, form).replace(tzinfo=UTC)
