"""Uploads: the bucket with callers' files to attach, where each tenant reads only below its own prefix."""

from typing import Any

from botocore.exceptions import ClientError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.references import ObjectScope
from mailroom.outbound.request import Upload

_GONE = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchBucket", "InvalidArgument", "404"})


class S3Uploads:
    """The port `Uploads` on S3: keys begin with `<tenant>/`."""

    def __init__(self, s3: Any, *, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket

    def fetch(self, tenant: str, upload: Upload, *, most: int) -> bytes:
        """Return the bytes; an object in another bucket or under another tenant's prefix counts as missing."""
        if ObjectScope(self._bucket, (f"{tenant}/",)).fault(upload.bucket, upload.key) is not None:
            raise LookupError("not under the prefix of this tenant")
        where = {"Bucket": self._bucket, "Key": upload.key}
        if upload.version:
            where["VersionId"] = upload.version
        with translated("s3"):
            try:
                answer = self._s3.get_object(**where)
            except ClientError as error:
                if error_code(error) in _GONE:
                    raise LookupError("no such object") from None
                raise
            with answer["Body"] as body:
                if answer["ContentLength"] > most:
                    raise Quarantined(Reason.TOO_LARGE, size=answer["ContentLength"])
                content: bytes = body.read()
                return content
