"""The port `Keys` in memory and on KMS: what a key service refuses for good, and what it may grant a moment later."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from mailroom.adapters.aws.kms import KmsKeys
from mailroom.domain.errors import Quarantined, Reason, Throttled, TransientError
from mailroom.ports.keys import Keys
from mailroom.testing.keys import MemoryDataKeys

CONTEXT = {"aws:ses:message-id": "abc123"}


def kms_at(endpoint: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("kms", region_name="eu-west-1", endpoint_url=endpoint, **keys)


@pytest.fixture(params=["memory", "kms"])
def keys(request: pytest.FixtureRequest) -> Keys:
    if request.param == "memory":
        return MemoryDataKeys()
    kms = kms_at(request.getfixturevalue("emulator"))
    return KmsKeys(kms, key_arn=kms.create_key()["KeyMetadata"]["Arn"])


def refused(keys: Keys, wrapped: bytes, context: dict[str, str]) -> Reason:
    with pytest.raises(Quarantined) as caught:
        keys.unwrap(wrapped, context)
    assert caught.value.facts["step"] == "key"
    return caught.value.reason


def test_data_key_comes_back_for_its_own_context_alone(keys: Keys) -> None:
    """KMS binds the context into the wrapped key: metadata that was rewritten to fit another message opens nothing."""
    plain, wrapped = keys.new_data_key(CONTEXT)

    assert len(plain) == 32
    assert plain not in wrapped
    assert keys.unwrap(wrapped, CONTEXT) == plain
    assert refused(keys, wrapped, {"aws:ses:message-id": "other"}) is Reason.NOT_DECRYPTABLE
    assert refused(keys, wrapped, {}) is Reason.NOT_DECRYPTABLE
    assert refused(keys, b"x" * 64, CONTEXT) is Reason.NOT_DECRYPTABLE
    assert refused(keys, wrapped[:-1] + bytes([wrapped[-1] ^ 1]), CONTEXT) is Reason.NOT_DECRYPTABLE


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("ThrottlingException", 400, Throttled),
        ("KMSInternalException", 500, TransientError),
        ("DependencyTimeoutException", 503, TransientError),
        ("IncorrectKeyException", 400, Quarantined),
        ("InvalidCiphertextException", 400, Quarantined),
    ],
)
def test_what_kms_says_decides_whether_it_is_asked_again(code: str, status: int, error: type[Exception]) -> None:
    """A throttled mail must not end in quarantine, nor a forged one be retried for ever; another account's key is forged."""
    kms = kms_at("http://127.0.0.1:1")
    with Stubber(kms) as stub:
        stub.add_client_error("decrypt", service_error_code=code, http_status_code=status)

        with pytest.raises(error):
            KmsKeys(kms, key_arn="arn").unwrap(b"w", CONTEXT)


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException", "KMSInvalidStateException"])
@pytest.mark.parametrize(("serves", "error"), [(True, Quarantined), (False, TransientError)], ids=["blob", "key"])
def test_a_refused_key_is_an_outage_unless_it_serves_others(code: str, serves: bool, error: type[Exception]) -> None:
    """A wrong key policy would quarantine every mail; where the key unwraps other blobs, this blob is at fault."""
    kms = kms_at("http://127.0.0.1:1")
    with Stubber(kms) as stub:
        stub.add_client_error("decrypt", service_error_code=code, http_status_code=400)
        serves_or_not(stub, serves)
        stub.add_client_error("decrypt", service_error_code=code, http_status_code=400)

        with pytest.raises(error):
            KmsKeys(kms, key_arn="arn").unwrap(b"w", CONTEXT)


def test_a_key_that_was_refused_for_a_moment_opens_the_mail_all_the_same() -> None:
    """Key policies take effect gradually: one refusal must not send a good mail to quarantine."""
    kms = kms_at("http://127.0.0.1:1")
    with Stubber(kms) as stub:
        stub.add_client_error("decrypt", service_error_code="AccessDeniedException", http_status_code=400)
        serves_or_not(stub, True)
        stub.add_response("decrypt", {"Plaintext": b"key"})

        assert KmsKeys(kms, key_arn="arn").unwrap(b"w", CONTEXT) == b"key"


def serves_or_not(stub: Stubber, serves: bool) -> None:
    """Make the key service answer a probe of the key."""
    stub.add_response("describe_key", {"KeyMetadata": {"KeyId": "key", "KeyState": "Enabled"}})
    probed = "InvalidCiphertextException" if serves else "AccessDeniedException"
    stub.add_client_error("decrypt", service_error_code=probed, http_status_code=400)
