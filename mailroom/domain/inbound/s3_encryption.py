"""The forms of client-side encrypted objects in S3, distinguished by their metadata and opened with their data key.

    form  wrap           content            written by
    v2    kms            AES-GCM            SES; old clients
    v2    kms+context    AES-GCM            AWS's S3 Encryption Clients of generation 2 and 3
    v3    kms+context    AES-GCM, committed AWS's S3 Encryption Clients of today: the key is bound to the ciphertext
    v2    kms            AES-CBC            clients of before 2016; nothing authenticates it
    v1    AES            AES-CBC            older ones, under the customer's own master key

The metadata is checked before any call to the key service. The key is taken from the object's own metadata and never from
an instruction file beside it, which any writer to the bucket could replace.

Source: AWS S3 Encryption Client specification, "content-metadata" and "key-commitment" (2025-12).
"""

import base64
import binascii
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Never

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.padding import PKCS7

from mailroom.domain.errors import Quarantined, Reason

GCM, CBC, COMMITTED = "AES/GCM/NoPadding", "AES/CBC/PKCS5Padding", "115"
KMS, KMS_CONTEXT, MASTER = "kms", "kms+context", "master"
IV_BYTES, TAG_BYTES = 12, 16

_KEYS = {"x-amz-key": "v1", "x-amz-key-v2": "v2", "x-amz-3": "v3"}
#: Metadata of an object whose key is in an instruction file beside it, and of that file.
_ELSEWHERE = frozenset({"x-amz-c", "x-amz-d", "x-amz-i", "x-amz-crypto-instr-file", "x-amz-unencrypted-content-length"})
_CEK_IN_CONTEXT = "aws:x-amz-cek-alg"
_BLOCK_BYTES, _DATA_KEY_BYTES, _COMMITMENT_BYTES = 16, (16, 24, 32), 28
_ALGORITHM_ID = bytes([0x00, 0x73])


@dataclass(frozen=True, slots=True)
class Sealed:
    """The envelope of an object, read from its metadata; `content` is the cipher and `wrap` how the key is wrapped."""

    content: str
    wrap: str
    wrapped_key: bytes
    iv: bytes
    context: Mapping[str, str] = field(default_factory=dict)
    length: int | None = None
    commitment: bytes = b""

    @property
    def is_legacy(self) -> bool:
        """Whether nothing authenticates the content."""
        return self.content == CBC

    def check_size(self, body: bytes) -> None:
        """Refuse a body whose size no ciphertext of this form can have."""
        if self.is_legacy:
            if not body or len(body) % _BLOCK_BYTES:
                refuse("length")
        elif len(body) < TAG_BYTES:
            refuse("length")

    def open(self, body: bytes, data_key: bytes) -> bytes:
        """Return the plain text; authenticated forms are verified as a whole before any byte is returned."""
        if len(data_key) not in _DATA_KEY_BYTES:
            refuse("data_key")
        plain = self._open_cbc(body, data_key) if self.is_legacy else self._open_gcm(body, data_key)
        return plain if self.length in (None, len(plain)) else refuse("length")

    def _open_gcm(self, body: bytes, data_key: bytes) -> bytes:
        key, iv, associated = data_key, self.iv, None
        if self.content == COMMITTED:
            key, iv, associated = self._committed_key(data_key), b"\x01" * IV_BYTES, _ALGORITHM_ID
        try:
            return AESGCM(key).decrypt(iv, body, associated)
        except (InvalidTag, ValueError):
            refuse("tag")

    def _committed_key(self, data_key: bytes) -> bytes:
        """Return the content's key after verifying that the object is committed to this data key."""
        commitment = _derived(data_key, self.iv, b"COMMITKEY", _COMMITMENT_BYTES)
        if not hmac.compare_digest(commitment, self.commitment):
            refuse("commitment")
        return _derived(data_key, self.iv, b"DERIVEKEY", 32)

    def _open_cbc(self, body: bytes, data_key: bytes) -> bytes:
        decryptor = Cipher(algorithms.AES(data_key), modes.CBC(self.iv)).decryptor()
        return _unpadded(decryptor.update(body) + decryptor.finalize())


def read_metadata(metadata: Mapping[str, str]) -> Sealed | None:
    """Return the envelope in an object's metadata, or None if the object is not encrypted by a client.

    Raises:
        Quarantined: `not_decryptable`; `step` is format, instruction_file, suite or metadata.
    """
    forms = [form for name, form in _KEYS.items() if name in metadata]
    if not forms:
        return refuse("instruction_file") if _ELSEWHERE & metadata.keys() else None
    if len(forms) > 1:
        refuse("format")
    try:
        return {"v1": _read_v1, "v2": _read_v2, "v3": _read_v3}[forms[0]](metadata)
    except (KeyError, binascii.Error, ValueError, RecursionError):
        refuse("metadata")


def unwrap_with_master(wrapped: bytes, master_key: bytes) -> bytes:
    """Return the data key that a client of the first generation wrapped under the customer's own AES key."""
    if not wrapped or len(wrapped) % _BLOCK_BYTES:
        refuse("key")
    decryptor = Cipher(algorithms.AES(master_key), modes.ECB()).decryptor()
    return _unpadded(decryptor.update(wrapped) + decryptor.finalize(), step="key")


def refuse(step: str) -> Never:
    """Raise the one error of all faults of an envelope; the check that failed is in its facts, for the operator alone."""
    raise Quarantined(Reason.NOT_DECRYPTABLE, step=step) from None


def _read_v1(metadata: Mapping[str, str]) -> Sealed:
    if "x-amz-wrap-alg" in metadata or metadata.get("x-amz-cek-alg", CBC) != CBC:
        refuse("suite")
    iv = _iv(metadata["x-amz-iv"], _BLOCK_BYTES)
    return Sealed(
        CBC, MASTER, _bytes(metadata["x-amz-key"]), iv, _context(metadata["x-amz-matdesc"]), _length(metadata)
    )


def _read_v2(metadata: Mapping[str, str]) -> Sealed:
    wrap, content = metadata.get("x-amz-wrap-alg"), metadata.get("x-amz-cek-alg")
    if wrap not in (KMS, KMS_CONTEXT) or content not in (GCM, CBC):
        refuse("suite")
    if content == GCM and metadata.get("x-amz-tag-len") != str(TAG_BYTES * 8):
        refuse("suite")
    context = _context(metadata["x-amz-matdesc"])
    # The newer wrap binds the cipher to the key; a cipher replaced in the metadata is refused here.
    if wrap == KMS_CONTEXT and context.get(_CEK_IN_CONTEXT) != content:
        refuse("suite")
    iv = _iv(metadata["x-amz-iv"], IV_BYTES if content == GCM else _BLOCK_BYTES)
    return Sealed(content, wrap, _bytes(metadata["x-amz-key-v2"]), iv, context, _length(metadata))


def _read_v3(metadata: Mapping[str, str]) -> Sealed:
    if metadata.get("x-amz-c") != COMMITTED or metadata.get("x-amz-w") != "12":
        refuse("suite")
    context = _context(metadata["x-amz-t"])
    if context.get(_CEK_IN_CONTEXT) != COMMITTED:
        refuse("suite")
    salt, commitment = _iv(metadata["x-amz-i"], 28), _iv(metadata["x-amz-d"], _COMMITMENT_BYTES)
    wrapped = _bytes(metadata["x-amz-3"])
    return Sealed(COMMITTED, KMS_CONTEXT, wrapped, salt, context, _length(metadata), commitment)


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True) or refuse("metadata")


def _iv(text: str, size: int) -> bytes:
    iv = _bytes(text)
    return iv if len(iv) == size else refuse("metadata")


def _context(text: str) -> dict[str, str]:
    context = json.loads(text)
    if not isinstance(context, dict) or not all(isinstance(value, str) for value in context.values()):
        refuse("metadata")
    return context


def _length(metadata: Mapping[str, str]) -> int | None:
    length = metadata.get("x-amz-unencrypted-content-length")
    if length is not None and not (length.isascii() and length.isdecimal()):
        refuse("metadata")
    return None if length is None else int(length)


def _derived(data_key: bytes, salt: bytes, purpose: bytes, size: int) -> bytes:
    return HKDF(hashes.SHA512(), size, salt, _ALGORITHM_ID + purpose).derive(data_key)


def _unpadded(padded: bytes, *, step: str = "padding") -> bytes:
    unpadder = PKCS7(_BLOCK_BYTES * 8).unpadder()
    try:
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError:
        refuse(step)
