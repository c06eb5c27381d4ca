"""SendGrid's v3 Mail Send: one call for each mail, because the mails of one call share their content.

Source: twilio.com/docs/sendgrid, "Mail Send" and "Errors" (read November 2026). EU subusers have another address. The Email
Activity API is an add-on with 6 requests a minute and not for EU subusers, so the outcome of a mail cannot be queried.
"""

import base64
import json
from collections.abc import Sequence
from typing import Any

from mailroom.adapters.providers.capability_checks import require, require_size
from mailroom.adapters.providers.http_post import HttpAnswer, Poster, retry_after_s
from mailroom.adapters.providers.no_outcome_query import NoOutcomeQuery
from mailroom.domain.errors import MailroomError
from mailroom.domain.mail.mime import TAG, tagged_headers
from mailroom.domain.outbound.answers import error_of
from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    CONTENT,
    DAILY,
    NO_SUCH_RECIPIENT,
    NOT_BY_THIS_PROVIDER,
    SENDER,
    SLOWER,
    UNKNOWN,
    Answer,
    Question,
    Rule,
    decided,
)
from mailroom.domain.outbound.answers.http import HTTP
from mailroom.domain.outbound.answers.texts import bounded
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.media_types import parameter
from mailroom.domain.outbound.message import File, Outgoing, Party
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

#: The most errors of a response that are read.
_MOST_ERRORS = 20
API, API_EU = "https://api.sendgrid.com", "https://api.eu.sendgrid.com"


class SendGrid(NoOutcomeQuery):
    """The port `MailProvider` on SendGrid."""

    name = "sendgrid"
    capabilities = Capabilities(max_bytes=30 * 10**6, tracks=True)

    def __init__(self, *, key: str, account: str, url: str = API, timeout_s: float = 60) -> None:
        self.identity = f"{self.name}/{account}"
        self._poster = Poster(self.name, url, headers={"Authorization": f"Bearer {key}"}, timeout_s=timeout_s)

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send each mail once; `sg_message_id` in its events begins with the id in the receipt."""
        return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return an empty quota: SendGrid's limits are only in the headers of responses."""
        return ProviderQuota()

    def close(self) -> None:
        """Close the connections."""
        self._poster.close()

    def _send(self, mail: Outgoing) -> ProviderReceipt | MailroomError:
        try:
            require(mail, self.capabilities, provider=self.name)
            # In UTF-8: escapes would be three times as long for most letters, and `wire_size` counts without them.
            content = json.dumps(_payload(mail), ensure_ascii=False).encode()
            require_size(len(content), self.capabilities, provider=self.name)
            answer = self._poster.post("/v3/mail/send", content)
        except MailroomError as error:
            return error
        known = answer.headers.get("X-Message-Id")
        if answer.status == 202 and known:
            return ProviderReceipt(self.name, known)
        return _error(answer, mail)


def _error(answer: HttpAnswer, mail: Outgoing) -> MailroomError:
    errors = answer.body.get("errors") if isinstance(answer.body, dict) else None
    shown = [one for one in errors if isinstance(one, dict)][:_MOST_ERRORS] if isinstance(errors, list) else []
    fields = tuple(str(one["field"]) for one in shown if one.get("field"))
    text = "\n".join(str(one.get("message", "")) for one in shown)
    found = classify_sendgrid(answer.status, fields=fields, text=text, after_s=retry_after_s(answer.headers))
    domain = on_the_wire(mail.from_.address).rpartition("@")[2].lower()
    return error_of(found, sender_domain=domain, provider=SendGrid.name, status=answer.status)


def _payload(mail: Outgoing) -> dict[str, Any]:
    # SendGrid refuses an empty part, and a mail without any part.
    texts = [(kind, text) for kind, text in (("text/plain", mail.text), ("text/html", mail.html)) if text]
    payload: dict[str, Any] = {
        "personalizations": [{"to": [_party(mail.to)], "custom_args": {TAG: mail.id}}],
        "from": _party(mail.from_),
        "subject": mail.subject,
        "content": [{"type": kind, "value": text} for kind, text in texts or [("text/plain", "\n")]],
        "headers": dict(tagged_headers(mail)),
        # Always set: otherwise the account's own setting applies.
        "tracking_settings": {
            "click_tracking": {"enable": mail.tracking.clicks, "enable_text": False},
            "open_tracking": {"enable": mail.tracking.opens},
        },
    }
    if mail.reply_to is not None:
        payload["reply_to"] = _party(mail.reply_to)
    if mail.attachments:
        payload["attachments"] = [_attachment(file) for file in mail.attachments]
    return payload


def _party(party: Party) -> dict[str, str]:
    return {"email": on_the_wire(party.address)} | ({"name": party.name} if party.name else {})


def _media_type(written: str) -> str:
    """Return a media type as SendGrid takes it: it refuses every parameter but the method of an invitation."""
    kind, method = written.partition(";")[0], parameter(written, "method")
    return f"{kind}; method={method}" if kind == "text/calendar" and method and method.isalnum() else kind


def _attachment(file: File) -> dict[str, str]:
    content = base64.b64encode(file.content).decode()
    described = {"content": content, "type": _media_type(file.content_type), "filename": file.filename}
    if file.content_id is None:
        return described | {"disposition": "attachment"}
    return described | {"disposition": "inline", "content_id": file.content_id}


# What its answers mean: by HTTP status, the field that an error names, and its words.

_TO = "to to.* personalizations personalizations.*to* personalizations.*cc* personalizations.*bcc*"

SENDGRID = (
    Rule(
        name="sendgrid_credits",
        five=DAILY,
        codes="4*",
        words=(
            r"credits? exceeded",
            r"maximum credits",
            r"out of credits",
            r"(daily|monthly|package) (\w+ ){0,3}(limit|quota)",
        ),
        source="sendgrid-nodejs#1032: 401 Maximum credits exceeded; a plan of a day or a month",
    ),
    Rule(name="sendgrid_rate", five=SLOWER, codes="429", source="v3 errors: X-RateLimit-Reset"),
    Rule(
        name="sendgrid_sender",
        five=SENDER,
        codes="400 403",
        names="from from.*",
        source="v3 errors: from",
    ),
    Rule(
        name="sendgrid_identity",
        five=SENDER,
        codes="400 403",
        words=(r"verified sender identity", r"sender identity", r"from address"),
        source="twilio 60222: no verified sender identity",
    ),
    Rule(
        name="sendgrid_no_address",
        five=NO_SUCH_RECIPIENT,
        codes="400",
        names=_TO,
        words=(
            r"valid (e-?mail )?address",
            r"valid e-?mail",
            r"invalid (e-?mail|address)",
            r"not contain a valid address",
        ),
        source="v3 errors: personalizations.0.to.0.email does not contain a valid address",
    ),
    Rule(
        name="sendgrid_recipient",
        five=NOT_BY_THIS_PROVIDER,
        codes="400",
        names=_TO,
        source="v3 errors: personalizations",
    ),
    Rule(
        name="sendgrid_content",
        five=CONTENT,
        codes="400 413",
        source="v3 errors: subject, content, attachments, headers, reply_to (each mail's own)",
    ),
    Rule(
        name="sendgrid_account",
        five=ACCOUNT,
        codes="401 403 404 405 406 415",
        source="v3 errors: key, permission, blocked for many bad requests (twilio 60604), path, media type",
    ),
    Rule(
        name="sendgrid_unknown",
        five=UNKNOWN,
        codes="408 5*",
        source="v3 errors: nothing promises that it was not taken",
    ),
    *HTTP,
)


def classify_sendgrid(
    status: int, *, fields: tuple[str, ...] = (), text: str = "", after_s: int | None = None
) -> Answer:
    """Return what an unsuccessful response means.

    `fields` are the fields that its errors name, such as `personalizations.0.to.0.email`, `text` their messages; `after_s`
    is how long it asks to wait, in seconds.
    """
    asked = Question(code=str(status), names=tuple(field.lower() for field in fields), words=bounded(text).lower())
    return decided(SENDGRID, asked, after_s=after_s)
