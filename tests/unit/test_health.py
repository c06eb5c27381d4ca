"""What a worker reports while a service or permission that it needs is missing."""

import asyncio
import logging

import pytest

from deployments.worker import health
from deployments.worker.health import Health
from mailroom.domain.errors import NotPermitted


def test_missing_permission_pauses_and_is_named(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No mail is received, so none is given up; status, metric and log say what to grant, and work goes on by itself."""
    monkeypatch.setattr(health, "_LOOK_AGAIN_S", 0.0)
    answers = [NotPermitted("may not be read", permission="s3:GetObjectRetention", key="acme/aa/1"), None]
    seen: list[str | None] = []

    def archive() -> None:
        seen.append(probed.paused_by)
        answer = answers.pop(0)
        if answer is not None:
            raise answer

    probed = Health({"the archive": archive})
    with caplog.at_level(logging.WARNING, logger="mailroom.listener"):
        ready = asyncio.run(probed.ready(asyncio.Event()))

    assert ready
    assert seen == [None, "the archive (s3:GetObjectRetention is not granted)"]
    assert (probed.paused_by, probed.outlasted) == (None, 1)
    assert "s3:GetObjectRetention is not granted" in caplog.text
