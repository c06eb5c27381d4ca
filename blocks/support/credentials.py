"""AWS clients for one purpose: without retries, for another region, or for the buckets of one account."""

from typing import Any

from prefect_aws import AwsCredentials

from mailroom.adapters.aws.clients import expect_owner
from mailroom.adapters.providers.ses import once


def for_one_try(credentials: AwsCredentials, *, timeout_s: float = 60) -> AwsCredentials:
    """Return the credentials for clients that never retry; all other configuration stays."""
    given = credentials.aws_client_parameters
    parameters = given.model_copy(update={"config": (given.config or {}) | once(timeout_s=timeout_s)})
    return credentials.model_copy(update={"aws_client_parameters": parameters})


def client_in(region: str | None, credentials: AwsCredentials, service: str) -> Any:
    """Return a client of `service` in `region`, or in the credentials' region where that is empty."""
    here = credentials.model_copy(update={"region_name": region}) if region else credentials
    return here.get_client(service)


def bucket_client(region: str | None, credentials: AwsCredentials, *, owner: str) -> Any:
    """Return an S3 client for buckets of the account `owner`, in `region` or the credentials' region; each call names `owner`."""
    given = credentials.aws_client_parameters
    config = given.config or {}
    # Prefect caches clients by their credentials; each account needs a client, so the credentials must differ.
    agent = " ".join(filter(None, (config.get("user_agent_extra"), f"bucket-owner/{owner}")))
    parameters = given.model_copy(update={"config": config | {"user_agent_extra": agent}})
    of_owner = credentials.model_copy(update={"aws_client_parameters": parameters})
    return expect_owner(client_in(region, of_owner, "s3"), owner)
