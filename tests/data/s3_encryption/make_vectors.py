"""Has AWS's own S3 Encryption Client write and read objects, and records them for `tests/unit/test_s3_encryption.py`.

    make oracle        its own environment, for the client pins older libraries than Mailroom runs with; then this script

What the client writes is recorded with the data key that the emulated KMS gives out for it. What the client cannot write
(SES's form, which the door writes, and the old AES-CBC one) is written here, and recorded only after the client read it.
Afterwards every object is opened by Mailroom's own code, so that a record that it cannot read is never kept.
"""

import base64
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7
from moto.server import ThreadedMotoServer
from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2]))
from mailroom.domain.inbound.envelope_encryption import Binding, Forms, seal, ses_context, unseal  # noqa: E402
from mailroom.domain.inbound.s3_encryption import read_metadata  # noqa: E402
from mailroom.testing.keys import MemoryDataKeys  # noqa: E402

MAIL = b"From: anna@sender.test\r\nSubject: a lease\r\n\r\n" + bytes(range(256)) * 3
MESSAGE_ID, ACCOUNT, BUCKET = "lhne4tbq09c867b1ko1f3ho4fqfidcatruo26781", "123456789012", "mails"
OLD = AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF


class Recorder:
    """One emulated S3 and KMS, and what was recorded there."""

    def __init__(self, endpoint: str) -> None:
        self._where = {"endpoint_url": endpoint, "region_name": "eu-west-1"}
        self.s3, self.kms = self._client("s3"), self._client("kms")
        self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        self.key_arn = self.kms.create_key()["KeyMetadata"]["Arn"]
        self.records: list[dict[str, Any]] = []

    def written_by_client(self, name: str, plain: bytes, context: dict[str, str], **config: Any) -> None:
        """Record an object that the client writes."""
        self._aws(**config).put_object(Bucket=BUCKET, Key=name, Body=plain, EncryptionContext=context)
        self._record(name, plain, by="client")

    def read_by_client(self, name: str, plain: bytes, body: bytes, metadata: Mapping[str, str], **config: Any) -> None:
        """Record an object that the client reads."""
        self.s3.put_object(Bucket=BUCKET, Key=name, Body=body, Metadata=dict(metadata))
        read = self._aws(reads_old=True, **config).get_object(Bucket=BUCKET, Key=name)["Body"].read()
        if read != plain:
            raise AssertionError(f"the client reads {name} otherwise")
        self._record(name, plain, by="mailroom")

    def data_key(self, context: dict[str, str]) -> tuple[bytes, bytes]:
        made = self.kms.generate_data_key(KeyId=self.key_arn, KeySpec="AES_256", EncryptionContext=context)
        return made["Plaintext"], made["CiphertextBlob"]

    def _client(self, service: str) -> Any:
        return boto3.client(service, aws_access_key_id="test", aws_secret_access_key="test", **self._where)

    def _aws(self, *, reads_old: bool = False, **config: Any) -> S3EncryptionClient:
        # Its own S3 client each time: it changes the one that it is given.
        keyring = KmsKeyring(self.kms, self.key_arn, enable_legacy_wrapping_algorithms=reads_old)
        if reads_old:
            config["commitment_policy"] = CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT
        return S3EncryptionClient(self._client("s3"), S3EncryptionClientConfig(keyring=keyring, **config))

    def _record(self, name: str, plain: bytes, *, by: str) -> None:
        there = self.s3.get_object(Bucket=BUCKET, Key=name)
        body, metadata = there["Body"].read(), there["Metadata"]
        wrapped = base64.b64decode(metadata.get("x-amz-3") or metadata["x-amz-key-v2"])
        context = json.loads(metadata.get("x-amz-t") or metadata["x-amz-matdesc"])
        opened = self.kms.decrypt(CiphertextBlob=wrapped, EncryptionContext=context, KeyId=self.key_arn)
        record = {"name": name, "by": by, "metadata": metadata, "data_key": encoded(opened["Plaintext"])}
        record |= {"body": encoded(body), "plain": encoded(plain)}
        check(record)
        self.records.append(record)


def check(record: Mapping[str, Any]) -> None:
    """Open a record with Mailroom's own code."""
    binding, forms = Binding(ACCOUNT, MESSAGE_ID, key=record["name"]), Forms(clients=("",), legacy=True)
    body = base64.b64decode(record["body"])
    keys, output = MemoryDataKeys(), read_metadata(record["metadata"])
    if output is not None:
        keys.keep(output.wrapped_key, output.context, base64.b64decode(record["data_key"]))
    read = unseal(body, record["metadata"], keys=keys, binding=binding, forms=forms)
    if encoded(read) != record["plain"]:
        raise AssertionError(f"Mailroom reads {record['name']} otherwise")


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def cbc(plain: bytes, data_key: bytes, wrapped: bytes, wrap: str, context: Mapping[str, str]) -> tuple[bytes, dict]:
    """Return an object as clients wrote it before there was GCM."""
    iv, padder = os.urandom(16), PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(data_key), modes.CBC(iv)).encryptor()
    body = encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()
    return body, {
        "x-amz-key-v2": encoded(wrapped),
        "x-amz-iv": encoded(iv),
        "x-amz-matdesc": json.dumps(context),
        "x-amz-wrap-alg": wrap,
        "x-amz-cek-alg": "AES/CBC/PKCS5Padding",
        "x-amz-unencrypted-content-length": str(len(plain)),
    }


def record_all(recorder: Recorder) -> None:
    """Record one object of each form, and an empty one where forms can be empty."""
    bound = {"message_id": MESSAGE_ID}
    forbid = {"encryption_algorithm": OLD, "commitment_policy": CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT}
    for size, plain in (("", MAIL), ("-empty", b"")):
        recorder.written_by_client(f"v3{size}", plain, bound)
        recorder.written_by_client(f"v2-context{size}", plain, bound, **forbid)
        ses = ses_context(message_id=MESSAGE_ID, rule="inbound", account_id=ACCOUNT, key_id=recorder.key_arn)
        data_key, wrapped = recorder.data_key(ses)
        body, metadata = seal(plain, data_key=data_key, wrapped_key=wrapped, iv=os.urandom(12), context=ses)
        recorder.read_by_client(f"ses{size}", plain, body, metadata)
    old_context = {"kms_cmk_id": recorder.key_arn}
    data_key, wrapped = recorder.data_key(old_context)
    old = cbc(MAIL, data_key, wrapped, "kms", old_context)
    recorder.read_by_client("v2-kms-cbc", MAIL, *old, enable_legacy_unauthenticated_modes=True)


def main() -> None:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        recorder = Recorder("http://{}:{}".format(*server.get_host_and_port()))
        record_all(recorder)
    finally:
        server.stop()
    output = {"client": version("amazon-s3-encryption-client-python"), "message_id": MESSAGE_ID, "account": ACCOUNT}
    (HERE / "vectors.json").write_text(json.dumps(output | {"objects": recorder.records}, indent=1) + "\n")
    print(f"recorded {len(recorder.records)} objects with client {output['client']}")


if __name__ == "__main__":
    main()
