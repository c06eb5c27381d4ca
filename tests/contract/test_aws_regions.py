"""Data residency, checked on the emulator: what is inside the allowed regions, what is refused, what is unknown."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto.server import ThreadedMotoServer

from mailroom.adapters.aws.clients import client
from mailroom.adapters.aws.regions import by_asking, by_name, refuse_outside, short_lived_queues
from mailroom.cli._regions import region_lines
from mailroom.domain.errors import ConfigurationError, TransientError
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.settings import Settings, allowed_regions
from tests.support.loopback_ports import free_port

NAMES = Names(stem="regionstest")
FORTNIGHT_S = "1209600"
EU = allowed_regions("eu-west-1 eu-central-1 eu-north-1")
ELSEWHERE = {
    "database_url": "postgresql://mailroom@127.0.0.1:9/mailroom",
    "prefect_api_url": "http://127.0.0.1:9/api",
    "prefect_url": "http://127.0.0.1:9",
    "api_url": "http://127.0.0.1:9",
}


@pytest.fixture(autouse=True)
def _own_clients() -> Iterator[None]:
    """Clients are cached for the whole process; these are of this module's emulator."""
    client.cache_clear()
    yield
    client.cache_clear()


@pytest.fixture(scope="module")
def stack(aws: str) -> dict[str, str]:
    # A queue of an older installation: made with SQS's default retention of four days.
    boto3.client("sqs").create_queue(QueueName=NAMES.of("mailbox"))
    return provision(NAMES)


def settings(stack: dict[str, str], **changed: Any) -> Settings:
    return Settings(**(ELSEWHERE | stack | changed))


def bucket(name: str, region: str) -> str:
    """Make a bucket in a region, and return its name."""
    where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if region != "us-east-1" else {}
    boto3.client("s3", region_name=region).create_bucket(Bucket=name, **where)  # type: ignore[arg-type]
    return name


def refusal(installation: Settings) -> str:
    with pytest.raises(ConfigurationError) as caught:
        refuse_outside(installation)
    return str(caught.value)


def test_all_six_queues_keep_messages_a_fortnight(stack: dict[str, str]) -> None:
    """A message that expires unread in the main queue is lost as surely as one in the dead letters."""
    sqs = boto3.client("sqs")
    kept = {}
    for what in ("inbound", "mailbox", "tracking"):
        for name in (NAMES.of(what), f"{NAMES.of(what)}-dlq"):
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
            kept[name] = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]

    assert len(kept) == 6
    assert {name: one["MessageRetentionPeriod"] for name, one in kept.items()} == dict.fromkeys(kept, FORTNIGHT_S)
    assert short_lived_queues(settings(stack)) == []


def test_queue_that_keeps_less_is_named(stack: dict[str, str]) -> None:
    """The queues may be made by foreign Terraform: the worker says so at its start, and `status` each time."""
    sqs, url = boto3.client("sqs"), stack["tracking_queue_url"]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": "345600"})

    [said] = short_lived_queues(settings(stack))

    sqs.set_queue_attributes(QueueUrl=url, Attributes={"MessageRetentionPeriod": FORTNIGHT_S})
    assert said.startswith(f"the tracking queue {url} keeps messages for 4 days")
    assert FORTNIGHT_S in said


def test_queue_of_dead_letters_that_keeps_less_is_named(stack: dict[str, str]) -> None:
    """SQS counts from the first arrival: a message of the second week would expire as it becomes a dead letter."""
    sqs = boto3.client("sqs")
    dead = sqs.get_queue_url(QueueName=f"{NAMES.of('mailbox')}-dlq")["QueueUrl"]
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": "345600"})

    said = short_lived_queues(settings(stack))

    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": FORTNIGHT_S})
    assert [one.partition(" keeps")[0] for one in said] == [f"the dead-letter queue of the mailbox queue, {dead}"]
    assert short_lived_queues(settings(stack)) == []


def test_installation_in_the_eu_is_let_in(stack: dict[str, str]) -> None:
    """Everything of the embedded stack: by name and endpoint on this machine, by AWS's answer in Ireland."""
    installation = settings(stack)

    refuse_outside(installation)

    seen = {one.what: one.region for one in by_name(installation, EU) + by_asking(installation, EU)}
    assert (seen["inbound queue"], seen["topic"], seen["KMS key"], seen["bucket"]) == (
        "this machine",
        "eu-west-1",
        "eu-west-1",
        "eu-west-1",
    )


@pytest.mark.parametrize("setting", ["inbound_bucket", "archive_bucket", "files_bucket"])
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-2"])
def test_bucket_outside_is_refused(stack: dict[str, str], setting: str, region: str) -> None:
    """The name does not show the region, and S3 redirects clients: only GetBucketLocation knows. London is not in the EU."""
    name = bucket(f"{setting.replace('_', '-')}-{region}", region)

    said = refusal(settings(stack, **{setting: name}))

    assert f"the bucket {name} is in {region}" in said
    assert "MAILROOM_REGIONS_ALLOWED" in said
    refuse_outside(settings(stack, **{setting: name}, regions_allowed=f"eu-west-1,{region}"))


def test_bucket_that_is_replicated_outside_is_refused(stack: dict[str, str]) -> None:
    """The data would be in both regions; a disabled rule copies nothing."""
    s3, copy = boto3.client("s3"), bucket("regionstest-copy", "us-west-2")
    archive = bucket("regionstest-replicated", "eu-west-1")
    for name, region in ((archive, "eu-west-1"), (copy, "us-west-2")):
        versioned = {"Status": "Enabled"}
        boto3.client("s3", region_name=region).put_bucket_versioning(Bucket=name, VersioningConfiguration=versioned)  # type: ignore[arg-type]

    def replicate(status: Any) -> None:
        to = {"Bucket": f"arn:aws:s3:::{copy}"}
        rule: Any = {"ID": "copy", "Priority": 1, "Status": status, "Filter": {"Prefix": ""}, "Destination": to}
        rule |= {"DeleteMarkerReplication": {"Status": "Disabled"}}
        role = "arn:aws:iam::123456789012:role/copy"
        s3.put_bucket_replication(Bucket=archive, ReplicationConfiguration={"Role": role, "Rules": [rule]})

    replicate("Disabled")
    refuse_outside(settings(stack, archive_bucket=archive))
    replicate("Enabled")

    assert f"{archive} is replicated to, {copy} is in us-west-2" in refusal(settings(stack, archive_bucket=archive))


def test_key_with_a_copy_outside_is_refused(stack: dict[str, str]) -> None:
    """A multi-region key decrypts the mails in each of its regions; the ARN names one of them."""
    kms = boto3.client("kms")
    key = kms.create_key(MultiRegion=True)["KeyMetadata"]["Arn"]
    refuse_outside(settings(stack, kms_key_arn=key))

    kms.replicate_key(KeyId=key.rpartition("/")[2], ReplicaRegion="us-east-1")

    said = refusal(settings(stack, kms_key_arn=key))
    assert "copy of the KMS key, arn:aws:kms:us-east-1:" in said
    assert said.count("is in us-east-1") == 1


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"region": "us-east-1"}, "the region of SES us-east-1 is in us-east-1"),
        ({"inbound_queue_url": "https://sqs.us-east-1.amazonaws.com/1/q"}, "the inbound queue https://sqs.us-east-1"),
        ({"mailbox_queue_url": "https://sqs.eu-west-2.amazonaws.com/1/q"}, "is in eu-west-2"),
        ({"tracking_queue_url": "https://eu-west-1.evil.example/1/q"}, "has no known region"),
        ({"inbound_topic_arn": "arn:aws:sns:us-east-1:123456789012:t"}, "the topic arn:aws:sns:us-east-1"),
        ({"ses_hook_topics": "acme=arn:aws:sns:eu-central-2:123456789012:t"}, "the topic arn:aws:sns:eu-central-2"),
        ({"kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/k"}, "the KMS key arn:aws:kms:us-east-1"),
        ({"kms_key_arn": "alias/mailroom"}, "the KMS key alias/mailroom has no known region"),
        ({"database_url": "postgresql://u:secret@m.x.us-east-2.rds.amazonaws.com/m"}, "is in us-east-2"),
        ({"prefect_api_url": "https://p.execute-api.us-west-2.amazonaws.com/api"}, "the Prefect server p.execute-api"),
        ({"region": "not a region"}, "the region of SES not a region is in not a region"),
    ],
)
def test_name_outside_is_refused_without_asking(stack: dict[str, str], changed: dict[str, str], named: str) -> None:
    """And the line names it; a password in a URL is not repeated."""
    said = refusal(settings(stack, **changed))

    assert named in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("endpoint", "named"),
    [
        ("https://s3.amazonaws.com", "s3.amazonaws.com is in us-east-1"),
        ("https://s3.eu-central-1.amazonaws.com", "s3.eu-central-1.amazonaws.com is in eu-central-1"),
        ("http://minio.internal:9000", "minio.internal has no known region"),
    ],
)
def test_client_whose_endpoint_is_elsewhere_is_refused(
    stack: dict[str, str], monkeypatch: pytest.MonkeyPatch, endpoint: str, named: str
) -> None:
    """The region of a client says where it signs for, its endpoint where the data goes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)

    said = refusal(settings(stack))

    assert named in said


@pytest.mark.parametrize(
    ("call", "permission"),
    [("get_bucket_location", "s3:GetBucketLocation"), ("get_bucket_replication", "s3:GetReplicationConfiguration")],
)
def test_missing_permission_is_named(stack: dict[str, str], call: str, permission: str) -> None:
    """What cannot be inspected may be anywhere: it is refused, with the permission to grant."""
    one_bucket = settings(stack, inbound_bucket=stack["archive_bucket"], files_bucket="")
    with Stubber(client("s3", region="eu-west-1", owner=stack["account_id"])) as s3:
        if call != "get_bucket_location":
            s3.add_response("get_bucket_location", {"LocationConstraint": "eu-west-1"})  # type: ignore[arg-type]
        s3.add_client_error(call, "AccessDenied", http_status_code=403)
        if call != "get_bucket_replication":
            s3.add_client_error("get_bucket_replication", "ReplicationConfigurationNotFoundError")

        said = refusal(one_bucket)

    assert f"{stack['archive_bucket']} cannot be checked: AWS responds AccessDenied; grant {permission}" in said


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("regionstest-nowhere", "AWS responds NoSuchBucket"),
        ("not a bucket", "boto3 refused the call"),
        ("arn:aws:s3::123456789012:accesspoint/mails.mrap", "boto3 refused the call"),
    ],
)
def test_bucket_that_is_not_there_is_refused(stack: dict[str, str], name: str, why: str) -> None:
    """The region and owner of a future bucket of that name are unknown; and this is no outage to wait for."""
    assert f"the bucket {name} cannot be checked: {why}" in refusal(settings(stack, files_bucket=name))


def test_outage_at_the_start_is_waited_for(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A restart during an outage must not end in a refusal, nor start unchecked."""
    port = free_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    with pytest.raises(TransientError):
        by_asking(settings(stack), EU)
    waiting = threading.Thread(target=refuse_outside, args=[settings(stack)], daemon=True)
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()

    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    waiting.join(timeout=30)
    server.stop()

    assert not waiting.is_alive()


@pytest.mark.parametrize("command", [["mailroom.api.serve", "--port", "PORT"], ["deployments.worker"]])
def test_worker_and_http_service_refuse_to_run_outside(
    stack: dict[str, str], database_url: str, command: list[str]
) -> None:
    """One clear line on stderr and an exit code that is not 0; the worker has not even connected to Prefect."""
    name = f"outside-{command[0].replace('.', '-')}"
    installation = settings(stack, archive_bucket=bucket(name, "us-east-1"), database_url=database_url)
    module = [word.replace("PORT", str(free_port())) for word in command]

    ended = subprocess.run(
        [sys.executable, "-m", *module],
        env=os.environ | installation.environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    said = [line for line in ended.stderr.splitlines() if line.startswith("mailroom ")]
    assert ended.returncode in (1, 2)
    assert len(said) == 1
    assert f"the bucket {name} is in us-east-1" in said[0]
    assert "Traceback" not in ended.stderr


def test_status_says_where_data_is(stack: dict[str, str], database_url: str, tmp_path: Any) -> None:
    """The regions in use, those that are allowed, and what is outside, also without the embedded stack."""
    name = bucket("regionstest-status", "us-east-1")
    installation = settings(stack, archive_bucket=name, database_url=database_url)
    environment = os.environ | installation.environment() | {"MAILROOM_DATA": str(tmp_path / "none")}
    command = [sys.executable, "-m", "mailroom.cli", "status", "--json"]

    output = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)

    regions = json.loads(output.stdout)["regions"]
    assert "eu-west-1" in regions["allowed"]
    assert [one["name"] for one in regions["resources"] if one["fault"]] == [name]
    assert f"outside      the bucket {name} is in us-east-1" in list(region_lines(regions))
    assert output.returncode == 1
