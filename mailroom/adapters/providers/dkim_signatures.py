"""DKIM signatures (RFC 6376) for mails that the provider does not sign.

They are made by `dkimpy`, the library that Debian's milter uses. It has had no release since July 2024, and the RFC has not
changed either; the tests verify its signatures by a second, independent computation.
"""

from base64 import b64encode

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from dkim import DKIM

from mailroom.domain.errors import ConfigurationError

#: RFC 8058 section 4 requires the first two; the third is ours, by which events find a message.
_SIGNED_TOO = frozenset({b"list-unsubscribe", b"list-unsubscribe-post", b"x-correlation-id"})
#: Signed once more than they occur, so that no further one can be added.
_FROZEN = (b"from", b"to", b"subject", b"date", b"reply-to")
_LEAST_BITS = 1024


class Dkim:
    """The key of one domain: published as `selector._domainkey.domain`."""

    def __init__(self, *, domain: str, selector: str, key_pem: str) -> None:
        self._domain, self._selector = domain.encode("ascii"), selector.encode("ascii")
        try:
            key = load_pem_private_key(key_pem.encode(), password=None)
        except (ValueError, TypeError):
            raise ConfigurationError("the DKIM key must be an unencrypted private key in PEM") from None
        if not isinstance(key, RSAPrivateKey) or key.key_size < _LEAST_BITS:
            raise ConfigurationError("the DKIM key must be an RSA key of at least 1024 bits")
        self._public = key.public_key()
        self._key: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())

    @property
    def record(self) -> tuple[str, str]:
        """Name and text of the TXT record that publishes the key (RFC 6376 section 3.6.1)."""
        public = b64encode(self._public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
        return f"{self._selector.decode()}._domainkey.{self._domain.decode()}", f"v=DKIM1; k=rsa; p={public}"

    def signed(self, raw: bytes) -> bytes:
        """Return the mail with its signature in front."""
        signer = DKIM(raw)
        signer.should_sign |= _SIGNED_TOO
        signer.add_frozen(_FROZEN)
        signature: bytes = signer.sign(self._selector, self._domain, self._key, canonicalize=(b"relaxed", b"relaxed"))
        return signature + raw
