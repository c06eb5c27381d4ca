"""AWS credentials for one use: for what may never be sent twice, or for another region."""

from typing import Any

from prefect_aws import AwsCredentials

from mailroom.adapters.providers.ses import once


def for_one_try(credentials: AwsCredentials, *, timeout_s: float = 60) -> AwsCredentials:
    """Return the credentials for clients that repeat nothing by themselves; all else that was configured stays."""
    given = credentials.aws_client_parameters
    parameters = given.model_copy(update={"config": (given.config or {}) | once(timeout_s=timeout_s)})
    return credentials.model_copy(update={"aws_client_parameters": parameters})


def client_in(region: str | None, credentials: AwsCredentials, service: str) -> Any:
    """Return a client of `service` in `region`, or in the credentials' own where that is empty."""
    here = credentials.model_copy(update={"region_name": region}) if region else credentials
    return here.get_client(service)
