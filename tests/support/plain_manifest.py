"""The manifest of one mail to one recipient, for tests that change what they are about."""

from datetime import UTC, datetime

from mailroom.domain.archive.manifests import Manifest, RetentionClass, Source
from mailroom.domain.inbound.received_email import Envelope, ObjectRef

AT = datetime(2026, 11, 30, 10, tzinfo=UTC)
MANIFEST = Manifest(
    tenant="acme",
    ref=ObjectRef("inbound", "in/abc", "v1"),
    received_at=AT,
    envelope=Envelope(("anna@acme.test",), "carl@sender.test", AT),
    named_by=Source.SES,
    attempt=1,
    retention=RetentionClass.DOCUMENT,
    sha256="0" * 64,
    size=7,
)
