"""S3's check of the expected bucket owner, for moto: a call that names another account than the owner's is denied.

moto 5.2.5 ignores the header. S3 responds 403 AccessDenied, for a bucket as for an object, before anything else.
Source: Amazon S3 user guide, "Verifying bucket ownership with bucket owner condition".
"""

from typing import Any

from moto.s3.exceptions import MissingBucket, S3ClientError
from moto.s3.responses import S3Response

_HEADER = "x-amz-expected-bucket-owner"

_bucket_response = S3Response._bucket_response
_key_response = S3Response._key_response


class NotTheOwner(S3ClientError):
    """S3's response where another account owns the bucket."""

    def __init__(self) -> None:
        super().__init__("AccessDenied", "Access Denied")


def like_s3() -> None:
    """Make moto in this process check the expected owner; may be called again."""
    S3Response._bucket_response = _answer_bucket  # type: ignore[method-assign]
    S3Response._key_response = _answer_key  # type: ignore[method-assign]


def _answer_bucket(self: S3Response, request: Any, full_url: str) -> Any:
    _check_owner(self, request)
    return _bucket_response(self, request, full_url)


def _answer_key(self: S3Response, request: Any, full_url: str) -> Any:
    _check_owner(self, request)
    return _key_response(self, request, full_url)


def _check_owner(response: S3Response, request: Any) -> None:
    expected = request.headers.get(_HEADER)
    if not expected:
        return
    try:
        owner = response.backend.get_bucket(response.bucket_name).account_id
    except MissingBucket:
        return  # moto responds to that itself.
    if owner != expected:
        raise NotTheOwner
