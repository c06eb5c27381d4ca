"""Coverage-guided search for a notice or an SNS post that raises anything but the one refusal of its reader.

.cache/fuzz/bin/python -m tests.fuzz.notices FOLDER... [libFuzzer's options]
"""

import sys
from datetime import UTC, datetime

import atheris

with atheris.instrument_imports(include=["mailroom.domain.inbound.notifications", "mailroom.delivery.provider_events"]):
    from mailroom.delivery.provider_events import postmark, sendgrid, ses
    from mailroom.delivery.provider_events.fields import Unreadable
    from mailroom.delivery.provider_events.sns import Unverified, Verifier
    from mailroom.domain.inbound.notifications import UnreadableNotification, read_notification, received_recipients
    from mailroom.testing.sns import MemoryCertificates

_NOW = datetime(2026, 11, 1, tzinfo=UTC)
_TOPIC = "arn:aws:sns:eu-west-1:123456789012:inbound"


# No certificate: only SNS gets further than this.
_VERIFIER = Verifier(MemoryCertificates(Unverified(step="certificate")), topics=frozenset({_TOPIC}))


def one_input(data: bytes) -> None:
    """Have every reader read the same bytes."""
    text = data.decode("utf-8", "replace")
    try:
        for arrival in read_notification(text):
            if not (arrival.ref.bucket and arrival.ref.key):
                raise AssertionError("an object without a name")
    except UnreadableNotification:
        pass
    received_recipients(data, message_id="abc123")
    try:
        _VERIFIER.read(data, now=_NOW)
    except Unverified:
        pass
    else:
        raise AssertionError("a post that nobody signed was believed")
    for read in (ses.read, sendgrid.read, postmark.read):
        try:
            read(data, received_at=_NOW)
        except Unreadable:
            continue


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
