"""Whose the buckets are that are looked at: what the check reads of somebody else's would prove nothing."""

from typing import Any


def of_account(s3: Any, account: str) -> Any:
    """Return an S3 client that names `account` as the owner of the bucket in every call; S3 refuses one where it is not."""

    def name_account(params: dict[str, Any], **_: Any) -> None:
        params["ExpectedBucketOwner"] = account

    # Every operation on a bucket that the check uses has this parameter; botocore refuses one that has not.
    s3.meta.events.register("before-parameter-build.s3", name_account)
    return s3
