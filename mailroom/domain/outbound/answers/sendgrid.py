"""Answers of SendGrid's v3 Mail Send, by HTTP status, the field that an error names, and its words."""

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
        names="from from.* reply_to reply_to.* reply_to_list*",
        source="v3 errors: from, reply_to",
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
        source="v3 errors: subject, content, attachments, headers",
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
