"""The envelope that SES puts around an e-mail in S3, opened and (for the sandbox's door) written.

SES writes what AWS calls the S3 Encryption Client's version 2 metadata, with the old `kms` wrap: a 256-bit data key
wrapped by KMS, AES-GCM with a 12-byte IV and a 16-byte tag behind the ciphertext, no additional data. The wrap does not
bind the object to its place: a whole object copied under another key would decrypt. So the KMS context that SES records
(`x-amz-matdesc`) must name this message and this account before anything is unwrapped.

Source: AWS S3 Encryption Client specification, content-metadata; SES developer guide, "Receiving email: S3 action".
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailroom.domain.errors import Quarantined, Reason

_CONTENT = "AES/GCM/NoPadding"
_WRAP = "kms"
_IV_BYTES, _TAG_BYTES = 12, 16
_GENERATIONS = ("x-amz-key", "x-amz-key-v2", "x-amz-3")


@dataclass(frozen=True, slots=True)
class Binding:
    """What an object must be bound to before it is opened."""

    account_id: str
    message_id: str
    rules: frozenset[str] | None = None
    """Names of the receipt rules that may have written it; None accepts any rule of the account."""


class Unwrapper(Protocol):
    """The part of the key service that opening needs; `mailroom.ports.Keys` has it."""

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Sealed:
    wrapped_key: bytes
    context: dict[str, str]
    iv: bytes
    length: int | None


def unseal(body: bytes, metadata: Mapping[str, str], *, keys: Unwrapper, binding: Binding) -> bytes:
    """Return the e-mail inside an object that SES wrote. Nothing is returned before its tag verified.

    Raises:
        Quarantined: `not_encrypted`, `not_bound` (another message, account or rule), or `not_decryptable`; the
            step that refused is in the facts, never in the message.
    """
    sealed = _read(metadata)
    _check_binding(sealed.context, binding)
    if len(body) < _TAG_BYTES:
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="length")
    data_key = keys.unwrap(sealed.wrapped_key, sealed.context)
    try:
        plain = AESGCM(data_key).decrypt(sealed.iv, body, None)
    except (InvalidTag, ValueError):
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="tag") from None
    if sealed.length is not None and sealed.length != len(plain):
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="length")
    return plain


def seal(
    raw: bytes, *, data_key: bytes, wrapped_key: bytes, iv: bytes, context: Mapping[str, str]
) -> tuple[bytes, dict[str, str]]:
    """Return body and metadata exactly as SES writes them. `iv` has 12 bytes and is never used twice with a key."""
    if len(iv) != _IV_BYTES:
        raise ValueError("an IV has 12 bytes")
    return AESGCM(data_key).encrypt(iv, raw, None), {
        "x-amz-tag-len": str(_TAG_BYTES * 8),
        "x-amz-unencrypted-content-length": str(len(raw)),
        "x-amz-wrap-alg": _WRAP,
        "x-amz-matdesc": json.dumps(dict(context), separators=(",", ":")),
        "x-amz-key-v2": base64.b64encode(wrapped_key).decode(),
        "x-amz-cek-alg": _CONTENT,
        "x-amz-iv": base64.b64encode(iv).decode(),
    }


def ses_context(*, message_id: str, rule: str, account_id: str, key_id: str) -> dict[str, str]:
    """Return the KMS encryption context that SES uses for one message."""
    return {
        "aws:ses:message-id": message_id,
        "aws:ses:rule-name": rule,
        "aws:ses:source-account": account_id,
        "kms_cmk_id": key_id,
    }


def _read(metadata: Mapping[str, str]) -> _Sealed:
    present = [name for name in _GENERATIONS if name in metadata]
    if not present:
        raise Quarantined(Reason.NOT_ENCRYPTED)
    if present != ["x-amz-key-v2"] or metadata.get("x-amz-wrap-alg") != _WRAP:
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="format")
    if metadata.get("x-amz-cek-alg") != _CONTENT or metadata.get("x-amz-tag-len") != str(_TAG_BYTES * 8):
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="suite")
    try:
        wrapped = base64.b64decode(metadata["x-amz-key-v2"], validate=True)
        iv = base64.b64decode(metadata["x-amz-iv"], validate=True)
        context = json.loads(metadata["x-amz-matdesc"])
        length = metadata.get("x-amz-unencrypted-content-length")
        plain_length = None if length is None else int(length)
    except (KeyError, binascii.Error, ValueError):
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="metadata") from None
    if (
        not isinstance(context, dict)
        or not all(isinstance(value, str) for value in context.values())
        or len(iv) != _IV_BYTES
    ):
        raise Quarantined(Reason.NOT_DECRYPTABLE, step="metadata")
    return _Sealed(wrapped, context, iv, plain_length)


def _check_binding(context: Mapping[str, str], binding: Binding) -> None:
    if context.get("aws:ses:message-id") != binding.message_id:
        raise Quarantined(Reason.NOT_BOUND, step="message_id")
    if context.get("aws:ses:source-account") != binding.account_id:
        raise Quarantined(Reason.NOT_BOUND, step="account")
    if binding.rules is not None and context.get("aws:ses:rule-name") not in binding.rules:
        raise Quarantined(Reason.NOT_BOUND, step="rule")
