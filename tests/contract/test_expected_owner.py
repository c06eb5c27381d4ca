"""Each S3 call of the product names the bucket's owner; a denial for it is an outage whose line says why.

The emulator answers as S3 does: 403 where another account than the one named owns the bucket.
"""

import ast
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import xform_name
from sqlalchemy import Engine

from mailroom.adapters.aws.clients import client
from mailroom.adapters.aws.locked_objects import Lock, LockedObjects
from mailroom.adapters.aws.regions import refuse_outside
from mailroom.adapters.aws.s3 import S3MailStore, check_readable
from mailroom.audit.check import Places, check, compare_archive, conserve
from mailroom.audit.listings import Stored
from mailroom.audit.locks import Locks
from mailroom.audit.mails import Patience
from mailroom.audit.owners import of_account
from mailroom.audit.report import Report
from mailroom.domain.archive.manifests import Manifest, RetentionClass, Source
from mailroom.domain.errors import ConfigurationError, PermanentError, Quarantined
from mailroom.domain.inbound.received_email import Envelope, ObjectRef
from mailroom.outbound.request import Upload
from mailroom.sandbox.stack.aws import Names, provision
from mailroom.settings import Settings
from mailroom.wiring import Installation

ROOT = Path(__file__).resolve().parents[2]
OURS, OTHERS = "123456789012", "222222222222"
NOW = datetime.now(UTC)
ELSEWHERE = dict.fromkeys(("prefect_api_url", "prefect_url", "api_url"), "http://127.0.0.1:9")
REF = ObjectRef("ownertest-inbound", "in/abc")
ENVELOPE = Envelope(("anna@acme.test",), "carl@sender.test", NOW)
MANIFEST = Manifest(
    tenant="acme",
    ref=REF,
    received_at=NOW,
    envelope=ENVELOPE,
    named_by=Source.SES,
    attempt=1,
    retention=RetentionClass.DOCUMENT,
    sha256="0" * 64,
    size=7,
)


@pytest.fixture(autouse=True)
def _own_clients() -> Iterator[None]:
    """Clients are cached for the whole process; these are of this module's emulator."""
    client.cache_clear()
    yield
    client.cache_clear()


@pytest.fixture(scope="module")
def stack(aws: str) -> dict[str, str]:
    return provision(Names(stem="ownertest"))


@pytest.fixture
def installation(stack: dict[str, str], database_url: str) -> Settings:
    return Settings(**(ELSEWHERE | stack | {"database_url": database_url}))


class Recorder:
    """Records each call of a client: its operation, and the owner that its request names."""

    def __init__(self, s3: Any) -> None:
        self.calls: list[tuple[str, str | None]] = []
        s3.meta.events.register("before-call.s3", self._note)

    def _note(self, model: Any, params: dict[str, Any], **_: Any) -> None:
        self.calls.append((model.name, params["headers"].get("x-amz-expected-bucket-owner")))

    @property
    def operations(self) -> set[str]:
        return {xform_name(name) for name, _ in self.calls}


def written_in(folder: str, s3: Any) -> set[str]:
    """Return the S3 operations that the source in a folder calls."""
    known, found = {xform_name(name) for name in s3.meta.service_model.operation_names}, set[str]()
    for path in (ROOT / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("get_paginator"):
                found.add(ast.literal_eval(node.args[0]))
    return known & found


def use_all(settings: Settings, s3: Any) -> None:
    """Do with S3 everything that the product does."""
    s3.put_object(Bucket=REF.bucket, Key=REF.key, Body=b"sealed")
    s3.put_object(Bucket=settings.files_bucket, Key="acme/file", Body=b"file")
    refuse_outside(settings)
    mails, opened = S3MailStore(s3), Installation(settings)
    assert mails.fetch(REF).body == b"sealed"
    assert [one.key for one in mails.list(REF.bucket, after="", most=10)] == [REF.key]
    check_readable(s3, REF.bucket, "in/mailroom-probe")
    assert opened.uploads is not None
    assert opened.uploads.fetch("acme", Upload(settings.files_bucket, "acme/file"), most=10) == b"file"
    receipt = opened.archive.deposit("acme", b"content")
    opened.archive.deposit("acme", b"content")
    assert opened.archive.read(receipt.archive_id) == b"content"
    opened.archive.check()
    objects, until = LockedObjects(s3, settings.archive_bucket), receipt.retain_until + timedelta(days=2)
    present = Lock(receipt.lock_mode, receipt.retain_until)
    objects.extend(receipt.key, receipt.version, Lock(receipt.lock_mode, until), present=present)
    objects.hold(receipt.key, receipt.version, is_held=True)
    opened.refuse_unfit_archive()
    objects.versions(receipt.key, size=receipt.size)
    assert objects.lock_of(receipt.key, receipt.version) == Lock(receipt.lock_mode, until)
    objects._retention(receipt.key, receipt.version)
    opened.manifests.keep(MANIFEST)
    opened.manifests.keep(replace(MANIFEST, envelope=replace(ENVELOPE, recipients=("bob@acme.test",))))
    assert len(opened.manifests.find(REF)) == 2
    counter = opened.restores._outside
    counter.raise_to("installation", 1)
    counter.raise_to("installation", 2)
    assert counter.read("installation") == 2


def test_each_call_of_the_product_names_the_owner(installation: Settings) -> None:
    """A bucket that was deleted and made again by somebody else must neither get our mail nor give us theirs.

    Every operation that the adapters' source names is called here; one that is added must be called here too.
    """
    s3 = client("s3", region="eu-west-1", owner=OURS)
    recorder = Recorder(s3)

    use_all(installation, s3)

    assert {owner for _, owner in recorder.calls} == {OURS}
    assert written_in("mailroom/adapters/aws", s3) - recorder.operations == set()


def test_each_call_of_the_check_names_the_owner(installation: Settings, engine: Engine) -> None:
    """The check has its own clients and shares no code: reading a stranger's bucket would prove nothing."""
    use_all(installation, client("s3", region="eu-west-1", owner=OURS))
    s3: Any = of_account(boto3.client("s3"), OURS)
    recorder, report = Recorder(s3), Report(emit=lambda _: None, progress=lambda _: None)
    places = Places(
        installation.database_url.get_secret_value(),
        installation.inbound_bucket,
        installation.archive_bucket,
        installation.inbound_queue_url,
    )
    patience = Patience(now=datetime.now(UTC), limit=timedelta(hours=1))

    check(places, s3=s3, sqs=boto3.client("sqs"), report=report, patience=patience, deep=True)
    conserve(places, s3=s3, archive_s3=s3, report=report, patience=patience)
    compare_archive(places, s3=s3, report=report, patience=patience, after="", most=0)
    # Requested only for irregular objects.
    with suppress(Exception):
        Locks(s3, places.archive_bucket, report).is_copy(Stored("acme/none", "null", 1, NOW), None)
    with suppress(Exception):
        Locks(s3, places.archive_bucket, report).until("acme/none", "null", {})

    assert {owner for _, owner in recorder.calls} == {OURS}
    assert written_in("mailroom/audit", s3) - recorder.operations == set()


def test_bucket_of_another_account_gives_and_takes_nothing(installation: Settings) -> None:
    """Nor is a mail quarantined for it: every mail would fail, and the bucket may be ours again."""
    client("s3", region="eu-west-1", owner=OURS).put_object(Bucket=REF.bucket, Key=REF.key, Body=b"sealed")
    opened = Installation(installation.model_copy(update={"archive_account": OTHERS}))
    s3 = client("s3", region="eu-west-1", owner=OTHERS)

    for call in (
        lambda: S3MailStore(s3).fetch(REF),
        lambda: S3MailStore(s3).list(REF.bucket, after="", most=1),
        lambda: check_readable(s3, REF.bucket, REF.key),
        lambda: opened.archive.check(),
        lambda: opened.manifests.keep(MANIFEST),
        lambda: opened.restores._outside.raise_to("refused", 1),
    ):
        with pytest.raises(PermanentError) as refused:
            call()
        assert not isinstance(refused.value, Quarantined)
        assert refused.value.facts["code"] in ("AccessDenied", "403")
    assert Installation(installation).restores._outside.read("refused") is None


@pytest.mark.parametrize(
    ("setting", "bucket"), [("storage_account", "inbound_bucket"), ("archive_account", "archive_bucket")]
)
def test_line_at_the_start_says_which_account_to_name(installation: Settings, setting: str, bucket: str) -> None:
    """S3 does not distinguish another account's bucket from a missing permission, so the line names both."""
    with pytest.raises(ConfigurationError) as refused:
        refuse_outside(installation.model_copy(update={setting: OTHERS}))

    named = getattr(installation, bucket)
    assert f"the bucket {named} cannot be checked: AWS responds AccessDenied" in str(refused.value)
    assert f"grant s3:GetBucketLocation, or set MAILROOM_{setting.upper()} if an account other" in str(refused.value)
    assert f"account other than {OTHERS} owns it" in str(refused.value)


def of_the_other_account(request: Any, **_: Any) -> None:
    """Make moto treat a request as one of the other account."""
    request.headers["x-moto-account-id"] = OTHERS


def test_archive_may_be_another_accounts_once_that_is_named(installation: Settings) -> None:
    """An archive in a separate account is good practice; by default all buckets belong to SES's receiving account."""
    elsewhere: Any = boto3.client("s3")
    elsewhere.meta.events.register("before-send.s3", of_the_other_account)
    where: Any = {"LocationConstraint": "eu-west-1"}
    elsewhere.create_bucket(Bucket="ownertest-vault", CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
    moved = installation.model_copy(update={"archive_bucket": "ownertest-vault"})

    with pytest.raises(ConfigurationError, match="ownertest-vault cannot be checked"):
        refuse_outside(moved)
    refuse_outside(moved.model_copy(update={"archive_account": OTHERS}))


def test_accounts_follow_one_another() -> None:
    """Like the regions: a setting that is not named falls back to the nearer one."""
    made = Settings.model_construct(account_id="1" * 12, storage_account="", archive_account="")

    assert (made.owner_of_buckets, made.owner_of_archive) == ("1" * 12, "1" * 12)
    made.storage_account = "2" * 12
    assert (made.owner_of_buckets, made.owner_of_archive) == ("2" * 12, "2" * 12)
    made.archive_account = "3" * 12
    assert (made.owner_of_buckets, made.owner_of_archive) == ("2" * 12, "3" * 12)
