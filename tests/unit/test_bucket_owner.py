"""Every call to S3 names the account that must own the bucket: the clients are made in one place, which adds it."""

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from prefect_aws import AwsCredentials
from pydantic import SecretStr

from blocks.support.credentials import bucket_client
from mailroom.adapters.aws.clients import client, expect_owner
from mailroom.audit.owners import of_account
from mailroom.domain.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
OURS, OTHERS = "123456789012", "999999999999"
#: Where clients of S3 are made, so that a call of theirs names the owner; the sandbox stands in for AWS and for its administrator.
MAKERS = {"mailroom/adapters/aws/clients.py", "blocks/support/credentials.py", "mailroom/cli/check.py"}
KEYS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}


def plain_client() -> Any:
    return boto3.client("s3", region_name="eu-west-1", **KEYS)


def of_block() -> Any:
    credentials = AwsCredentials(
        aws_access_key_id="test", aws_secret_access_key=SecretStr("test"), region_name="eu-west-1"
    )
    return bucket_client("", credentials, owner=OURS)


FACTORIES: dict[str, Callable[[], Any]] = {
    # Not the cached one, which other tests may have changed.
    "adapters": lambda: client.__wrapped__("s3", region="eu-west-1", owner=OURS),
    "blocks": of_block,
    "audit": lambda: of_account(plain_client(), OURS),
}


def built(s3: Any, operation: str, **params: Any) -> dict[str, Any]:
    """Return the parameters with which botocore would build this call."""
    model = s3.meta.service_model.operation_model(operation)
    s3.meta.events.emit(f"before-parameter-build.s3.{operation}", params=params, model=model, context={})
    return params


def takes_owner(s3: Any, operation: str) -> bool:
    shape = s3.meta.service_model.operation_model(operation).input_shape
    return shape is not None and "ExpectedBucketOwner" in shape.members


@pytest.mark.parametrize("factory", FACTORIES)
def test_every_operation_of_s3_that_can_name_the_owner_does(factory: str) -> None:
    """One hook adds it, so that a new call cannot forget it."""
    s3 = FACTORIES[factory]()
    operations = [name for name in s3.meta.service_model.operation_names if takes_owner(s3, name)]
    assert len(operations) > 80

    named = {name: built(s3, name, Bucket="mails", Key="in/abc").get("ExpectedBucketOwner") for name in operations}

    assert set(named.values()) == {OURS}


def test_copying_names_the_owner_of_both_buckets() -> None:
    """The source of a copy is read with our rights too."""
    s3 = expect_owner(plain_client(), OURS)

    params = built(s3, "CopyObject", Bucket="mails", Key="k", CopySource="mails/j")

    assert params["ExpectedSourceBucketOwner"] == params["ExpectedBucketOwner"] == OURS


def test_operations_that_name_no_owner_are_left_alone() -> None:
    """botocore refuses a parameter that an operation does not have."""
    assert built(expect_owner(plain_client(), OURS), "ListBuckets") == {}


def test_owner_that_a_call_names_itself_is_kept() -> None:
    """A bucket's replica may belong to another account, which the replication rule names."""
    s3 = expect_owner(plain_client(), OURS)

    params = built(s3, "GetBucketLocation", Bucket="copy", ExpectedBucketOwner=OTHERS)

    assert params["ExpectedBucketOwner"] == OTHERS


def test_without_an_owner_no_call_is_made() -> None:
    """Nothing is listening at this endpoint: the call must not get as far."""
    s3 = expect_owner(plain_client(), "")

    with pytest.raises(ConfigurationError, match="MAILROOM_ACCOUNT_ID"):
        s3.get_object(Bucket="mails", Key="in/abc")


def test_clients_of_two_accounts_are_two_also_with_the_same_credentials() -> None:
    """Prefect keeps clients by their credentials: the archive may be another account's than the inbound bucket."""
    credentials = AwsCredentials(
        aws_access_key_id="test", aws_secret_access_key=SecretStr("test"), region_name="eu-west-1"
    )

    ours, others, again = (bucket_client("", credentials, owner=owner) for owner in (OURS, OTHERS, OURS))

    assert again is ours
    assert built(ours, "GetObject", Bucket="b", Key="k")["ExpectedBucketOwner"] == OURS
    assert built(others, "GetObject", Bucket="b", Key="k")["ExpectedBucketOwner"] == OTHERS


def modules() -> Iterator[tuple[str, ast.AST]]:
    """Yield every module of the product; the sandbox plays AWS, and has clients of its own."""
    for folder in ("mailroom", "blocks", "tasks", "flows", "deployments"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not name.startswith("mailroom/sandbox/"):
                yield name, ast.parse(path.read_text())


def test_clients_of_s3_are_made_where_the_owner_is_named_and_nowhere_else() -> None:
    """`client("s3", ...)` without an owner makes no call, and a client that boto3 or a block gives out would make any."""
    strays = [
        f"{name}:{call.lineno}"
        for name, tree in modules()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        and any(isinstance(given, ast.Constant) and given.value == "s3" for given in call.args)
        and re.search(r"client", ast.unparse(call.func))
        and not any(keyword.arg == "owner" for keyword in call.keywords)
        and name not in MAKERS
    ]

    assert strays == []
