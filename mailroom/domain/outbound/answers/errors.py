"""The error that an answer becomes; `mailroom.domain.errors` says what each means for the next step."""

from typing import Any

from mailroom.domain.errors import (
    ContentRefused,
    DailyQuota,
    MailroomError,
    OutcomeUnknown,
    Paused,
    RecipientRefused,
    RecipientUnavailable,
    SenderRefused,
    Throttled,
    TransientError,
)
from mailroom.domain.outbound.answers.answer import Answer, AnswerClass

_ERRORS: dict[AnswerClass, tuple[type[MailroomError], str]] = {
    AnswerClass.RECIPIENT_TEMPORARY: (RecipientUnavailable, "the provider does not take mail for this recipient now"),
    AnswerClass.RECIPIENT_PERMANENT: (RecipientRefused, "the provider refused the recipient"),
    AnswerClass.CONTENT_REFUSED: (ContentRefused, "the provider refused the content of the mail"),
    AnswerClass.ACCOUNT: (Paused, "the provider has paused this account, or refuses its credentials"),
    AnswerClass.SENDER: (SenderRefused, "the provider does not send for the sender's domain"),
    AnswerClass.PROVIDER_TEMPORARY: (TransientError, "the provider cannot accept the mail now"),
    AnswerClass.THROTTLED: (Throttled, "the provider throttles sending"),
    AnswerClass.DAILY_QUOTA: (DailyQuota, "the provider's daily quota is used up"),
    AnswerClass.UNKNOWN: (OutcomeUnknown, "the provider's response does not mention the mail"),
}


def error_of(answer: Answer, *, sender_domain: str = "", **facts: Any) -> MailroomError:
    """Return the error of this answer with `facts` (provider, codes), the row that decided, and what its class needs.

    A refused recipient has `hard` and `suppress`, a refused sender `sender_domain`, a wait that was asked for `retry_after_s`.
    """
    kind, message = _ERRORS[answer.kind]
    facts["rule"] = answer.rule
    if answer.kind is AnswerClass.RECIPIENT_PERMANENT:
        facts |= {"hard": answer.hard, "suppress": answer.suppress.value}
    if answer.kind is AnswerClass.SENDER:
        facts["sender_domain"] = sender_domain
    if answer.after_s is not None:
        facts["retry_after_s"] = answer.after_s
    return kind(message, **facts)
