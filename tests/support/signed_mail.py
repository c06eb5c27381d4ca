"""Signed data (CMS) as S/MIME and signed files have it."""

import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7


@functools.cache
def _certificate() -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Ann")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=900))
    return made.sign(key, hashes.SHA256()), key


@functools.cache
def signed(content: bytes) -> bytes:
    """Return `content` signed, with the content inside; the same bytes for the same content within one process."""
    ours, key = _certificate()
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content).add_signer(ours, key, hashes.SHA256())
    return builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
