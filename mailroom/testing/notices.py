"""Notifications of received mail as the inbound queue has them, and an SES event."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mailroom.domain.delivery.events import DeliveryEvent, Kind
from mailroom.domain.inbound.received_email import ObjectRef


def s3_notice(*refs: ObjectRef) -> str:
    """Return S3's notification that these objects were created."""
    records = [
        {
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": ref.bucket}, "object": {"key": ref.key, "versionId": ref.version or "null"}},
        }
        for ref in refs
    ]
    return json.dumps({"Records": records})


def ses_notice(ref: ObjectRef, *recipients: str) -> str:
    """Return SES's notification that a mail was received for `recipients`."""
    receipt = {
        "timestamp": "2026-11-21T09:30:00.000Z",
        "recipients": recipients,
        "action": {"type": "S3", "bucketName": ref.bucket, "objectKey": ref.key},
    }
    mail = {"source": "alice@sender.test", "messageId": ref.message_id}
    return json.dumps({"notificationType": "Received", "receipt": receipt, "mail": mail})


def an_event(kind: Kind, event_id: str = "event-1", **changes: Any) -> DeliveryEvent:
    """Return one event of SES."""
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    return replace(DeliveryEvent(provider="ses", event_id=event_id, kind=kind, at=at), **changes)
