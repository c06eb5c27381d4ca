"""The encrypted envelope of an e-mail in S3: checked to belong to that e-mail, opened, and (for the sandbox) written.

SES writes what AWS calls version 2 metadata with the old `kms` wrap (`s3_encryption` has the forms). That wrap does not
bind the object to its key: a whole object copied under another key would decrypt. So the KMS context that SES records
(`x-amz-matdesc`) must name this message and this account before anything is unwrapped.

Other forms are read only under the prefixes where the installation allows them. There the binding is in their context:
every `aws:ses:` name in it must be right, and it must contain what the installation expects.

Source: AWS S3 Encryption Client specification, content-metadata; SES developer guide, "Receiving email: S3 action".
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.s3_encryption import (
    GCM,
    IV_BYTES,
    KMS,
    KMS_CONTEXT,
    MASTER,
    TAG_BYTES,
    Sealed,
    read_metadata,
    refuse,
    unwrap_with_master,
)
from mailroom.domain.references import is_under

_SES = ("aws:ses:message-id", "aws:ses:source-account", "aws:ses:rule-name")


@dataclass(frozen=True, slots=True)
class Binding:
    """The values that an object's context must match before it is opened. `key` is its whole key in the bucket."""

    account_id: str
    message_id: str
    rules: frozenset[str] | None = None
    """Names of the receipt rules that may have written it; None accepts any rule of the account."""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Forms:
    """Allowed forms besides SES's own, by key prefix. By default none.

    `context` is what the KMS context of a client's object must contain; `{message_id}` and `{key}` in a value stand for
    the object's own, so that a moved object is refused. `legacy` allows unauthenticated content (AES-CBC) and the old wrap
    outside SES's form; `master_key` opens objects of the first generation, if `legacy` allows them.
    """

    clients: tuple[str, ...] = ()
    context: Mapping[str, str] = field(default_factory=dict)
    legacy: bool = False
    master_key: bytes | None = field(default=None, repr=False)
    sse_kms: tuple[str, ...] = ()
    plain: tuple[str, ...] = ()


class Unwrapper(Protocol):
    """The method of the key service that opening needs; part of `mailroom.ports.keys.Keys`."""

    def unwrap(self, wrapped: bytes, context: Mapping[str, str]) -> bytes: ...


def unseal(
    body: bytes,
    metadata: Mapping[str, str],
    *,
    keys: Unwrapper,
    binding: Binding,
    forms: Forms | None = None,
    server_side: bool = False,
) -> bytes:
    """Return the e-mail inside an object. Nothing is returned before its tag is verified.

    `server_side` means that S3 encrypted the object under the installation's own KMS key.

    Raises:
        Quarantined: `not_encrypted`, `not_bound` (another message, account, rule or context), or `not_decryptable`; the
            check that failed is in the facts, never in the message.
    """
    forms = forms or Forms()
    sealed = read_metadata(metadata)
    if sealed is None:
        return _plain(body, binding, forms, server_side=server_side)
    if _is_of_ses(sealed):
        _check_ses_names(sealed.context, binding, all_of_them=True)
    else:
        _check_allowed(sealed, binding, forms)
        _check_context(sealed, binding, forms)
    sealed.check_size(body)
    return sealed.open(body, _data_key(sealed, keys, forms))


def seal(
    raw: bytes, *, data_key: bytes, wrapped_key: bytes, iv: bytes, context: Mapping[str, str]
) -> tuple[bytes, dict[str, str]]:
    """Return body and metadata exactly as SES writes them. `iv` has 12 bytes and must never repeat with a key."""
    if len(iv) != IV_BYTES:
        raise ValueError("an IV has 12 bytes")
    return AESGCM(data_key).encrypt(iv, raw, None), {
        "x-amz-tag-len": str(TAG_BYTES * 8),
        "x-amz-unencrypted-content-length": str(len(raw)),
        "x-amz-wrap-alg": KMS,
        "x-amz-matdesc": json.dumps(dict(context), separators=(",", ":")),
        "x-amz-key-v2": base64.b64encode(wrapped_key).decode(),
        "x-amz-cek-alg": GCM,
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


def _plain(body: bytes, binding: Binding, forms: Forms, *, server_side: bool) -> bytes:
    allowed = forms.plain + (forms.sse_kms if server_side else ())
    if not is_under(binding.key, allowed):
        raise Quarantined(Reason.NOT_ENCRYPTED)
    return body


def _is_of_ses(sealed: Sealed) -> bool:
    return (sealed.content, sealed.wrap) == (GCM, KMS) and any(name in sealed.context for name in _SES)


def _check_allowed(sealed: Sealed, binding: Binding, forms: Forms) -> None:
    if not is_under(binding.key, forms.clients):
        # Under a prefix where only SES writes, an object of its form that names no message is not SES's.
        if (sealed.content, sealed.wrap) == (GCM, KMS):
            raise Quarantined(Reason.NOT_BOUND, step="message_id")
        refuse("form")
    if (sealed.is_legacy or sealed.wrap != KMS_CONTEXT) and not forms.legacy:
        refuse("legacy")


def _check_context(sealed: Sealed, binding: Binding, forms: Forms) -> None:
    _check_ses_names(sealed.context, binding, all_of_them=False)
    for name, value in forms.context.items():
        expected = value.replace("{message_id}", binding.message_id).replace("{key}", binding.key)
        if sealed.context.get(name) != expected:
            raise Quarantined(Reason.NOT_BOUND, step="context")


def _check_ses_names(context: Mapping[str, str], binding: Binding, *, all_of_them: bool) -> None:
    def differs(name: str, value: str) -> bool:
        return (all_of_them or name in context) and context.get(name) != value

    if differs("aws:ses:message-id", binding.message_id):
        raise Quarantined(Reason.NOT_BOUND, step="message_id")
    if differs("aws:ses:source-account", binding.account_id):
        raise Quarantined(Reason.NOT_BOUND, step="account")
    rule = context.get("aws:ses:rule-name")
    if binding.rules is not None and (all_of_them or rule is not None) and rule not in binding.rules:
        raise Quarantined(Reason.NOT_BOUND, step="rule")


def _data_key(sealed: Sealed, keys: Unwrapper, forms: Forms) -> bytes:
    if sealed.wrap != MASTER:
        return keys.unwrap(sealed.wrapped_key, sealed.context)
    return unwrap_with_master(sealed.wrapped_key, forms.master_key) if forms.master_key else refuse("key")
