"""The key that signs seals: Ed25519, from the 32 bytes of its setting; and those that signed before it, by their ids."""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Collection
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from mailroom.domain.errors import ConfigurationError


def trusted_keys(key: str, before: str) -> frozenset[str] | None:
    """Return the ids of the keys that may have signed seals, from the settings; None if no key is configured."""
    return frozenset({Ed25519SealKey.read(key).id, *before.split()}) if key else None


class Ed25519SealKey:
    """The ports `SealKey` and `Signer`. The same statement always has the same signature.

    `before` has the ids of the keys that signed earlier; each of their signatures comes with its public key.
    """

    def __init__(self, seed: bytes, before: Collection[str] = ()) -> None:
        self._private, self._before = Ed25519PrivateKey.from_private_bytes(seed), frozenset(before)
        public = self._private.public_key()
        self.id = _id(public)
        self.public_key = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    @classmethod
    def read(cls, setting: str, before: str = "") -> "Ed25519SealKey":
        """Return the key in the setting: 32 bytes in base64; `before` has the ids of the keys before it, with blanks between.

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
        return cls(seed, before.split())

    def sign(self, statement: bytes) -> bytes:
        """Return the signature."""
        return self._private.sign(statement)

    def is_signed(self, statement: bytes, signature: bytes, public_key: str = "") -> bool:
        """Return whether this key made the signature, or the key before it whose public key (PEM) is given."""
        keys = [self._private.public_key(), *_read(public_key, self._before)]
        return any(_made(key, statement, signature) for key in keys)


def _read(public_key: str, ids: Collection[str]) -> list[Ed25519PublicKey]:
    """Return the key in a PEM, if its id is one of these."""
    try:
        key = serialization.load_pem_public_key(public_key.encode()) if public_key and ids else None
    except (ValueError, UnsupportedAlgorithm):
        return []
    return [key] if isinstance(key, Ed25519PublicKey) and _id(key) in ids else []


def _made(key: Ed25519PublicKey, statement: bytes, signature: bytes) -> bool:
    try:
        key.verify(signature, statement)
    except InvalidSignature:
        return False
    return True


def _id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return sha256(raw).hexdigest()
