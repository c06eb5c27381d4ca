"""Reasons of an outbound message's status: the words in its row, activities, webhooks and pages.

The words `restored` and `run_gone` are also `mailroom.ports.holds.HoldReason`, and a provider's events have the words of
`mailroom.domain.delivery.events.Kind`.
"""

from mailroom.domain import errors
from mailroom.domain.delivery.events import Kind
from mailroom.domain.reasons import ReasonWord

_WAITS = "nothing: it is sent by itself when its time comes"
_NEW_BATCH = "when the cause is gone, `mailroom resend ID`; else correct it and send it in a new batch"


class OutboundReason(ReasonWord):
    """Why a message waits, failed, was withheld or is unknown."""

    # The outcome of an attempt.
    TEMPORARY_FAILURE = (
        "temporary_failure",
        "a service was unavailable, and the message was not sent",
        "nothing: it is tried again; if it stays, see `mailroom status` and the provider's own status page",
        "TransientError",
    )
    THROTTLED = ("throttled", "the provider asked to slow down", _WAITS, "Throttled")
    DAILY_QUOTA_REACHED = (
        "daily_quota_reached",
        "the provider refused this message for now: its quota for a day is used up",
        "nothing: it is sent within hours; if it happens daily, have the provider raise the quota",
        "DailyQuota",
    )
    PERMIT_EXPIRED = ("permit_expired", "its permit of the rate limit ended before the call began", _WAITS, "TurnOver")
    ACCOUNT_PAUSED = (
        "account_paused",
        "the provider refused this message for now: it has stopped this account or identity",
        "look at the provider's console and at `mailroom providers pauses`; one message is tried by itself, after 15 minutes and then each hour",
        "Paused",
    )
    SENDER_REFUSED = (
        "sender_refused",
        "the provider does not send for the sender's domain",
        "verify the domain at the provider (`mailroom sender verify DOMAIN`); it is tried again by itself",
        "Paused",
    )
    RECIPIENT_UNAVAILABLE = (
        "recipient_unavailable",
        "the recipient's server takes no mail for this address now",
        "nothing: this message is tried again by its own schedule, and the others go on",
        "TransientError",
    )
    NOT_PERMITTED = (
        "not_permitted",
        "a permission of this installation is missing",
        "grant the permission that the message's activity names; it is tried again",
        "NotPermitted",
    )
    SCHEMA_MISMATCH = (
        "schema_mismatch",
        "the database's schema and this release do not fit",
        "run `mailroom migrate`, or start the release that fits the schema",
        "UnfitSchema",
    )
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        "the provider's answer was lost, so it may have accepted the message",
        "wait for the provider's events; if none comes, look in its log, then `mailroom resend ID --may-duplicate`: it may arrive twice",
        "OutcomeUnknown",
    )
    REFUSED = (
        "refused",
        "the provider will never accept this recipient or content",
        f"see the code in the message's activity; {_NEW_BATCH}",
        "Refused",
    )
    RECIPIENT_REFUSED = (
        "recipient_refused",
        "the provider or the recipient's server will never accept this recipient",
        "correct the address, then send the message again",
        "Refused",
    )
    CONTENT_REFUSED = (
        "content_refused",
        "the provider or the recipient's server will never accept this content",
        f"see the code in the message's activity; {_NEW_BATCH}",
        "Refused",
    )
    INVALID_REQUEST = (
        "invalid_request",
        "the message breaks a rule that a request must keep",
        f"see the message's activity; {_NEW_BATCH}",
        "Unacceptable",
    )
    PERMANENT_FAILURE = (
        "permanent_failure",
        "the message could not be made or sent, and trying again does not fix that",
        f"see the message's activity; {_NEW_BATCH}",
        "PermanentError",
    )
    RECIPIENT_GAVE_UP = (
        "recipient_gave_up",
        "the recipient's server took no mail for this address until the last try",
        "see its last answer in the message's activity, ask the recipient another way, then send the message again",
        "PermanentError",
    )
    CONTENT_UNUSABLE = (
        "content_unusable",
        "something that the message is made of is gone or too large",
        f"see the message's activity; {_NEW_BATCH}",
        "Quarantined",
    )
    CONFLICT = (
        "conflict",
        "the same was asked for before, and differently",
        f"see the message's activity; {_NEW_BATCH}",
        "Conflict",
    )
    TAKEN_OVER = ("taken_over", "another worker has this work", "nothing: the other worker sends it", "TakenOver")
    UNFORESEEN = (
        "unforeseen",
        "it failed in a way that this release does not know",
        "see the message's activity and the worker's log, and report the fault",
        "MailroomError",
    )
    WORKER_GONE = (
        "worker_gone",
        "its worker stopped while it was sending, so the provider may have the message",
        "wait for the provider's events; a batch with `prefer_delivery` sends it again after an hour, else `mailroom resend ID --may-duplicate`",
    )
    UNREADABLE = (
        "unreadable",
        "its row in the database cannot be read",
        "look at it with `mailroom check`; fix the row or send the message in a new batch",
    )
    # Why it waits.
    QUOTA = (
        "quota",
        "the tenant's own quota is used up",
        "nothing: it is sent when the quota has room; an administrator may raise it",
    )
    DAILY_QUOTA = (
        "daily_quota",
        "it waits with its batch: the provider's quota for a day is used up",
        "nothing: it is sent within hours; if it happens daily, have the provider raise the quota",
    )
    PAUSED = (
        "paused",
        "it waits with its batch: the provider has stopped this account or identity",
        "look at the provider's console and at `mailroom providers pauses`; one message is tried by itself, after 15 minutes and then each hour",
    )
    PROVIDER_SLOW_OR_AWAY = (
        "provider_slow_or_away",
        "it waits with its batch: the provider slows down or cannot be reached",
        "nothing: the batch goes on by itself; if it stays, see the provider's own status page",
    )
    SENT_AGAIN = (
        "sent_again",
        "its outcome was unknown, and it is sent again; it may arrive twice",
        "nothing; batches with `prefer_no_duplicate` leave such messages for a person",
    )
    RESENT = ("resent", "a person sends it again, after it was not sent or was refused", _WAITS)
    # Why it is not sent.
    RESTORED = (
        "restored",
        "the database was restored, and this may have been sent after the dump",
        "compare with the provider's log, then `mailroom batch resume ID` or `mailroom batch cancel ID`",
    )
    RUN_GONE = (
        "run_gone",
        "the flow run that was to send this is gone from the Prefect server",
        "`mailroom batch resume ID` sends it, `mailroom batch cancel ID` withholds it",
    )
    SUPPRESSED = (
        Kind.SUPPRESSED,
        "the address is suppressed, here or on the provider's own list",
        "leave it; if the person wants mail again, take the address off the list, or ask the administrator to, who keeps the one for all tenants; then `mailroom resend ID`",
    )
    EXPIRED = (
        "expired",
        "the batch's `expires_at` passed before it was sent",
        "send it in a new batch, if still wanted",
    )
    CANCELLED = ("cancelled", "its batch was cancelled before it was sent", "send it in a new batch, if still wanted")
    CANCELLED_IN_PREFECT = (
        "cancelled_in_prefect",
        "a person cancelled the batch's run in Prefect before it was sent",
        "send it in a new batch, if still wanted",
    )
    # Events of the provider.
    BOUNCED_HARD = (
        Kind.BOUNCED_HARD,
        "it was returned for good: the address takes no mail",
        "correct the address; this one is suppressed",
    )
    BOUNCED_SOFT = (
        Kind.BOUNCED_SOFT,
        "it was returned, and the address may take mail another time",
        "send it again later; after repeated soft bounces the address is suppressed for a while",
    )
    COMPLAINED = (
        Kind.COMPLAINED,
        "the recipient reported it as spam",
        "send this person nothing more; the address is suppressed",
    )
    REJECTED = (
        Kind.REJECTED,
        "the provider accepted it and then would not send it",
        "look at the content with the provider's log: a virus, or a policy of the provider",
    )


#: Every class of the error tree; a test walks it.
REASONS: dict[type[errors.MailroomError], OutboundReason] = {
    errors.MailroomError: OutboundReason.UNFORESEEN,
    errors.TransientError: OutboundReason.TEMPORARY_FAILURE,
    errors.Throttled: OutboundReason.THROTTLED,
    errors.DailyQuota: OutboundReason.DAILY_QUOTA_REACHED,
    errors.PermitExpired: OutboundReason.PERMIT_EXPIRED,
    errors.Paused: OutboundReason.ACCOUNT_PAUSED,
    errors.SenderRefused: OutboundReason.SENDER_REFUSED,
    errors.RecipientUnavailable: OutboundReason.RECIPIENT_UNAVAILABLE,
    errors.NotPermitted: OutboundReason.NOT_PERMITTED,
    errors.UnfitSchema: OutboundReason.SCHEMA_MISMATCH,
    errors.OutcomeUnknown: OutboundReason.OUTCOME_UNKNOWN,
    errors.PermanentError: OutboundReason.PERMANENT_FAILURE,
    errors.RecipientGaveUp: OutboundReason.RECIPIENT_GAVE_UP,
    errors.Quarantined: OutboundReason.CONTENT_UNUSABLE,
    errors.Conflict: OutboundReason.CONFLICT,
    errors.TakenOver: OutboundReason.TAKEN_OVER,
    errors.Refused: OutboundReason.REFUSED,
    errors.RecipientRefused: OutboundReason.RECIPIENT_REFUSED,
    errors.ContentRefused: OutboundReason.CONTENT_REFUSED,
    errors.Unacceptable: OutboundReason.INVALID_REQUEST,
}


def outbound_reason(error: BaseException) -> OutboundReason:
    """Return the reason for a message whose attempt ended with this error, whatever its class."""
    return next((REASONS[kind] for kind in type(error).__mro__ if kind in REASONS), OutboundReason.UNFORESEEN)
