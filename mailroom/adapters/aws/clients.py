"""boto3 clients, and the translation of their errors.

Endpoints come from the environment the way boto3 documents it (`AWS_ENDPOINT_URL`, `AWS_ENDPOINT_URL_SQS`, ...).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ProfileNotFound

from mailroom.domain.errors import ConfigurationError, MailroomError, PermanentError, Throttled, TransientError

#: Parameters of S3's operations that name the account which must own the bucket; copying has one for each bucket.
_OWNERS = frozenset({"ExpectedBucketOwner", "ExpectedSourceBucketOwner"})

_THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "RequestThrottled",
        "SlowDown",
        "RequestLimitExceeded",
    }
)
_TRANSIENT = frozenset(
    {
        "RequestTimeout",
        "InternalError",
        "ServiceUnavailable",
        "InternalFailure",
        "KMSInternalException",
        "DependencyTimeoutException",
    }
)


def client_settings(*, tries: int = 3, timeout_s: float = 60) -> dict[str, Any]:
    """Return arguments of botocore's `Config` for our clients; `tries=1` is for requests that must never be sent twice."""
    return {
        "retries": {"mode": "standard", "total_max_attempts": tries},
        "connect_timeout": min(5, timeout_s),
        "read_timeout": timeout_s,
        "max_pool_connections": 50,
    }


@cache
def client(service: str, *, region: str | None = None, owner: str = "", profile: str = "") -> Any:
    """Return this process's client for a service; clients are safe to share between threads.

    Clients are cached, because building one takes about 100 ms. A client of S3 is for the buckets of one account, `owner`.
    `profile` is an AWS profile with other credentials than those of the process.

    Raises:
        ConfigurationError: AWS's configuration has no such profile.
    """
    try:
        session: Any = boto3.session.Session(profile_name=profile or None)
    except ProfileNotFound:
        raise ConfigurationError(f"AWS's configuration files have no profile {profile}") from None
    made = session.client(service, region_name=region, config=Config(**client_settings()))
    return expect_owner(made, owner) if service == "s3" else made


def expect_owner(s3: Any, owner: str) -> Any:
    """Add the account that must own the bucket to every call of an S3 client; S3 refuses the call if another account does.

    It is added where botocore builds a request, so that no call can miss it. One client is for one account; a call that
    names another owner itself keeps that. Without an `owner`, no call with a bucket leaves this process.
    """

    def name_owner(params: dict[str, Any], model: Any, **_: Any) -> None:
        if not owner and "Bucket" in params:
            raise ConfigurationError("the AWS account that owns the buckets is unknown; set MAILROOM_ACCOUNT_ID")
        known = model.input_shape.members if model.input_shape is not None else {}
        for name in _OWNERS.intersection(known):
            params.setdefault(name, owner)

    # With an id it is registered once per client.
    s3.meta.events.register("before-parameter-build.s3", name_owner, unique_id=f"mailroom-bucket-owner-{owner}")
    return s3


def emulator_of(any_client: Any) -> str | None:
    """Return the endpoint of a client of an emulator on this machine, or None for a client of AWS."""
    endpoint = str(any_client.meta.endpoint_url)
    return endpoint if urlsplit(endpoint).hostname in ("127.0.0.1", "localhost", "::1") else None


@contextmanager
def translated(service: str) -> Iterator[None]:
    """Translate boto3's errors into Mailroom's.

    Raises:
        Throttled, TransientError, PermanentError: by the error's code, which is among the facts.
    """
    try:
        yield
    except MailroomError:
        raise
    except ClientError as error:
        code, status = error_code(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _THROTTLED:
            raise Throttled("AWS throttles requests", service=service, code=code) from None
        if code in _TRANSIENT or status >= 500:
            raise TransientError("AWS is temporarily unavailable", service=service, code=code) from None
        raise PermanentError("AWS refused the request", service=service, code=code) from None
    except BotoCoreError as error:
        raise TransientError("AWS cannot be reached", service=service, kind=type(error).__name__) from None


def error_code(error: ClientError) -> str:
    """Return the code of an AWS error, such as `NoSuchKey`."""
    return str(error.response.get("Error", {}).get("Code", ""))
