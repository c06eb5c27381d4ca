"""The key that signs seals: Ed25519, from the 32 bytes of its setting."""

import binascii
from base64 import urlsafe_b64decode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mailroom.domain.errors import ConfigurationError


def trusted_keys(key: str, before: str) -> frozenset[str] | None:
    """Return the ids of the keys that may have signed seals, from the settings; None if no key is configured."""
    return frozenset({Ed25519SealKey.read(key).id, *before.split()}) if key else None


class Ed25519SealKey:
    """The port `SealKey`. The same statement always has the same signature."""

    def __init__(self, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key()
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.id = sha256(raw).hexdigest()
        self.public_key = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    @classmethod
    def read(cls, setting: str) -> "Ed25519SealKey":
        """Return the key in the setting: 32 bytes in base64.

        Raises:
            ConfigurationError: it is not that.
        """
        text = setting.strip().replace("+", "-").replace("/", "_").rstrip("=")
        try:
            seed = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            seed = b""
        if len(seed) != 32:
            raise ConfigurationError("MAILROOM_SEAL_KEY is not 32 bytes in base64; make one: openssl rand -base64 32")
        return cls(seed)

    def sign(self, statement: bytes) -> bytes:
        """Return the signature."""
        return self._private.sign(statement)

    def is_signed(self, statement: bytes, signature: bytes) -> bool:
        """Return whether this key made the signature."""
        try:
            self._private.public_key().verify(signature, statement)
        except InvalidSignature:
            return False
        return True
