"""Reasons why a received e-mail was not filed: the words in its row, filters, metrics and pages.

`mailroom.domain.errors.Reason` has the words that quarantine an e-mail; the others end an attempt as `failed`.
"""

from re import fullmatch
from typing import Self

from mailroom.domain import errors
from mailroom.domain.errors import Reason
from mailroom.domain.reasons import ReasonWord

_REPLAY = "`mailroom replay ID`"
_AGAIN = f"nothing at first, it is tried again by itself; if it stays, {_REPLAY} after the cause is fixed"


class InboundReason(ReasonWord):
    """Why a received e-mail is quarantined or failed."""

    NO_ROUTE = (
        Reason.NO_ROUTE,
        "none of its recipients has an address here",
        "add the address with `mailroom address add`, then `mailroom replay --reason no_route`; or leave it",
    )
    RECIPIENTS_UNKNOWN = (
        Reason.RECIPIENTS_UNKNOWN,
        "SES has not sent its notification, and the e-mail's own headers do not name a recipient here",
        "wait: it is filed when the notification comes; if none comes, see docs/operations.md, `recipients_unknown`",
    )
    NOT_DECRYPTABLE = (
        Reason.NOT_DECRYPTABLE,
        "the encrypted object cannot be opened with the key of this installation",
        f"check MAILROOM_KMS_KEY_ARN and the permission kms:Decrypt, then {_REPLAY}",
    )
    NOT_BOUND = (
        Reason.NOT_BOUND,
        "the encrypted object was written for another message, account or receipt rule",
        "find out what writes to the inbound bucket besides SES; replay it only if the object is what SES wrote",
    )
    NOT_ENCRYPTED = (
        Reason.NOT_ENCRYPTED,
        "the object is not encrypted although its prefix is for encrypted mail",
        "check the receipt rule of this prefix and what else writes to the bucket",
    )
    FOREIGN_OBJECT = (
        Reason.FOREIGN_OBJECT,
        "the notification names an object outside the inbound bucket and its prefixes",
        "name the prefix in MAILROOM_INBOUND_PREFIXES if it is one of yours, run `python -m deployments.ensure`, then "
        "`mailroom replay --reason foreign_object`; else find out what writes to the queue",
    )
    GONE = (
        Reason.GONE,
        "the object is not in the inbound bucket",
        "check the bucket's lifecycle rules and deletions; it is looked for again when another notification comes",
    )
    EMPTY = (Reason.EMPTY, "the object has no bytes", "check what wrote it; SES writes no empty objects")
    TOO_LARGE = (
        Reason.TOO_LARGE,
        "the raw e-mail is larger than this installation takes",
        "it stays in the inbound bucket: read it there; SES itself takes at most 40 MB",
    )
    UNPARSABLE = (
        Reason.UNPARSABLE,
        "the parser crashed, or needed more time or memory than an e-mail may have",
        f"the raw e-mail is in the archive: read it there with care; after an upgrade of the parser {_REPLAY}",
    )
    VIRUS = (Reason.VIRUS, "SES or the scanner found a virus", "leave it; nothing of it is shown, the archive keeps it")
    UNSCANNED = (
        Reason.UNSCANNED,
        "the scanner could not look at it, and the tenant's policy asks for a scan",
        "see that clamd runs and takes mails of this size, then `mailroom replay --reason unscanned`",
    )
    DMARC = (
        Reason.DMARC,
        "it fails DMARC, and the tenant's policy holds such mail back",
        "it may be forged: ask its sender another way; the policy decides what is filed",
    )
    SPAM = (
        Reason.SPAM,
        "SES takes it for spam, and the tenant's policy holds spam back",
        "leave it; if it is wanted, change the tenant's policy, then `mailroom replay ID`",
    )
    UNSURE = (
        Reason.UNSURE,
        "SES did not check it in full, and the tenant's policy holds such mail back",
        "look at its verdicts with `mailroom trace ID`; the policy decides what is filed",
    )
    POISON = (
        Reason.POISON,
        "three processes died while they worked on it",
        "look at the worker's log and memory; the object stays in the bucket. Replay it alone, after the cause is fixed",
    )
    TOO_MANY = (
        Reason.TOO_MANY,
        "its sender sent one address more e-mails within an hour than MAILROOM_SENDER_HOURLY_LIMIT allows",
        "see whether two programs answer each other; `mailroom replay --reason too_many --dry-run` lists them, and without "
        "--dry-run files them",
    )
    INTERRUPTED = (
        "interrupted",
        "the run was interrupted: its worker stopped, or the run was cancelled",
        "nothing, the queue brings it back; if it does not, `mailroom replay ID`",
        "Interrupted",
    )
    CANCELLED = (
        "cancelled",
        "a person cancelled its run in Prefect",
        "`mailroom replay ID` when it is to be filed after all",
        "Cancelled",
    )
    PROCESS_DIED = (
        "process_died",
        "the process that worked on it died",
        "nothing at first: it runs again, alone, and is quarantined as `poison` after three deaths",
        "ProcessDied",
    )
    TEMPORARY_FAILURE = ("temporary_failure", "a service that it needs was unavailable", _AGAIN, "TransientError")
    THROTTLED = ("throttled", "a service asked to slow down", _AGAIN, "Throttled")
    DAILY_QUOTA_REACHED = (
        "daily_quota_reached",
        "the quota of a service for this day is used up",
        "nothing, it is tried again; if it happens daily, have the quota raised",
        "DailyQuota",
    )
    PERMIT_EXPIRED = ("permit_expired", "its permit of a rate limit ended before the call began", _AGAIN, "TurnOver")
    ACCOUNT_PAUSED = (
        "account_paused",
        "a service has stopped this account or identity",
        f"look at the account's console or support case, then {_REPLAY}",
        "Paused",
    )
    NOT_PERMITTED = (
        "not_permitted",
        "a permission of this installation is missing",
        f"grant the permission that `mailroom trace ID` names, then {_REPLAY}",
        "NotPermitted",
    )
    SCHEMA_MISMATCH = (
        "schema_mismatch",
        "the database's schema and this release do not fit",
        f"run `mailroom migrate`, or start the release that fits the schema; then {_REPLAY}",
        "UnfitSchema",
    )
    OUTCOME_UNKNOWN = (
        "outcome_unknown",
        "the answer of a service was lost, so it may have done what it was asked for",
        f"{_REPLAY}: every step of a received e-mail may run again",
        "OutcomeUnknown",
    )
    CONFLICT = (
        "conflict",
        "the same was asked for before, and differently",
        f"look at `mailroom trace ID`, then {_REPLAY}",
        "Conflict",
    )
    TAKEN_OVER = (
        "taken_over",
        "another worker has the lease of this e-mail",
        "nothing: the other worker files it",
        "TakenOver",
    )
    REFUSED = (
        "refused",
        "a service refused it for good",
        f"look at the code in `mailroom trace ID`, fix what it names, then {_REPLAY}",
        "Refused",
    )
    INVALID_REQUEST = (
        "invalid_request",
        "a request made for it was refused as a whole",
        f"look at `mailroom trace ID`, fix what it names, then {_REPLAY}",
        "Unacceptable",
    )
    PERMANENT_FAILURE = (
        "permanent_failure",
        "it failed in a way that trying again does not fix",
        f"look at `mailroom trace ID` and the worker's log, fix the cause or upgrade, then {_REPLAY}",
        "PermanentError",
    )
    NOT_INSTALLED = (
        "not_installed",
        "its address names a processor that is not installed",
        "install the processor, or change the address; then `mailroom replay --processor P`",
    )
    UNFORESEEN = (
        "unforeseen",
        "it failed in a way that this release does not know",
        f"look at the flow run and the worker's log and report the fault; then {_REPLAY}",
        "MailroomError",
    )

    @classmethod
    def read(cls, stored: object) -> Self | None:
        """Return the reason of a stored word; rows written up to 0.1.0 may contain the name of any Python class."""
        known = super().read(stored)
        if known is None and isinstance(stored, str) and fullmatch(CLASS_NAME, stored):
            return cls["UNFORESEEN"]
        return known


#: Pattern of class names stored up to 0.1.0, for Python and PostgreSQL.
CLASS_NAME = "[A-Z][A-Za-z0-9]*"

#: Every class of the error tree but `Quarantined`, whose `reason` is used; a test walks the tree.
REASONS: dict[type[errors.MailroomError], InboundReason] = {
    errors.MailroomError: InboundReason.UNFORESEEN,
    errors.TransientError: InboundReason.TEMPORARY_FAILURE,
    errors.Throttled: InboundReason.THROTTLED,
    errors.DailyQuota: InboundReason.DAILY_QUOTA_REACHED,
    errors.PermitExpired: InboundReason.PERMIT_EXPIRED,
    errors.Paused: InboundReason.ACCOUNT_PAUSED,
    errors.SenderRefused: InboundReason.ACCOUNT_PAUSED,
    errors.RecipientUnavailable: InboundReason.TEMPORARY_FAILURE,
    errors.NotPermitted: InboundReason.NOT_PERMITTED,
    errors.UnfitSchema: InboundReason.SCHEMA_MISMATCH,
    errors.OutcomeUnknown: InboundReason.OUTCOME_UNKNOWN,
    errors.PermanentError: InboundReason.PERMANENT_FAILURE,
    errors.RecipientGaveUp: InboundReason.PERMANENT_FAILURE,
    errors.Refused: InboundReason.REFUSED,
    errors.RecipientRefused: InboundReason.REFUSED,
    errors.ContentRefused: InboundReason.REFUSED,
    errors.Unacceptable: InboundReason.INVALID_REQUEST,
    errors.Conflict: InboundReason.CONFLICT,
    errors.TakenOver: InboundReason.TAKEN_OVER,
}


def inbound_reason(error: BaseException) -> InboundReason:
    """Return the reason for a received e-mail that ended with this error, whatever its class."""
    if isinstance(error, errors.Quarantined):
        return InboundReason[error.reason.name]
    return next((REASONS[kind] for kind in type(error).__mro__ if kind in REASONS), InboundReason.UNFORESEEN)
