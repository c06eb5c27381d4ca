"""The inbound bucket, which SES writes to."""

from collections.abc import Sequence
from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.crash_points import crash_point
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import ObjectRef
from mailroom.ports.mail_store import Listed, StoredObject

#: SES accepts 40 MB; the encryption adds a tag of 16 bytes, the rest is margin.
MAX_OBJECT_BYTES = 41 * 1024 * 1024

_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NoSuchBucket"})


def check_readable(s3: Any, bucket: str, key: str) -> None:
    """Return if objects of `bucket` may be read now: S3 must answer that there is none at `key`.

    It does so only with the permission to list the bucket, which the sweep has; otherwise a missing object is denied too.

    Raises:
        TransientError, PermanentError: S3 does not work, or not with this credential.
    """
    with translated("s3"):
        try:
            s3.get_object(Bucket=bucket, Key=key)["Body"].close()
        except ClientError as error:
            if error_code(error) != "NoSuchKey":
                raise


class S3MailStore:
    """The port `MailStore` on S3."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3

    def fetch(self, ref: ObjectRef) -> StoredObject:
        """Return the whole object; see the port."""
        where = {"Bucket": ref.bucket, "Key": ref.key}
        if ref.version:
            where["VersionId"] = ref.version
        crash_point("before", "fetch")
        with translated("s3"):
            try:
                answer = self._s3.get_object(**where)
            except ClientError as error:
                if error_code(error) in _GONE:
                    raise Quarantined(Reason.GONE, code=error_code(error)) from None
                raise
            size = answer["ContentLength"]
            if size > MAX_OBJECT_BYTES:
                answer["Body"].close()
                raise Quarantined(Reason.TOO_LARGE, size=size)
            sse_kms_key = answer.get("SSEKMSKeyId") if answer.get("ServerSideEncryption") == "aws:kms" else None
            body = answer["Body"].read()
        crash_point("after", "fetch")
        return StoredObject(body, answer["Metadata"], sse_kms_key)

    def list(self, bucket: str, *, after: str, most: int) -> Sequence[Listed]:
        """Return up to `most` objects whose keys come after `after`, in the order of their keys."""
        with translated("s3"):
            answer = self._s3.list_objects_v2(Bucket=bucket, StartAfter=after, MaxKeys=most)
        return [Listed(one["Key"], one["LastModified"]) for one in answer.get("Contents", [])]
