"""Answers of Amazon SES v2 `SendEmail`: its exceptions in botocore's model, and the errors common to all of AWS.

A code is compared without the ending `Exception`: AWS writes both forms.
"""

import re

from mailroom.domain.outbound.answers.answer import (
    ACCOUNT,
    CONTENT,
    DAILY,
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

_SLOW_CODES = "TooManyRequests Throttling Throttled RequestThrottled SlowDown RequestLimitExceeded"

SES = (
    Rule(
        name="ses_daily_quota",
        five=DAILY,
        names=f"{_SLOW_CODES} LimitExceeded MessageRejected",
        words=(r"daily", r"24[- ]?hour", r"per day"),
        source="SES, managing quotas: one code for both limits, words decide",
    ),
    Rule(
        name="ses_rate",
        five=SLOWER,
        names=f"{_SLOW_CODES} LimitExceeded",
        source="SES, managing quotas: Maximum sending rate exceeded",
    ),
    Rule(name="ses_rate_status", five=SLOWER, codes="429", source="RFC 6585"),
    Rule(
        name="ses_account",
        five=ACCOUNT,
        names="AccountSuspended SendingPaused AccountSendingPaused ConfigurationSetSendingPaused NotFound "
        "ConfigurationSetDoesNotExist",
        source="SESv2 model: the account, its configuration set, tenant or identity",
    ),
    Rule(
        name="ses_mail_from",
        five=SENDER,
        names="MailFromDomainNotVerified",
        source="SESv2 model: MX of the MAIL FROM domain",
    ),
    Rule(
        name="ses_not_verified_sender",
        five=SENDER,
        names="MessageRejected",
        words=(r"not verified.*<sender>", r"not verified.*(\.\.\.|…)\W*$", r"authority to send.*<sender>"),
        source="SES, sending errors: the list names From's domain, Source or Return-Path; a cut list may; moto",
    ),
    Rule(
        name="ses_sandbox",
        five=ACCOUNT,
        names="MessageRejected",
        words=(r"not verified",),
        source="SES, sending errors: only the recipient is named, so the account is in the sandbox",
    ),
    Rule(
        name="ses_suspended",
        five=ACCOUNT,
        names="MessageRejected",
        words=(
            r"sending (is |has been )?(paused|suspended|disabled)",
            r"access denied",
            r"account (\w+ ){0,3}(suspended|paused|shut ?down)",
        ),
        source="SES, sending errors",
    ),
    Rule(
        name="ses_request",
        five=ACCOUNT,
        names="RequestExpired IncompleteSignature InvalidSignature SignatureDoesNotMatch MalformedHttpRequest "
        "InvalidClientTokenId MissingAuthenticationToken AuthFailure InvalidAction MissingAction RequestTimeTooSkewed",
        source="AWS, common errors: clock, signature, client; not the mail",
    ),
    Rule(
        name="ses_permission",
        five=ACCOUNT,
        names="AccessDenied NotAuthorized Unauthorized* ExpiredToken* UnrecognizedClient OptInRequired "
        "UnknownOperation InvalidAccessKeyId",
        source="AWS, common errors",
    ),
    Rule(name="ses_aborted", five=UNKNOWN, names="RequestAborted RequestTimeout", source="AWS, common errors"),
    Rule(
        name="ses_content",
        five=CONTENT,
        names="MessageRejected BadRequest Validation ValidationError InvalidParameter* InvalidQueryParameter "
        "MissingParameter MalformedQueryString RequestEntityTooLarge",
        source="SESv2 model: texts are not documented; a row of the same one stops the batch",
    ),
    Rule(
        name="ses_internal",
        five=UNKNOWN,
        names="InternalFailure InternalService* InternalServerError ServiceUnavailable",
        source="AWS, common errors: nothing promises that it was not taken",
    ),
    *HTTP,
)


def classify_ses(code: str, *, status: int, text: str = "", sender: str = "") -> Answer:
    """Return what an error of `SendEmail` means.

    `code` is the error's code, `status` the HTTP status (0: none), `text` its message, `sender` the address of From.
    """
    name = code.removesuffix("Exception").removesuffix("Error") if code != "ValidationError" else code
    words = _marked(bounded(text).lower(), sender.lower())
    return decided(SES, Question(code=str(status), names=(name,), words=words))


def _marked(text: str, sender: str) -> str:
    """Return the text with the sender's address, and its domain or one above it that is named alone, as `<sender>`."""
    local, at, domain = sender.rpartition("@")
    if not at or not domain:
        return text
    labels = domain.split(".")
    # Each domain above it, down to two labels: an identity covers its subdomains.
    for name in [".".join(labels[start:]) for start in range(max(1, len(labels) - 1))]:
        text = re.sub(rf"(?<![\w.@-])(?:{re.escape(local)}@)?{re.escape(name)}(?![\w-]|\.\w)", "<sender>", text)
    return text
