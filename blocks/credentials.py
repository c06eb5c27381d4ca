"""AWS credentials for what may never be sent twice."""

from prefect_aws import AwsCredentials

from mailroom.adapters.providers.ses import once


def for_one_try(credentials: AwsCredentials, *, timeout_s: float = 60) -> AwsCredentials:
    """Return the credentials for clients that repeat nothing by themselves; all else that was configured stays."""
    given = credentials.aws_client_parameters
    parameters = given.model_copy(update={"config": (given.config or {}) | once(timeout_s=timeout_s)})
    return credentials.model_copy(update={"aws_client_parameters": parameters})
