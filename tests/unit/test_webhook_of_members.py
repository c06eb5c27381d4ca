"""The tenant's webhook names what is inside attachments; the words of a mail are fetched by the tenant."""

import json

from mailroom.domain.inbound.routing import Route
from mailroom.domain.parsing import parse_email
from mailroom.inbound.processing import FiledMail
from mailroom.inbound.tenant_webhook import payload
from tests.support.mail_parts import TOP, mail, part


def test_the_words_of_an_attached_mail_are_not_posted() -> None:
    """They are texts like those of the mail around it, and may be 100,000 characters."""
    attached = TOP + b"\r\nsecret words"
    parsed = parse_email(mail(part(attached, "message/rfc822", name="q.eml", disposition="attachment")))
    route = Route("ann@acme.test", "acme", "ann", "exact")

    body = payload(FiledMail("e", "acme", "webhook", (route,), ("i",), parsed, b"", {}), "https://mail.example")

    [member] = body["attachments"][0]["members"]
    assert "secret words" in (parsed.attachments[0].members[0].text or "")
    assert "secret words" not in json.dumps(body)
    assert member.keys() == {"name", "size", "number", "content_type", "sha256"}
