"""SES's encryption: an unchanged object decrypts, a changed or moved one does not."""

import base64
import json
import os
from collections.abc import Mapping

import pytest

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.envelope_encryption import Binding, seal, ses_context, unseal
from mailroom.testing.keys import MemoryDataKeys

MESSAGE_ID = "lhne4tbq09c867b1ko1f3ho4fqfidcatruo26781"
ACCOUNT = "123456789012"
RAW = b"From: a@sender.test\r\n\r\nhello\r\n"
BINDING = Binding(ACCOUNT, MESSAGE_ID, frozenset({"inbound"}))


@pytest.fixture
def keys() -> MemoryDataKeys:
    return MemoryDataKeys()


def sealed(keys: MemoryDataKeys, **changes: str) -> tuple[bytes, dict[str, str]]:
    facts = {"message_id": MESSAGE_ID, "rule": "inbound", "account_id": ACCOUNT, "key_id": "arn:key"} | changes
    context = ses_context(**facts)
    data_key, wrapped = keys.new_data_key(context)
    return seal(RAW, data_key=data_key, wrapped_key=wrapped, iv=os.urandom(12), context=context)


def refusal(body: bytes, metadata: Mapping[str, str], keys: MemoryDataKeys, binding: Binding = BINDING) -> Quarantined:
    with pytest.raises(Quarantined) as caught:
        unseal(body, metadata, keys=keys, binding=binding)
    return caught.value


def test_sealed_mail_opens_again(keys: MemoryDataKeys) -> None:
    """The SMTP door writes what the flow reads; both must use the same form."""
    body, metadata = sealed(keys)

    assert unseal(body, metadata, keys=keys, binding=BINDING) == RAW
    assert len(body) == len(RAW) + 16


def test_empty_mail_opens_again(keys: MemoryDataKeys) -> None:
    """An empty mail is a mail; whether it is worth filing is decided later."""
    context = ses_context(message_id=MESSAGE_ID, rule="inbound", account_id=ACCOUNT, key_id="arn:key")
    data_key, wrapped = keys.new_data_key(context)
    body, metadata = seal(b"", data_key=data_key, wrapped_key=wrapped, iv=os.urandom(12), context=context)

    assert unseal(body, metadata, keys=keys, binding=BINDING) == b""


def test_metadata_is_that_of_ses(keys: MemoryDataKeys) -> None:
    """These seven names and their spellings are SES's; other readers of the bucket rely on them."""
    _, metadata = sealed(keys)

    assert set(metadata) == {
        "x-amz-tag-len",
        "x-amz-unencrypted-content-length",
        "x-amz-wrap-alg",
        "x-amz-matdesc",
        "x-amz-key-v2",
        "x-amz-cek-alg",
        "x-amz-iv",
    }
    assert (metadata["x-amz-wrap-alg"], metadata["x-amz-tag-len"]) == ("kms", "128")
    assert json.loads(metadata["x-amz-matdesc"])["aws:ses:message-id"] == MESSAGE_ID


@pytest.mark.parametrize("position", [0, 10, -1], ids=["first byte", "in the text", "in the tag"])
def test_flipped_bit_is_refused(keys: MemoryDataKeys, position: int) -> None:
    """GCM authenticates every bit; nothing of a changed mail may be shown."""
    body, metadata = sealed(keys)
    changed = bytearray(body)
    changed[position] ^= 1

    error = refusal(bytes(changed), metadata, keys)

    assert (error.reason, error.facts["step"]) == (Reason.NOT_DECRYPTABLE, "tag")


@pytest.mark.parametrize(("left", "step"), [(-1, "tag"), (20, "tag"), (15, "length"), (0, "length")])
def test_truncated_mail_is_refused(keys: MemoryDataKeys, left: int, step: str) -> None:
    """A cut upload must not be filed as a shorter mail."""
    body, metadata = sealed(keys)

    error = refusal(body[:left], metadata, keys)

    assert (error.reason, error.facts["step"]) == (Reason.NOT_DECRYPTABLE, step)


@pytest.mark.parametrize(
    ("binding", "step"),
    [
        (Binding(ACCOUNT, "another" + MESSAGE_ID[7:]), "message_id"),
        (Binding("999999999999", MESSAGE_ID), "account"),
        (Binding(ACCOUNT, MESSAGE_ID, frozenset({"scans"})), "rule"),
    ],
)
def test_moved_mail_is_refused_before_its_key_is_asked_for(keys: MemoryDataKeys, binding: Binding, step: str) -> None:
    """The old wrap does not bind the object key: a copy under another key would be filed as another's mail."""
    body, metadata = sealed(keys)

    error = refusal(body, metadata, keys, binding)

    assert (error.reason, error.facts["step"]) == (Reason.NOT_BOUND, step)
    assert keys.asked == 0


def test_any_rule_of_the_account_passes_where_none_is_named(keys: MemoryDataKeys) -> None:
    """A list of rules is a choice of the installation, not part of the form."""
    body, metadata = sealed(keys, rule="whatever")

    assert unseal(body, metadata, keys=keys, binding=Binding(ACCOUNT, MESSAGE_ID)) == RAW


def test_rewritten_context_is_refused_by_the_key_service(keys: MemoryDataKeys) -> None:
    """An attacker who copies an object can rewrite its metadata; the wrapped key keeps its own context."""
    body, metadata = sealed(keys, message_id="another" + MESSAGE_ID[7:])
    context = json.loads(metadata["x-amz-matdesc"]) | {"aws:ses:message-id": MESSAGE_ID}

    error = refusal(body, metadata | {"x-amz-matdesc": json.dumps(context)}, keys)

    assert (error.reason, error.facts["step"]) == (Reason.NOT_DECRYPTABLE, "key")


def test_plain_object_is_refused(keys: MemoryDataKeys) -> None:
    """Anything in the bucket that SES did not encrypt was put there by somebody else."""
    assert refusal(RAW, {}, keys).reason is Reason.NOT_ENCRYPTED


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"x-amz-tag-len": "96"}, "suite"),
        ({"x-amz-cek-alg": "AES/CTR/NoPadding"}, "suite"),
        ({"x-amz-cek-alg": "AES/CBC/PKCS5Padding"}, "metadata"),
        ({"x-amz-cek-alg": "AES/CBC/PKCS5Padding", "x-amz-iv": base64.b64encode(bytes(16)).decode()}, "form"),
        ({"x-amz-wrap-alg": "kms+context"}, "suite"),
        ({"x-amz-wrap-alg": "RSA-OAEP-SHA1"}, "suite"),
        ({"x-amz-key": "AAAA"}, "format"),
        ({"x-amz-3": "AAAA"}, "format"),
        ({"x-amz-iv": base64.b64encode(b"short").decode()}, "metadata"),
        ({"x-amz-iv": "not base64!"}, "metadata"),
        ({"x-amz-matdesc": "[]"}, "metadata"),
        ({"x-amz-matdesc": "{"}, "metadata"),
        ({"x-amz-unencrypted-content-length": "7"}, "length"),
        ({"x-amz-unencrypted-content-length": "seven"}, "metadata"),
    ],
)
def test_other_form_is_refused(keys: MemoryDataKeys, changes: dict[str, str], step: str) -> None:
    """A shorter tag or an unauthenticated suite would let a changed mail through; only SES's own form is read."""
    body, metadata = sealed(keys)

    error = refusal(body, metadata | changes, keys)

    assert (error.reason, error.facts["step"]) == (Reason.NOT_DECRYPTABLE, step)


@pytest.mark.parametrize("name", ["x-amz-iv", "x-amz-matdesc"])
def test_missing_metadata_is_refused(keys: MemoryDataKeys, name: str) -> None:
    """An incomplete envelope is refused."""
    body, metadata = sealed(keys)
    del metadata[name]

    assert refusal(body, metadata, keys).reason is Reason.NOT_DECRYPTABLE


def test_iv_has_twelve_bytes(keys: MemoryDataKeys) -> None:
    """Any other length makes GCM hash it first, and readers of SES's form refuse it."""
    with pytest.raises(ValueError, match="12 bytes"):
        seal(RAW, data_key=bytes(32), wrapped_key=b"w", iv=bytes(16), context={})
