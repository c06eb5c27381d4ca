"""Owners of the buckets that are checked: another account's bucket would prove nothing."""

from typing import Any


def of_account(s3: Any, account: str) -> Any:
    """Return an S3 client that sends `account` as the expected bucket owner in every call; S3 refuses other owners."""

    def name_account(params: dict[str, Any], **_: Any) -> None:
        params["ExpectedBucketOwner"] = account

    # Every bucket operation that the check uses has this parameter; botocore refuses operations without it.
    s3.meta.events.register("before-parameter-build.s3", name_account)
    return s3
