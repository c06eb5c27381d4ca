"""An S3 client without `s3:GetObjectRetention`: S3 leaves the lock out of its answers, and denies requests for it.

moto knows no permissions, so this stands between boto3 and the answer: the headers are taken from what came over HTTP, and
the denied call is answered as S3 does, in front of the network.
"""

from typing import Any

import boto3
from botocore.awsrequest import AWSResponse

_DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'
)


class _Body:
    def stream(self, **_: Any) -> Any:
        yield _DENIED


class LockBlind:
    """A client whose permission can be removed and granted; `asked` counts its requests for a lock."""

    def __init__(self, emulator: str) -> None:
        self.blind = True
        self.asked = 0
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=emulator,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        events = self.client.meta.events
        events.register("before-parse.s3", self._leave_out)
        events.register("before-send.s3.GetObjectRetention", self._deny)

    def _leave_out(self, response_dict: Any, **_: Any) -> None:
        if self.blind:
            headers = response_dict["headers"]
            for name in [name for name in headers if name.lower().startswith("x-amz-object-lock-")]:
                del headers[name]

    def _deny(self, request: Any, **_: Any) -> AWSResponse | None:
        self.asked += 1
        return AWSResponse(request.url, 403, {}, _Body()) if self.blind else None  # type: ignore[no-untyped-call]
