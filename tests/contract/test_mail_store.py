"""The inbound bucket, in memory and on S3, and the key service: unreadable mail is quarantined with its reason."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from mailroom.adapters.aws.kms import KmsKeys
from mailroom.adapters.aws.s3 import MAX_OBJECT_BYTES, S3MailStore
from mailroom.domain.errors import Quarantined, Reason, TransientError
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.mail_store import MailStore, StoredObject
from mailroom.testing.mail_store import MemoryMailStore

CONTEXT = {"aws:ses:message-id": "abc123", "aws:ses:rule-name": "inbound"}
_numbers = count()


@pytest.fixture(scope="module")
def client(emulator: str) -> Callable[[str], Any]:
    return lambda service: boto3.client(
        service,
        endpoint_url=emulator,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@pytest.fixture(scope="module")
def s3(client: Callable[[str], Any]) -> Any:
    return client("s3")


@pytest.fixture(scope="module")
def kms(client: Callable[[str], Any]) -> Any:
    return client("kms")


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"mailstoretest-{next(_numbers)}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


@pytest.fixture
def key_arn(kms: Any) -> str:
    return str(kms.create_key()["KeyMetadata"]["Arn"])


@dataclass(frozen=True, slots=True)
class Case:
    """A mail store, its own bucket, and how objects are put and deleted."""

    mails: MailStore
    bucket: str
    #: Returns the version.
    put: Callable[..., str]
    delete: Callable[..., None]

    def ref(self, key: str, version: str = "") -> ObjectRef:
        return ObjectRef(self.bucket, key, version)

    def refused(self, ref: ObjectRef) -> Quarantined:
        with pytest.raises(Quarantined) as caught:
            self.mails.fetch(ref)
        return caught.value


@pytest.fixture(params=["memory", "s3"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "memory":
        mails, now = MemoryMailStore(), datetime.now(UTC)

        def keep(key: str, body: bytes, metadata: dict[str, str] | None = None) -> str:
            return mails.put(ObjectRef("mails", key), body, metadata, at=now)

        return Case(mails, "mails", keep, lambda key, version="": mails.delete(ObjectRef("mails", key, version)))
    s3, bucket = request.getfixturevalue("s3"), request.getfixturevalue("bucket")

    def put(key: str, body: bytes, metadata: dict[str, str] | None = None) -> str:
        return str(s3.put_object(Bucket=bucket, Key=key, Body=body, Metadata=metadata or {})["VersionId"])

    def delete(key: str, version: str = "") -> None:
        s3.delete_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))

    return Case(S3MailStore(s3), bucket, put, delete)


def test_an_object_comes_whole_with_its_metadata(case: Case) -> None:
    """The metadata have the wrapped key and its context; without them the body cannot be decrypted."""
    case.put("in/abc123", b"sealed", {"x-amz-key-v2": "d3JhcHBlZA=="})

    stored = case.mails.fetch(case.ref("in/abc123"))

    assert stored == StoredObject(b"sealed", {"x-amz-key-v2": "d3JhcHBlZA=="})


def test_the_announced_version_is_the_one_that_is_read(case: Case) -> None:
    """Writing over an object must not change the mail that was received."""
    version = case.put("in/abc123", b"first")
    case.put("in/abc123", b"second")

    assert case.mails.fetch(case.ref("in/abc123", version)).body == b"first"
    assert case.mails.fetch(case.ref("in/abc123")).body == b"second"


def test_an_object_that_is_not_there_is_gone(case: Case) -> None:
    """No retry brings it back; a person has to know."""
    assert case.refused(case.ref("in/never-was")).reason is Reason.GONE


def test_a_deleted_object_is_gone(case: Case) -> None:
    """A lifecycle rule leaves a marker, and S3 answers otherwise than for a key that never existed."""
    case.put("in/abc123", b"sealed")
    case.delete("in/abc123")

    assert case.refused(case.ref("in/abc123")).reason is Reason.GONE


def test_a_version_that_is_not_there_is_gone(case: Case) -> None:
    """A newer object under the same key is another mail and must not be read instead."""
    version = case.put("in/abc123", b"first")
    case.put("in/abc123", b"second")
    case.delete("in/abc123", version)

    assert case.refused(case.ref("in/abc123", version)).reason is Reason.GONE


def test_an_object_over_the_limit_is_refused_with_its_size(case: Case) -> None:
    """SES takes 40 MB, so this is no mail of SES's and must not use the worker's memory."""
    case.put("in/huge", bytes(MAX_OBJECT_BYTES + 1))

    refused = case.refused(case.ref("in/huge"))

    assert refused.reason is Reason.TOO_LARGE
    assert refused.facts == {"size": MAX_OBJECT_BYTES + 1}


def test_objects_are_listed_by_their_keys_in_pages_that_join(case: Case) -> None:
    """The sweep compares the bucket with the ledger page by page; deleted objects need no line."""
    for key in ("in/c", "in/a", "in/b", "in/gone"):
        case.put(key, b"sealed")
    case.put("in/a", b"again")
    case.delete("in/gone")

    first = case.mails.list(case.bucket, after="", most=2)
    rest = case.mails.list(case.bucket, after=first[-1].key, most=2)

    assert [one.key for one in (*first, *rest)] == ["in/a", "in/b", "in/c"]
    assert all(one.modified_at.tzinfo for one in first)


def test_a_new_key_is_256_bits_and_its_wrapping_opens_to_it(kms: Any, key_arn: str) -> None:
    """The sandbox encrypts with it what the worker decrypts."""
    keys = KmsKeys(kms, key_arn=key_arn)

    plain, wrapped = keys.new_data_key(CONTEXT)

    assert len(plain) == 32
    assert plain not in wrapped
    assert keys.unwrap(wrapped, CONTEXT) == plain


@pytest.mark.parametrize("context", [{}, CONTEXT | {"aws:ses:message-id": "another"}], ids=["none", "another mail"])
def test_a_key_bound_to_another_context_is_not_decryptable(kms: Any, key_arn: str, context: dict[str, str]) -> None:
    """The context binds a data key to its mail: a key cut out of one mail must not open another."""
    keys = KmsKeys(kms, key_arn=key_arn)
    _, wrapped = keys.new_data_key(CONTEXT)

    with pytest.raises(Quarantined) as caught:
        keys.unwrap(wrapped, context)

    assert caught.value.reason is Reason.NOT_DECRYPTABLE
    assert caught.value.facts["step"] == "key"


def test_a_malformed_blob_is_not_decryptable(kms: Any, key_arn: str) -> None:
    """An object's metadata are whatever its writer put there."""
    with pytest.raises(Quarantined) as caught:
        KmsKeys(kms, key_arn=key_arn).unwrap(b"x" * 64, CONTEXT)

    assert caught.value.reason is Reason.NOT_DECRYPTABLE
    assert caught.value.facts["step"] == "key"


def test_a_master_key_that_is_no_longer_there_is_an_outage(kms: Any, key_arn: str) -> None:
    """Every mail would fail: quarantining them all would hide the one thing that a person has to repair."""
    _, wrapped = KmsKeys(kms, key_arn=key_arn).new_data_key(CONTEXT)
    elsewhere = key_arn.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"

    with pytest.raises(TransientError) as caught:
        KmsKeys(kms, key_arn=elsewhere).unwrap(wrapped, CONTEXT)

    assert caught.value.facts["code"] == "NotFoundException"


def test_a_key_of_another_mailroom_is_not_decryptable(kms: Any, key_arn: str) -> None:
    """The emulator says AccessDenied of such a blob, as AWS does for a wrong key policy; a probe of the key decides."""
    other = str(kms.create_key()["KeyMetadata"]["Arn"])
    _, wrapped = KmsKeys(kms, key_arn=other).new_data_key(CONTEXT)

    with pytest.raises(Quarantined) as caught:
        KmsKeys(kms, key_arn=key_arn).unwrap(wrapped, CONTEXT)

    assert caught.value.reason is Reason.NOT_DECRYPTABLE


def test_a_policy_that_slipped_is_an_outage(kms: Any, key_arn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no fault of this mail: it is retried, and the listener pauses until a person has repaired the policy."""

    def deny(**_: Any) -> Any:
        # The emulator has no key policies.
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "Decrypt")

    keys = KmsKeys(kms, key_arn=key_arn)
    monkeypatch.setattr(kms, "decrypt", deny)

    with pytest.raises(TransientError):
        keys.unwrap(b"x" * 64, CONTEXT)
    with pytest.raises(TransientError):
        keys.check()


def test_a_disabled_key_fails_its_check_and_a_serving_one_passes(kms: Any, key_arn: str) -> None:
    """The listener checks the key before it receives again."""
    KmsKeys(kms, key_arn=key_arn).check(CONTEXT)
    kms.disable_key(KeyId=key_arn.rpartition("/")[2])

    with pytest.raises(TransientError) as caught:
        KmsKeys(kms, key_arn=key_arn).check(CONTEXT)

    assert caught.value.facts["state"] == "Disabled"
