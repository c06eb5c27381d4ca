"""The AWS resources of Mailroom, created in the emulator with the same calls as on AWS.

    SES receipt rules ──> inbound bucket (envelope encryption with the key) ──S3 event──> inbound queue ──> its dead letters
                     └──> inbound topic ─────────────────────────────────SNS envelope──┘
    tracking topic ──> tracking queue     mailbox queue     archive bucket (Object Lock)     files bucket

The emulator enforces none of the policies; they are written all the same, so that this file reads as the list of what
production grants. moto stores receipt rules completely, Stop actions too, so its SES is their only place. SES's events go to the topic
of its configuration set's event destination (`mailroom.sandbox.stand_ins.emulator` publishes them).
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, cast

import boto3
from botocore.exceptions import ClientError

from mailroom.ports.queue import MOST_KEPT

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.literals import BucketLocationConstraintType
    from mypy_boto3_s3.type_defs import QueueConfigurationTypeDef
    from mypy_boto3_ses import SESClient
    from mypy_boto3_ses.type_defs import ReceiptActionTypeDef, ReceiptRuleTypeDef
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

REDRIVE_AFTER = 5
#: The sender domain of the examples in README, docs and `--help`: they run in the sandbox as they stand.
_EXAMPLES_DOMAIN = "acme.test"
#: All types of events of sent mail: what is not published here is never known. API v1 lacks the last two.
_EVENT_TYPES = (
    "SEND",
    "REJECT",
    "BOUNCE",
    "COMPLAINT",
    "DELIVERY",
    "OPEN",
    "CLICK",
    "RENDERING_FAILURE",
    "DELIVERY_DELAY",
    "SUBSCRIPTION",
)
INBOUND_VISIBILITY_S = 60
KEPT_S = int(MOST_KEPT.total_seconds())


@dataclass(frozen=True, slots=True)
class Rule:
    """A receipt rule to create: `recipients` are addresses, domains, or `.domain` for subdomains; none means all.

    `stop` ends the rule set for the recipients that this rule matched, so that later rules do not store the mail again.
    """

    name: str
    recipients: tuple[str, ...]
    prefix: str
    stop: bool = True


@dataclass(frozen=True, slots=True)
class Names:
    """Names and places of the resources; every name starts with `stem`.

    Topics and key are in SES's `region`, as AWS demands; buckets and queues are in `storage_region` and the archive in
    `archive_region`, where these are given. S3 notifies queues of its own region only; SNS those of any.
    """

    stem: str = "mailroom"
    region: str = "eu-west-1"
    storage_region: str = ""
    archive_region: str = ""
    domain: str = "mailroom.test"
    #: Buckets of second copies and of the witness; no name is none.
    archive_copy_bucket: str = ""
    witness_bucket: str = ""
    rules: tuple[Rule, ...] = (Rule("scans", ("scans.mailroom.test",), "scans/"), Rule("inbound", (), "in/"))

    def of(self, what: str) -> str:
        """Return the name of one resource."""
        return f"{self.stem}-{what}"


@dataclass(frozen=True, slots=True)
class _Clients:
    s3: "S3Client"
    sqs: "SQSClient"
    sns: "SNSClient"
    kms: "KMSClient"
    ses: "SESClient"
    sesv2: Any

    @classmethod
    def of(cls, region: str, storage: str) -> Self:
        """Return clients for the endpoints of the environment (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_<SERVICE>`)."""
        return cls(
            s3=boto3.client("s3", region_name=storage),
            sqs=boto3.client("sqs", region_name=storage),
            sns=boto3.client("sns", region_name=region),
            kms=boto3.client("kms", region_name=region),
            ses=boto3.client("ses", region_name=region),
            # Its stubs would be one more development dependency.
            sesv2=cast("Any", boto3).client("sesv2", region_name=region),
        )


def provision(names: Names) -> dict[str, str]:
    """Create missing resources and return where all of them are, with the field names of `mailroom status`.

    Existing resources keep their content; policies and receipt rules are written again.
    """
    storage = names.storage_region or names.region
    aws = _Clients.of(names.region, storage)
    inbound_topic, tracking_topic = _topic(aws, names, "inbound"), _topic(aws, names, "tracking")
    account_id = inbound_topic.split(":")[4]
    key_arn = _key(aws, names, account_id)
    bucket, archive = names.of("inbound"), names.of("archive")
    _bucket(aws.s3, bucket, storage)
    _bucket(aws.s3, names.of("files"), storage)
    there = names.archive_region or storage
    for locked in filter(None, (archive, names.archive_copy_bucket, names.witness_bucket)):
        _bucket(boto3.client("s3", region_name=there), locked, there, locked=True)
    from_ses = {"StringEquals": {"aws:SourceAccount": account_id}}
    policy = _policy(_grant("ses.amazonaws.com", "s3:PutObject", f"arn:aws:s3:::{bucket}/*", from_ses))
    aws.s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    queue_url = _queue(aws, names, "inbound", INBOUND_VISIBILITY_S, topic=inbound_topic, bucket=bucket)
    tracking_url = _queue(aws, names, "tracking", 60, topic=tracking_topic)
    mailbox_url = _queue(aws, names, "mailbox", 60)
    _notify(aws, bucket, _arn(aws, queue_url))
    _receive(aws, names, bucket, key_arn, inbound_topic)
    _send(aws, names, tracking_topic)
    return {
        "region": names.region,
        "storage_region": names.storage_region,
        "archive_region": names.archive_region,
        "account_id": account_id,
        "inbound_bucket": bucket,
        "inbound_prefix": names.rules[-1].prefix,
        "inbound_prefixes": " ".join(rule.prefix for rule in names.rules[:-1]),
        "inbound_queue_url": queue_url,
        "inbound_topic_arn": inbound_topic,
        "kms_key_arn": key_arn,
        "mailbox_queue_url": mailbox_url,
        "tracking_queue_url": tracking_url,
        "tracking_topic_arn": tracking_topic,
        "ses_hook_topics": tracking_topic,
        "archive_bucket": archive,
        "archive_lock_mode": "GOVERNANCE",
        "files_bucket": names.of("files"),
        "configuration_set": names.stem,
    }


def _bucket(s3: "S3Client", name: str, region: str, *, locked: bool = False) -> None:
    """Create a bucket, without a default retention: SES refuses those, and the archive sets retention per object."""
    try:
        s3.create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": cast("BucketLocationConstraintType", region)},
            ObjectLockEnabledForBucket=locked,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise


def _key(aws: _Clients, names: Names, account_id: str) -> str:
    alias = f"alias/{names.of('inbound')}"
    try:
        return str(aws.kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"])
    except aws.kms.exceptions.NotFoundException:
        owner = {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
            "Action": "kms:*",
            "Resource": "*",
        }
        from_ses = {"StringEquals": {"aws:SourceAccount": account_id}}
        policy = _policy(owner, _grant("ses.amazonaws.com", "kms:GenerateDataKey*", "*", from_ses))
        key = aws.kms.create_key(Description="wraps the data keys of received e-mails", Policy=policy)["KeyMetadata"]
        aws.kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
        return str(key["Arn"])


def _topic(aws: _Clients, names: Names, what: str) -> str:
    arn = str(aws.sns.create_topic(Name=names.of(what))["TopicArn"])
    from_ses = {"StringEquals": {"aws:SourceAccount": arn.split(":")[4]}}
    policy = _policy(_grant("ses.amazonaws.com", "sns:Publish", arn, from_ses))
    aws.sns.set_topic_attributes(TopicArn=arn, AttributeName="Policy", AttributeValue=policy)
    # Version 1 signatures are SHA-1; readers of these topics refuse them.
    aws.sns.set_topic_attributes(TopicArn=arn, AttributeName="SignatureVersion", AttributeValue="2")
    return arn


def _queue(
    aws: _Clients, names: Names, what: str, visibility_s: int, *, topic: str | None = None, bucket: str | None = None
) -> str:
    """Create a queue and its dead-letter queue, let the topic and the bucket write to it, and subscribe it to the topic.

    Both retain messages as long as SQS can: an outage may last over holidays, and SQS counts from the first arrival.
    """
    dead = aws.sqs.create_queue(QueueName=f"{names.of(what)}-dlq")["QueueUrl"]
    aws.sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": str(KEPT_S)})
    url = str(aws.sqs.create_queue(QueueName=names.of(what))["QueueUrl"])
    arn = _arn(aws, url)
    redrive = json.dumps({"deadLetterTargetArn": _arn(aws, dead), "maxReceiveCount": REDRIVE_AFTER})
    attributes: dict[QueueAttributeNameType, str] = {
        "MessageRetentionPeriod": str(KEPT_S),
        "VisibilityTimeout": str(visibility_s),
        "RedrivePolicy": redrive,
    }
    grants = []
    if topic:
        grants.append(_grant("sns.amazonaws.com", "sqs:SendMessage", arn, {"ArnEquals": {"aws:SourceArn": topic}}))
    if bucket:
        source = {"ArnEquals": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}}
        grants.append(_grant("s3.amazonaws.com", "sqs:SendMessage", arn, source))
    if grants:
        attributes["Policy"] = _policy(*grants)
    aws.sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)
    if topic:
        aws.sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return url


def _arn(aws: _Clients, queue_url: str) -> str:
    attributes = aws.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])["Attributes"]
    return str(attributes["QueueArn"])


def _notify(aws: _Clients, bucket: str, queue_arn: str) -> None:
    # S3 sends a test event each time a configuration is written, so it is written once.
    wired = aws.s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])
    if any(configuration["QueueArn"] == queue_arn for configuration in wired):
        return
    configuration: QueueConfigurationTypeDef = {
        "Id": "inbound",
        "QueueArn": queue_arn,
        "Events": ["s3:ObjectCreated:*"],
    }
    aws.s3.put_bucket_notification_configuration(
        Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [configuration]}
    )


def _receive(aws: _Clients, names: Names, bucket: str, key_arn: str, topic_arn: str) -> None:
    """Create the receipt rules in order, and activate their rule set."""
    with suppress(aws.ses.exceptions.AlreadyExistsException):
        aws.ses.create_receipt_rule_set(RuleSetName=names.stem)
    there = {rule["Name"] for rule in aws.ses.describe_receipt_rule_set(RuleSetName=names.stem).get("Rules", [])}
    after: dict[str, str] = {}
    for rule in names.rules:
        described = _described(rule, bucket=bucket, key_arn=key_arn, topic_arn=topic_arn)
        if rule.name in there:
            aws.ses.update_receipt_rule(RuleSetName=names.stem, Rule=described)
        else:
            aws.ses.create_receipt_rule(RuleSetName=names.stem, Rule=described, **after)
        after = {"After": rule.name}
    aws.ses.set_active_receipt_rule_set(RuleSetName=names.stem)


def _send(aws: _Clients, names: Names, topic_arn: str) -> None:
    """Verify our own domain and that of the examples for sending, and publish all events of sent mail to the tracking topic."""
    for domain in (names.domain, _EXAMPLES_DOMAIN):
        aws.ses.verify_domain_identity(Domain=domain)
    with suppress(aws.ses.exceptions.ConfigurationSetAlreadyExistsException):
        aws.ses.create_configuration_set(ConfigurationSet={"Name": names.stem})
    place = {"ConfigurationSetName": names.stem, "EventDestinationName": names.of("tracking")}
    wanted = {
        "Enabled": True,
        "MatchingEventTypes": list(_EVENT_TYPES),
        "SnsDestination": {"TopicArn": topic_arn},
    }
    try:
        aws.sesv2.create_configuration_set_event_destination(**place, EventDestination=wanted)
    except aws.sesv2.exceptions.AlreadyExistsException:
        aws.sesv2.update_configuration_set_event_destination(**place, EventDestination=wanted)


def _described(rule: Rule, *, bucket: str, key_arn: str, topic_arn: str) -> "ReceiptRuleTypeDef":
    actions: list[ReceiptActionTypeDef] = [
        {
            "S3Action": {
                "BucketName": bucket,
                "ObjectKeyPrefix": rule.prefix,
                "KmsKeyArn": key_arn,
                "TopicArn": topic_arn,
            }
        }
    ]
    if rule.stop:
        actions.append({"StopAction": {"Scope": "RuleSet"}})
    return {
        "Name": rule.name,
        "Enabled": True,
        "ScanEnabled": True,
        "TlsPolicy": "Optional",
        "Recipients": list(rule.recipients),
        "Actions": actions,
    }


def _grant(service: str, action: str, resource: str, condition: dict[str, Any]) -> dict[str, Any]:
    principal = {"Service": service}
    return {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource, "Condition": condition}


def _policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
