"""Answers of Postmark, by the `ErrorCode` in the body; in a batch each mail has its own under HTTP 200."""

from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    AWAY,
    CONTENT,
    DAILY,
    NO_SUCH_RECIPIENT,
    ON_THE_PROVIDERS_LIST,
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

POSTMARK = (
    Rule(name="postmark_token", five=ACCOUNT, names="10", source="Postmark: bad or missing API token"),
    Rule(
        name="postmark_signature", five=SENDER, names="400 401", source="Postmark: no sender signature, not confirmed"
    ),
    Rule(
        name="postmark_pending",
        five=ACCOUNT,
        names="412 413",
        source="Postmark: the account is pending (own domain only), or may not send",
    ),
    Rule(name="postmark_credits", five=DAILY, names="405", source="Postmark: out of credits"),
    Rule(name="postmark_maintenance", five=AWAY, names="100", source="Postmark: maintenance, also under HTTP 503"),
    Rule(name="postmark_rate", five=SLOWER, names="429", source="Postmark: rate limit"),
    Rule(name="postmark_rate_status", five=SLOWER, codes="429", source="RFC 6585"),
    Rule(name="postmark_inactive", five=ON_THE_PROVIDERS_LIST, names="406", source="Postmark: inactive recipient"),
    Rule(name="postmark_attachment", five=CONTENT, names="411", source="Postmark: attachment type"),
    Rule(
        name="postmark_sender_field",
        five=SENDER,
        names="300",
        words=(r"'?\bfrom\b'? (address|field|header)", r"invalid '?from\b", r"'from'"),
        source="Postmark 300: the text names From",
    ),
    Rule(
        name="postmark_recipient_field",
        five=NO_SUCH_RECIPIENT,
        names="300",
        words=(
            r"'?\b(to|cc|bcc)\b'? (address|field|header)",
            r"invalid '?(to|cc|bcc)\b",
            r"'(to|cc|bcc)'",
            r"recipient",
        ),
        source="Postmark 300: the text names To",
    ),
    Rule(name="postmark_content", five=CONTENT, names="300", source="Postmark 300: body missing, header"),
    Rule(name="postmark_too_large", five=CONTENT, codes="413", source="RFC 9110"),
    # A code is an answer: the mail was not taken. Those left concern our request or the server's settings.
    Rule(
        name="postmark_settings",
        five=ACCOUNT,
        names="[1-9]*",
        source="Postmark 402, 403, 409, 410, 7xx, 11xx, 12xx: the same for all mails; a code that this release does not know",
    ),
    Rule(name="postmark_unknown", five=UNKNOWN, codes="500 503 408", source="nothing promises that it was not taken"),
    *HTTP,
)


def classify_postmark(error_code: int, *, status: int = 200, text: str = "", after_s: int | None = None) -> Answer:
    """Return what an answer means; `error_code` is 0 where the body has none, `text` its message."""
    names = (str(error_code),) if error_code > 0 else ()
    return decided(POSTMARK, Question(code=str(status), names=names, words=bounded(text).lower()), after_s=after_s)
