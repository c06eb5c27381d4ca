"""The processor `webhook`: notifies a tenant of its mail with a signed POST to the tenant's URL.

The body is JSON, signed as in `mailroom.domain.delivery.signed_posts`. `Mailroom-Delivery` is the same for each attempt.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mailroom.domain.delivery.signed_posts import signed_headers
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.received_email import SENDER_AMBIGUOUS
from mailroom.domain.mail.contained import Contained
from mailroom.inbound.processing import FiledMail
from mailroom.ports.inbound import Inbound


def notify(mail: FiledMail, inbound: Inbound) -> Mapping[str, Any]:
    """Post to the tenant's URL; a tenant without a URL is not notified."""
    if inbound.tenants is None or inbound.webhooks is None:
        raise ConfigurationError("the processor webhook needs a way to post")
    target = inbound.tenants.webhook(mail.tenant)
    if target is None:
        return {"not_told": "no_url"}
    body = json.dumps(payload(mail, inbound.pages_url), ensure_ascii=False, separators=(",", ":")).encode()
    headers = signed_headers(body, f"{mail.email_id}.{mail.tenant}", target.secret, now=datetime.now(UTC))
    return {"status": inbound.webhooks.post(target.url, body, headers)}


def payload(mail: FiledMail, pages_url: str) -> dict[str, Any]:
    """Return the body of the POST: the tenant's items and attachments with archive ids; texts are fetched by the tenant."""
    items = [
        {"id": item, "recipient": to.recipient, "user": to.user, "plus_token": to.plus_token}
        | {"plus_tokens": list(to.plus_tokens)}
        | {"url": f"{pages_url}/items/{item}"}
        for to, item in zip(mail.routes, mail.items, strict=True)
    ]
    attachments = [
        part.as_dict()
        | {"members": [_without_text(member) for member in part.members]}
        | {"archive_id": receipt.archive_id if (receipt := mail.receipts.get(part.sha256)) else None}
        for part in mail.parsed.attachments
    ]
    about: dict[str, Any] = {
        "subject": mail.parsed.subject,
        "from": mail.parsed.from_,
        "message_id": mail.parsed.message_id,
    }
    about["sender_ambiguous"] = SENDER_AMBIGUOUS in mail.parsed.defects
    head = {"event": "email.filed", "email_id": mail.email_id, "tenant": mail.tenant}
    return head | about | {"items": items, "attachments": attachments}


def _without_text(member: Contained) -> dict[str, Any]:
    """Return a member for the POST: the words of an attached mail are texts too."""
    return {name: value for name, value in member.as_dict().items() if name not in ("text", "text_cut")}
