"""The fault proxies: a drill proves something only if its faults are real ones."""

from collections.abc import Iterator
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.server import ThreadedMotoServer

from mailroom.sandbox.stack.postgres import Postgres
from mailroom.sandbox.stand_ins.fault_proxy import HTTP_FAULTS, STATEMENT_FAULTS, Fault, FaultProxies, FaultProxy
from tests.support.tampering import owner_of

ONCE = Config(retries={"total_max_attempts": 1}, read_timeout=1)
MADE = {"region_name": "eu-west-1", "aws_access_key_id": "sandbox", "aws_secret_access_key": "sandbox"}


@pytest.fixture(scope="module")
def aws() -> Iterator[FaultProxies]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    port = server.get_host_and_port()[1]
    with FaultProxies(s3=("s3", port), sqs=("json", port)) as proxies:
        client(proxies["s3"], "s3").create_bucket(
            Bucket="mails", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        yield proxies
    server.stop()


@pytest.fixture
def sql(postgres: Postgres, database_url: str) -> Iterator[tuple[FaultProxy, str]]:
    with FaultProxies(sql=("postgres", postgres.port)) as proxies:
        url = database_url.replace(f":{postgres.port}/", f":{proxies['sql'].port}/")
        with psycopg.connect(owner_of(database_url)) as connection:
            connection.execute("create table note (text text)")
            connection.execute("grant all on note to public")
        yield proxies["sql"], url


def client(proxy: FaultProxy, service: Any) -> Any:
    return boto3.client(service, endpoint_url=f"http://127.0.0.1:{proxy.port}", config=ONCE, **MADE)  # type: ignore[call-overload]


@pytest.mark.parametrize("how", HTTP_FAULTS)
def test_a_call_fails_as_configured_and_the_next_does_not(aws: FaultProxies, how: str) -> None:
    """A put that was answered with an error never happened; one whose response was lost or cut did."""
    s3, key = client(aws["s3"], "s3"), how.replace(" ", "-")
    aws["s3"].fault = Fault(how, "PutObject", times=1)

    failed = None
    try:
        s3.put_object(Bucket="mails", Key=key, Body=b"x" * 3000)
    except (BotoCoreError, ClientError) as error:
        failed = error
    there = "Contents" in s3.list_objects_v2(Bucket="mails", Prefix=key)
    s3.put_object(Bucket="mails", Key=f"{key}-next", Body=b"x")

    assert failed is not None or how == "truncated"
    assert there is (how in ("answer lost", "truncated"))


def test_a_truncated_body_is_seen_by_its_reader(aws: FaultProxies) -> None:
    """A truncated mail must never be taken for a whole one."""
    s3 = client(aws["s3"], "s3")
    s3.put_object(Bucket="mails", Key="whole", Body=b"x" * 3000)
    aws["s3"].fault = Fault("truncated", "GetObject", times=1)

    with pytest.raises(BotoCoreError):
        s3.get_object(Bucket="mails", Key="whole")["Body"].read()


def test_the_nth_call_of_an_operation_fails(aws: FaultProxies) -> None:
    """Faults in the middle of a sequence are the ones that tests forget."""
    sqs = client(aws["sqs"], "sqs")
    url = sqs.create_queue(QueueName="nth")["QueueUrl"]
    aws["sqs"].fault = fault = Fault("denied", "SendMessage", nth=2, times=1)

    codes = []
    for _ in range(3):
        try:
            sqs.send_message(QueueUrl=url, MessageBody="x")
            codes.append("")
        except ClientError as error:
            codes.append(error.response["Error"]["Code"])

    assert codes == ["", "AccessDeniedException", ""]
    assert fault.fired == 1


@pytest.mark.parametrize(("how", "written"), [("hang", 0), ("reset", 0), ("answer lost", 1), ("disk full", 0)])
def test_a_commit_fails_as_configured(sql: tuple[FaultProxy, str], database_url: str, how: str, written: int) -> None:
    """The two that look alike to a client, and are not, are the ones that make duplicates."""
    proxy, url = sql
    proxy.fault = Fault(how, "COMMIT", times=1)

    with pytest.raises(psycopg.OperationalError) as failed, psycopg.connect(url) as connection:
        connection.execute("insert into note values ('x')")

    assert (failed.value.sqlstate == "53100") is (how == "disk full")
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from note").fetchone() == (written,)


@pytest.mark.parametrize("how", STATEMENT_FAULTS)
def test_a_statement_fails_as_configured_and_nothing_is_written(
    sql: tuple[FaultProxy, str], database_url: str, how: str
) -> None:
    """Before COMMIT a lost response is as harmless as a lost request: PostgreSQL rolls back."""
    proxy, url = sql
    proxy.fault = Fault(how, "statement", nth=2, times=1)

    with psycopg.connect(url) as connection:
        connection.execute("insert into note values (%s)", ["one"])
        with pytest.raises(psycopg.OperationalError):
            connection.execute("insert into note values (%s)", ["two"])

    assert proxy.fault.fired == 1
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select count(*) from note").fetchone() == (0,)


def test_a_refused_commit_leaves_a_connection_that_works(sql: tuple[FaultProxy, str]) -> None:
    """Once there is room again the same connection is used on."""
    proxy, url = sql
    with psycopg.connect(url) as connection:
        proxy.fault = Fault("disk full", "COMMIT", times=1)
        connection.execute("insert into note values ('refused')")
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
        connection.execute("insert into note values ('kept')")
        connection.commit()

        assert connection.execute("select text from note").fetchall() == [("kept",)]
