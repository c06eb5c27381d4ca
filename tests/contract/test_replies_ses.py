"""The port `Replies` in memory, and on the emulator's SES."""

from typing import Any

import boto3
import pytest
from botocore.config import Config

from mailroom.adapters.aws.replies_ses import SesReplies
from mailroom.domain.errors import Refused, TransientError
from mailroom.ports.replies import Replies
from mailroom.testing.replies import MemoryReplies


def ses(endpoint: str) -> Any:
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
    return boto3.client("sesv2", region_name="eu-west-1", endpoint_url=endpoint, config=once, **keys)


@pytest.fixture(params=["memory", "ses"])
def answers(request: pytest.FixtureRequest) -> Replies:
    """Sends for acme.test, which is verified."""
    if request.param == "memory":
        return MemoryReplies(verified=("acme.test",))
    sesv2 = ses(request.getfixturevalue("emulator"))
    if "acme.test" not in [one["IdentityName"] for one in sesv2.list_email_identities()["EmailIdentities"]]:
        sesv2.create_email_identity(EmailIdentity="acme.test")
    return SesReplies(sesv2)


def test_answers_leave_from_a_verified_identity_alone(answers: Replies) -> None:
    """The emulator takes them as SES does; each has its own id."""
    sent = [
        answers.send(b"From: anna@acme.test\r\n\r\nhi", sender="anna@acme.test", recipient="carl@sender.test")
        for _ in range(2)
    ]

    assert len(set(sent)) == 2
    with pytest.raises(Refused):
        answers.send(b"From: eve@evil.test\r\n\r\nhi", sender="eve@evil.test", recipient="carl@sender.test")


@pytest.mark.parametrize("away", ["memory", "ses"])
def test_ses_that_cannot_be_reached_has_sent_nothing(away: str) -> None:
    """No connection was made, so the next try is safe."""
    memory = MemoryReplies(TransientError("out of reach"))
    answers: Replies = memory if away == "memory" else SesReplies(ses("http://127.0.0.1:1"))

    with pytest.raises(TransientError):
        answers.send(b"x", sender="a@acme.test", recipient="b@x.test")

    assert memory.sent == []
