"""The port `Answers` on SES, as the emulator has it."""

from typing import Any

import boto3
import pytest
from botocore.config import Config

from mailroom.adapters.aws.answers_ses import SesAnswers
from mailroom.domain.errors import Refused, TransientError


def ses(endpoint: str) -> Any:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("sesv2", region_name="eu-west-1", endpoint_url=endpoint, config=once, **keys)


def test_answers_leave_through_ses(emulator: str) -> None:
    """The emulator takes them as SES does: from a verified identity, and from no other."""
    sesv2 = ses(emulator)
    sesv2.create_email_identity(EmailIdentity="acme.test")
    answers = SesAnswers(sesv2)

    assert answers.send(b"From: anna@acme.test\r\n\r\nhi", sender="anna@acme.test", recipient="carl@sender.test")
    with pytest.raises(Refused):
        answers.send(b"From: eve@evil.test\r\n\r\nhi", sender="eve@evil.test", recipient="carl@sender.test")


def test_ses_that_cannot_be_reached_has_sent_nothing() -> None:
    """No connection was made, so the next try is safe."""
    with pytest.raises(TransientError):
        SesAnswers(ses("http://127.0.0.1:1")).send(b"x", sender="a@acme.test", recipient="b@x.test")
