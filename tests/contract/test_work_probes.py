"""A listener's probes after an error: with the clients, credentials and rights of the work, and no others."""

import asyncio
import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest
from fastapi import FastAPI, Request, Response
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect_aws import AwsCredentials
from pydantic import SecretStr
from sqlalchemy import Engine

from blocks import InboundMail, LegalArchive, MailroomDatabase
from deployments.worker.client import RunClient
from deployments.worker.probes import inbound_probes, outbound_probes
from mailroom.domain.errors import MailroomError, TransientError, UnfitSchema
from mailroom.ports.inbound import Inbound
from tests.support.http_server import serving
from tests.support.tampering import tamper

MAILS, DEPOSITS = "probed-mails", "probed-deposits"
#: Rights to read mails and deposits; the worker's other rights do not matter here.
RIGHTS = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{MAILS}/*", f"arn:aws:s3:::{DEPOSITS}/*"],
    },
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": [f"arn:aws:s3:::{MAILS}", f"arn:aws:s3:::{DEPOSITS}"]},
    {"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": "*"},
]


@pytest.fixture(scope="module")
def key_arn(aws: str) -> str:
    """The key; both buckets exist too."""
    s3 = boto3.client("s3")
    for bucket in (MAILS, DEPOSITS):
        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    return str(boto3.client("kms").create_key()["KeyMetadata"]["Arn"])


@contextmanager
def asking_for_rights(emulator: str) -> Iterator[None]:
    """Make the emulator check signatures and policies for the length of a block, as AWS does."""
    httpx.post(f"{emulator}/moto-api/reset-auth", content=b"0").raise_for_status()
    try:
        yield
    finally:
        httpx.post(f"{emulator}/moto-api/reset-auth", content=b"inf").raise_for_status()


def user(*rights: dict[str, Any]) -> AwsCredentials:
    """Return the credentials of a new user with these rights."""
    iam, name = boto3.client("iam"), f"worker-{uuid4()}"
    iam.create_user(UserName=name)
    policy = json.dumps({"Version": "2012-10-17", "Statement": rights})
    iam.put_user_policy(UserName=name, PolicyName="work", PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return AwsCredentials(
        aws_access_key_id=made["AccessKeyId"],
        aws_secret_access_key=SecretStr(made["SecretAccessKey"]),
        region_name="eu-west-1",
    )


def opened(credentials: AwsCredentials, key_arn: str, url: str, archive: AwsCredentials | None = None) -> Inbound:
    database = MailroomDatabase(url=SecretStr(url))
    deposits = LegalArchive(
        credentials=archive or credentials, database=database, bucket=DEPOSITS, account="123456789012"
    )
    return InboundMail(
        credentials=credentials,
        account_id="123456789012",
        kms_key_arn=key_arn,
        archive=deposits,
        database=database,
        bucket=MAILS,
    ).open()


def failing(inbound: Inbound) -> set[str]:
    """Return which of its checks fail."""
    found = set()
    for name, check in inbound.checks.items():
        try:
            check()
        except MailroomError:
            found.add(name)
    return found


def test_the_rights_that_the_work_needs_are_enough_to_probe(aws: str, key_arn: str, database_url: str) -> None:
    """A probe that needs more would pause an installation with minimal rights for ever."""
    credentials = user(*RIGHTS)
    with asking_for_rights(aws):
        assert failing(opened(credentials, key_arn, database_url)) == set()


def test_a_wrong_credential_of_the_work_is_found_whatever_the_process_may(
    aws: str, key_arn: str, database_url: str
) -> None:
    """Its key expired or was mistyped in the block, while the environment's own would work: the mails would fail."""
    wrong = AwsCredentials(
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key=SecretStr("mistyped"),
        region_name="eu-west-1",
    )
    right = user(*RIGHTS)
    with asking_for_rights(aws):
        assert failing(opened(wrong, key_arn, database_url)) == {"mails", "archive", "keys"}
        assert failing(opened(right, key_arn, database_url, archive=wrong)) == {"archive"}


@pytest.mark.parametrize(("taken", "fails"), [("s3:GetObject", {"mails", "archive"}), ("kms:Decrypt", {"keys"})])
def test_a_right_that_was_taken_away_is_found(
    aws: str, key_arn: str, database_url: str, taken: str, fails: set[str]
) -> None:
    """A wrong policy is an outage of all mails, not a fault of each."""
    credentials = user(*(right for right in RIGHTS if taken not in right["Action"]))
    with asking_for_rights(aws):
        assert failing(opened(credentials, key_arn, database_url)) == fails


def test_a_bucket_that_is_gone_is_found(aws: str, key_arn: str, database_url: str) -> None:
    """Each of its mails would be quarantined as gone."""
    inbound = opened(user(*RIGHTS), key_arn, database_url)
    boto3.client("s3").delete_bucket(Bucket=MAILS)
    try:
        assert failing(inbound) == {"mails"}
    finally:
        boto3.client("s3").create_bucket(Bucket=MAILS, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})


def test_the_database_of_the_block_is_asked_with_its_own_password_and_for_its_schema(
    engine: Engine, database_url: str
) -> None:
    """The listener's own connection may work where the flows' does not."""
    MailroomDatabase(url=SecretStr(database_url)).check()
    wrong = MailroomDatabase(url=SecretStr(database_url.replace("for-tests-only", "mistyped")))
    with pytest.raises(TransientError):
        wrong.check()
    tamper(engine, "drop table processing")
    with pytest.raises(UnfitSchema, match="processing"):
        MailroomDatabase(url=SecretStr(database_url)).check()


def prefect_with_password(password: str) -> FastAPI:
    """Return the relevant part of a Prefect server: /health needs no password, everything else does."""
    app = FastAPI()
    expected = "Basic " + base64.b64encode(password.encode()).decode()

    @app.get("/api/health")
    def health() -> bool:
        return True

    @app.get("/api/admin/version")
    def version() -> str:
        return "3.9.1"

    @app.get("/api/deployments/name/{flow}/{name}")
    def deployment(request: Request, flow: str, name: str) -> Response:
        if request.headers.get("authorization") != expected:
            return Response(status_code=401)
        found = {"id": str(uuid4()), "name": name, "flow_id": str(uuid4()), "path": "/"}
        return Response(json.dumps(found), media_type="application/json")

    return app


@pytest.mark.parametrize(("password", "serves"), [("operator:right", True), ("operator:changed", False)])
def test_prefect_is_asked_by_the_client_that_makes_the_runs(engine: Engine, password: str, serves: bool) -> None:
    """Its /health answers without a password; after a change of password on the server every mail would have failed."""

    async def ask(probes: Any) -> bool:
        try:
            await probes["Prefect"]()
        except httpx.HTTPStatusError:
            return False
        return True

    async def all_asked() -> set[bool]:
        async with RunClient() as client:
            return {await ask(probes(client, engine)) for probes in (inbound_probes, outbound_probes)}

    with (
        serving(prefect_with_password("operator:right")) as url,
        temporary_settings({PREFECT_API_URL: f"{url}/api", PREFECT_API_AUTH_STRING: password}),
    ):
        assert httpx.get(f"{url}/api/health").status_code == 200
        assert asyncio.run(all_asked()) == {serves}
