"""Replies to received mail, sent through SES."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

from mailroom.adapters.aws.clients import error_code, translated
from mailroom.domain.errors import OutcomeUnknown, PermanentError, Refused


class SesReplies:
    """The port `Replies` on SES v2. The client must not retry by itself: a lost response would become two mails."""

    def __init__(self, sesv2: Any) -> None:
        self._sesv2 = sesv2

    def send(self, raw: bytes, *, sender: str, recipient: str) -> str:
        """Send the mail once; see the port."""
        try:
            with translated("sesv2"):
                try:
                    answer = self._sesv2.send_email(
                        FromEmailAddress=sender,
                        Destination={"ToAddresses": [recipient]},
                        Content={"Raw": {"Data": raw}},
                    )
                except (EndpointConnectionError, ConnectTimeoutError):
                    raise
                except BotoCoreError as error:
                    raise OutcomeUnknown("the response of SES was lost", kind=type(error).__name__) from None
                except ClientError as error:
                    if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= 500:
                        raise OutcomeUnknown("SES failed after it received the mail", code=error_code(error)) from None
                    raise
        except PermanentError as error:
            raise Refused("SES refused the reply", **error.facts) from None
        return str(answer["MessageId"])
