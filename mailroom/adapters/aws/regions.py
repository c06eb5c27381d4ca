"""The regions of an installation's data, by its settings and by AWS; the rule is in `mailroom.domain.operations.regions`.

Checked once, when a process starts, and by `mailroom status`. It needs these permissions, without which a resource counts as
outside: s3:GetBucketLocation and s3:GetReplicationConfiguration on the buckets, and the first also on their replicas;
kms:DescribeKey on the key; sqs:GetQueueAttributes on the queues (needed by monitoring already).
"""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
)

from mailroom.adapters.aws.clients import client, error_code, translated
from mailroom.delivery.provider_events.credentials import credentials
from mailroom.domain.errors import PermanentError, TransientError
from mailroom.domain.operations.regions import Allowed, Resource, bucket_region, database_hosts, refuse, region_of
from mailroom.operations.loops import Backoff
from mailroom.ports.queue import MOST_KEPT
from mailroom.settings import Settings, allowed_regions

logger = logging.getLogger("mailroom.regions")

_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
#: Errors that may pass; boto3's other own errors will not, such as a name of the wrong form.
_OUTAGES = (ConnectionError, HTTPClientError, NoCredentialsError, CredentialRetrievalError)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Where:
    """The region and account of a bucket by the settings; `setting` is the one that names the account."""

    region: str
    owner: str
    setting: str
    profile: str = ""

    @property
    def or_else(self) -> str:
        """What to do if the bucket is another account's, which S3 does not distinguish from a missing permission."""
        return f"set {self.setting} if an account other than {self.owner} owns it"


def refuse_outside(settings: Settings, *, whole: bool = True) -> None:
    """Return once all data is known to be in allowed regions; waits while AWS is unavailable.

    With `whole`, the key, the buckets' replicas and the inbound bucket are checked too: for workers; the HTTP service need
    not have the permissions.

    Raises:
        ConfigurationError: a resource is outside, or cannot be checked; the message says which and what to do.
    """
    allowed = allowed_regions(settings.regions_allowed)
    refuse(by_name(settings, allowed), allowed)
    pause = Backoff(_PAUSE_S, _LONGEST_PAUSE_S)
    while True:
        try:
            return refuse(by_asking(settings, allowed, whole=whole), allowed)
        except TransientError as error:
            logger.warning(
                "regions of the data cannot be checked yet: %s; trying again in %.0f s", error, pause.pause_s
            )
            time.sleep(pause.pause_s)
            pause.grow()


def refuse_named_outside(settings: Settings) -> None:
    """Return if no resource is outside by its name or endpoint; without any request.

    Raises:
        ConfigurationError: one is.
    """
    allowed = allowed_regions(settings.regions_allowed)
    refuse(by_name(settings, allowed), allowed)


def by_name(settings: Settings, allowed: Allowed) -> list[Resource]:
    """Return the resources with data whose name or endpoint shows the region, without any request."""
    resources = [allowed.judge("region of SES", settings.region, settings.region)]
    for name in ("inbound_queue_url", "mailbox_queue_url", "tracking_queue_url"):
        resources.append(allowed.judge_named(_words(name, "_url"), getattr(settings, name)))
    topics = [settings.inbound_topic_arn, *(one.secret for one in credentials(settings.ses_hook_topics))]
    resources += [allowed.judge_named("topic", arn) for arn in dict.fromkeys(topics)]
    resources.append(allowed.judge_named("KMS key", settings.kms_key_arn))
    resources += [_endpoint(allowed, service, region) for service, region in _clients(settings)]
    for host in database_hosts(settings.database_url.get_secret_value()):
        resources.append(allowed.judge_if_said("database", host))
    resources.append(allowed.judge_if_said("Prefect server", settings.prefect_api_url))
    if settings.scanner.startswith("tcp:"):
        resources.append(allowed.judge_if_said("scanner", settings.scanner.removeprefix("tcp:")))
    return resources


def by_asking(settings: Settings, allowed: Allowed, *, whole: bool = True) -> list[Resource]:
    """Return the regions of the buckets, of their replicas and of the key's copies, by AWS.

    Raises:
        TransientError: AWS cannot answer now.
    """
    buckets = {
        settings.archive_bucket: _Where(
            settings.region_of_archive, settings.owner_of_archive, "MAILROOM_ARCHIVE_ACCOUNT"
        )
    }
    if settings.archive_copy_bucket:
        buckets[settings.archive_copy_bucket] = _Where(
            settings.region_of_copies,
            settings.owner_of_copies,
            "MAILROOM_ARCHIVE_COPY_ACCOUNT",
            settings.archive_copy_profile,
        )
    for bucket in (settings.files_bucket, settings.inbound_bucket if whole else ""):
        if bucket:
            buckets[bucket] = _Where(settings.region_of_buckets, settings.owner_of_buckets, "MAILROOM_STORAGE_ACCOUNT")
    resources: list[Resource] = []
    for bucket, where in buckets.items():
        s3 = client("s3", region=where.region, owner=where.owner, profile=where.profile)
        resources.append(_bucket(s3, bucket, allowed, or_else=where.or_else))
        resources += _replicas(s3, bucket, allowed) if whole else ()
    return [*resources, *_key_replicas(settings, allowed)] if whole else resources


def short_lived_queues(settings: Settings) -> list[str]:
    """Return one sentence for each queue and dead-letter queue that keeps messages shorter than SQS allows.

    SQS counts from a message's first arrival: one that is older than the dead-letter queue's retention is deleted on arrival.

    Raises:
        TransientError: SQS cannot answer now.
    """
    names = ("inbound_queue_url", "mailbox_queue_url", "tracking_queue_url")
    return [
        warning for name in names for warning in _short_lived(_words(name, "_url"), getattr(settings, name), settings)
    ]


def warn_of_short_lived_queues(settings: Settings) -> None:
    """Log a warning for each such queue: mail flows, but a long outage would lose some."""
    try:
        for warning in short_lived_queues(settings):
            logger.warning("%s", warning)
    except TransientError as error:
        logger.warning("the retention of the queues cannot be checked now: %s", error)


def _words(name: str, end: str) -> str:
    return name.removesuffix(end).replace("_", " ")


def _clients(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield service and region of each client by the settings, once; the SES client's are in its provider's block."""
    queues = (settings.inbound_queue_url, settings.mailbox_queue_url, settings.tracking_queue_url)
    yield from dict.fromkeys(
        [
            ("s3", settings.region_of_buckets),
            ("s3", settings.region_of_archive),
            *([("s3", settings.region_of_copies)] if settings.archive_copy_bucket else []),
            *(("sqs", settings.region_of_queue(url)) for url in queues),
            ("kms", settings.region_named(settings.kms_key_arn)),
            ("sns", settings.region_named(settings.inbound_topic_arn)),
        ]
    )


def _endpoint(allowed: Allowed, service: str, region: str) -> Resource:
    """Return the region of a client's endpoint: a global one, or another region's, would take the data there."""
    what = f"endpoint of {service} in {region},"
    try:
        endpoint = str(client(service, region=region).meta.endpoint_url)
    except BotoCoreError as error:
        return Resource(what, "", "", f"cannot be determined: {type(error).__name__}")
    seen = allowed.judge_endpoint(what, endpoint)
    says = region_of(seen.name)
    if not seen.fault and says not in (None, region):
        return Resource(what, seen.name, seen.region, f"is in {says}")
    return seen


def _bucket(
    s3: Any, bucket: str, allowed: Allowed, *, what: str = "bucket", owner: str = "", or_else: str = ""
) -> Resource:
    """Return the region of a bucket; `owner` is its account if that is not the client's."""
    named = {"ExpectedBucketOwner": owner} if owner else {}

    def ask() -> str | None:
        return bucket_region(s3.get_bucket_location(Bucket=bucket, **named).get("LocationConstraint"))

    region, fault = _ask(ask, "s3:GetBucketLocation", or_else)
    return Resource(what, bucket, "", fault) if fault else allowed.judge(what, bucket, region)


def _replicas(s3: Any, bucket: str, allowed: Allowed) -> Iterator[Resource]:
    def ask() -> list[tuple[str, str]]:
        try:
            rules = s3.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
        except ClientError as error:
            if error_code(error) == "ReplicationConfigurationNotFoundError":
                return []
            raise
        copies = (rule["Destination"] for rule in rules if rule.get("Status") == "Enabled")
        return [(copy["Bucket"].rpartition(":")[2], copy.get("Account", "")) for copy in copies]

    copies, fault = _ask(ask, "s3:GetReplicationConfiguration")
    if fault:
        yield Resource("replication of bucket", bucket, "", fault)
    what, or_else = f"bucket that {bucket} is replicated to,", "set its account in the replication rule"
    for copy, account in dict.fromkeys(copies or ()):
        yield _bucket(s3, copy, allowed, what=what, owner=account, or_else=or_else)


def _key_replicas(settings: Settings, allowed: Allowed) -> Iterator[Resource]:
    arn = settings.kms_key_arn
    kms = client("kms", region=settings.region_named(arn))

    def ask() -> list[str]:
        copies = kms.describe_key(KeyId=arn)["KeyMetadata"].get("MultiRegionConfiguration", {})
        there = [copies.get("PrimaryKey", {}), *copies.get("ReplicaKeys", [])]
        return [str(one["Arn"]) for one in there if one.get("Arn") not in (None, arn)]

    copies, fault = _ask(ask, "kms:DescribeKey")
    if fault:
        yield Resource("KMS key", arn, "", fault)
    for copy in copies or ():
        yield allowed.judge_named("copy of the KMS key,", copy)


def _ask(ask: Callable[[], _T], permission: str, or_else: str = "") -> tuple[_T | None, str]:
    """Return AWS's answer, or why there will be none; `or_else` is what else to do when it is denied."""
    try:
        with translated(permission.partition(":")[0]):
            try:
                return ask(), ""
            except BotoCoreError as error:
                if isinstance(error, _OUTAGES):
                    raise
                return None, f"cannot be checked: boto3 refused the call ({type(error).__name__})"
    except PermanentError as error:
        code = error.facts.get("code", "")
        denied = "AccessDenied" in code or code in ("403", "AuthorizationError")
        grant = f"; grant {permission}" + (f", or {or_else}" if or_else else "") if denied else ""
        return None, f"cannot be checked: AWS responds {code}{grant}"


def _short_lived(what: str, url: str, settings: Settings) -> Iterator[str]:
    sqs = client("sqs", region=settings.region_of_queue(url))
    values, warnings = _kept(sqs, what, url)
    yield from warnings
    if policy := values.get("RedrivePolicy"):
        what, name = f"dead-letter queue of the {what},", json.loads(policy)["deadLetterTargetArn"].rpartition(":")[2]
        dead, fault = _ask(lambda: str(sqs.get_queue_url(QueueName=name)["QueueUrl"]), "sqs:GetQueueUrl")
        yield from _kept(sqs, what, dead)[1] if dead else [f"the retention of the {what} {name} {fault}"]


def _kept(sqs: Any, what: str, url: str) -> tuple[dict[str, str], list[str]]:
    """Return a queue's attributes, and sentences about a retention that is too short or unknown."""

    def ask() -> dict[str, str]:
        names = ["MessageRetentionPeriod", "RedrivePolicy"]
        return dict(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"])

    values, fault = _ask(ask, "sqs:GetQueueAttributes")
    if values is None:
        return {}, [f"the retention of the {what} {url} {fault}"]
    kept_s, most_s = int(values["MessageRetentionPeriod"]), int(MOST_KEPT.total_seconds())
    if kept_s >= most_s:
        return values, []
    how_long = f"keeps messages for {kept_s / 86400:.3g} days only, of at most {MOST_KEPT.days}"
    return values, [f"the {what} {url} {how_long}; set its MessageRetentionPeriod to {most_s}"]
