"""What moto accepts and AWS refuses, as docs/emulator.md lists it: a release of moto that refuses one of these fails here.

Then the row of the document goes, and with it what stood for AWS.
"""

import json
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import md5, sha256
from itertools import count
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto.s3.models import S3Backend
from moto.s3.responses import S3Response

from mailroom.sandbox.stand_ins import bucket_owner, object_lock

DAY = timedelta(days=1)
_numbers = count()

#: Bytes, and the digests of others.
BODY = b"x"
SHA256 = b64encode(sha256(b"y").digest()).decode()
MD5 = b64encode(md5(b"y").digest()).decode()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto as it is, without our rules."""
    monkeypatch.setattr(S3Backend, "put_object_retention", object_lock._put_retention)
    monkeypatch.setattr(S3Response, "_key_response", bucket_owner._key_response)


@pytest.fixture
def client(emulator: str) -> Callable[[str], Any]:
    keys = {"aws_access_key_id": "nobody", "aws_secret_access_key": "wrong"}
    return lambda service: boto3.client(service, endpoint_url=emulator, region_name="eu-west-1", **keys)  # type: ignore[call-overload]


class Bucket:
    """A bucket with Object Lock."""

    def __init__(self, s3: Any) -> None:
        self.s3, self.name = s3, f"lenient-{next(_numbers)}"
        where = {"LocationConstraint": "eu-west-1"}
        s3.create_bucket(Bucket=self.name, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)

    def put(self, key: str = "k", **how: Any) -> str:
        return str(self.s3.put_object(Bucket=self.name, Key=key, Body=BODY, **how)["VersionId"])

    def locked(self, mode: str, *, days: int) -> dict[str, Any]:
        return {"ObjectLockMode": mode, "ObjectLockRetainUntilDate": datetime.now(UTC) + days * DAY}


@pytest.fixture
def bucket(plain: None, client: Callable[[str], Any]) -> Bucket:
    return Bucket(client("s3"))


def test_moto_shortens_and_weakens_locks(bucket: Bucket) -> None:
    """COMPLIANCE becomes GOVERNANCE, which a bypass deletes; our rules for moto and the strict double refuse it."""
    which = {"Bucket": bucket.name, "Key": "k", "VersionId": bucket.put(**bucket.locked("COMPLIANCE", days=10))}
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": datetime.now(UTC) + DAY}

    bucket.s3.put_object_retention(**which, Retention=shorter)
    bucket.s3.delete_object(**which, BypassGovernanceRetention=True)

    assert "Versions" not in bucket.s3.list_object_versions(Bucket=bucket.name)


def test_moto_stores_what_s3_refuses(bucket: Bucket) -> None:
    """A date that has passed, a mode without a date, bytes of another digest, keys and metadata that are too long."""
    bucket.put(**bucket.locked("COMPLIANCE", days=-1))
    bucket.put(ObjectLockMode="COMPLIANCE")
    bucket.put(ChecksumAlgorithm="SHA256", ChecksumSHA256=SHA256)
    bucket.put(ContentMD5=MD5)
    bucket.put("k" * 1025)
    bucket.put(Metadata={"a": "b" * 3000})
    bucket.put(ServerSideEncryption="aws:kms", SSEKMSKeyId="arn:aws:kms:eu-west-1:123456789012:key/none")
    bucket.put(ExpectedBucketOwner="999999999999")


def test_moto_suspends_versions_of_a_bucket_with_object_lock(bucket: Bucket) -> None:
    bucket.s3.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Suspended"})

    assert bucket.s3.get_bucket_versioning(Bucket=bucket.name)["Status"] == "Suspended"


def test_moto_runs_no_lifecycle_rule_and_knows_no_credentials(bucket: Bucket) -> None:
    """Rules are stored and never run; anybody may do everything, but a bucket's policy is enforced."""
    rule = {"ID": "a", "Status": "Enabled", "Filter": {"Prefix": ""}, "Expiration": {"Days": 1}}
    bucket.s3.put_bucket_lifecycle_configuration(Bucket=bucket.name, LifecycleConfiguration={"Rules": [rule]})
    everything = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket.name}/*"}
    bucket.put()
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    bucket.s3.put_bucket_policy(Bucket=bucket.name, Policy=policy)

    with pytest.raises(ClientError):
        bucket.put()


def test_moto_decrypts_with_a_disabled_key(client: Callable[[str], Any]) -> None:
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"a": "b"})
    kms.disable_key(KeyId=key)

    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})

    assert opened["Plaintext"] == made["Plaintext"]
    with pytest.raises(kms.exceptions.InvalidCiphertextException):
        kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "c"})


def test_moto_deletes_a_message_by_an_old_receipt_handle(client: Callable[[str], Any]) -> None:
    """On AWS the message may be in another consumer's hands, and stays. A queue needs no policy to get notifications."""
    sqs, sns = client("sqs"), client("sns")
    queue = sqs.create_queue(QueueName=f"lenient-{next(_numbers)}", Attributes={"VisibilityTimeout": "0"})["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=f"lenient-{next(_numbers)}")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="hello")
    old, new = (sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"] for _ in range(2))

    sqs.delete_message(QueueUrl=queue, ReceiptHandle=old)

    assert old != new
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)


def test_moto_sends_what_ses_refuses(client: Callable[[str], Any]) -> None:
    """An unknown configuration set, and more than its own rate of one a second."""
    client("ses").verify_domain_identity(Domain="lenient.test")
    raw = {"Raw": {"Data": b"From: a@lenient.test\r\nTo: b@lenient.test\r\n\r\n"}}
    how = {"FromEmailAddress": "a@lenient.test", "Destination": {"ToAddresses": ["b@lenient.test"]}, "Content": raw}

    for _ in range(3):
        client("sesv2").send_email(**how, ConfigurationSetName="unknown")

    assert client("ses").get_send_quota()["MaxSendRate"] == 1.0
