"""Starting the HTTP service."""

import json
from datetime import UTC, datetime
from typing import cast

import pytest

from mailroom.adapters.prefect.http import refuse_if_open
from mailroom.api.serve import hook_receiver_from
from mailroom.delivery.provider_events.sns import Unverified
from mailroom.domain.errors import ConfigurationError
from mailroom.ports.hooks import Hooks
from mailroom.testing.api import settings


@pytest.mark.parametrize(
    "url", ["http://prefect.internal:4200/api", "https://10.0.0.7/api", "http://127.0.0.1.evil.test/api"]
)
def test_a_prefect_that_others_reach_needs_a_password(url: str) -> None:
    """A client of Prefect's API can have workers import and run any code."""
    with pytest.raises(ConfigurationError, match="PREFECT_API_AUTH_STRING"):
        refuse_if_open(url, password=None)

    refuse_if_open(url, password="operator:secret")


@pytest.mark.parametrize("url", ["http://127.0.0.1:4200/api", "http://localhost:4200/api", "http://[::1]:4200/api"])
def test_a_prefect_on_this_machine_needs_none(url: str) -> None:
    """The embedded stack's server has none."""
    refuse_if_open(url, password=None)


@pytest.mark.parametrize(("allowed", "step"), [(False, "version"), (True, "certificate_url")])
def test_sha1_signatures_of_sns_are_read_only_where_the_operator_allows_it(allowed: bool, step: str) -> None:
    """Topics sign with version 1 by default; without the setting such a post ends before its certificate is fetched."""
    topic = "arn:aws:sns:eu-west-1:123456789012:tracking"
    allowing = settings().model_copy(update={"ses_hook_topics": topic, "sns_old_signatures": allowed})
    post = {"Type": "Notification", "MessageId": "1", "TopicArn": topic, "Message": "x", "SignatureVersion": "1"}
    body = json.dumps(post | {"Timestamp": "2026-11-29T10:00:00Z", "SigningCertURL": "https://evil.test/x.pem"})

    with pytest.raises(Unverified) as caught:
        hook_receiver_from(allowing, cast("Hooks", None)).ses.read(body.encode(), now=datetime.now(UTC))

    assert caught.value.facts["step"] == step
    assert ("SignatureVersion 2" in caught.value.message) is not allowed
