"""What the answers of HTTP APIs mean: every exception of SES's model and of AWS, SendGrid's and Postmark's lists."""

import botocore.session
import pytest

from mailroom.adapters.providers.postmark import classify_postmark
from mailroom.adapters.providers.sendgrid import classify_sendgrid
from mailroom.adapters.providers.ses import classify_ses
from mailroom.domain.outbound.answers import (
    Answer,
    AnswerClass,
    Suppress,
    classify_http,
)

SENDER = "billing@mail.acme.example"
K = AnswerClass
#: Every exception of `SendEmail` in botocore's model, with its HTTP status there.
OF_THE_MODEL = {
    "TooManyRequestsException": K.THROTTLED,
    "LimitExceededException": K.THROTTLED,
    "AccountSuspendedException": K.ACCOUNT,
    "SendingPausedException": K.ACCOUNT,
    "MessageRejected": K.CONTENT_REFUSED,
    "MailFromDomainNotVerifiedException": K.SENDER,
    "NotFoundException": K.ACCOUNT,
    "BadRequestException": K.CONTENT_REFUSED,
}
#: AWS, "Common errors", with the HTTP statuses that it lists.
COMMON = [
    ("AccessDeniedException", 403, K.ACCOUNT),
    ("ExpiredTokenException", 403, K.ACCOUNT),
    ("IncompleteSignature", 403, K.ACCOUNT),
    ("IncompleteSignature", 400, K.ACCOUNT),
    ("InternalFailure", 500, K.UNKNOWN),
    ("InternalServiceErrorException", 500, K.UNKNOWN),
    ("MalformedHttpRequestException", 400, K.ACCOUNT),
    ("NotAuthorized", 401, K.ACCOUNT),
    ("NotAuthorized", 400, K.ACCOUNT),
    ("OptInRequired", 403, K.ACCOUNT),
    ("RequestAbortedException", 400, K.UNKNOWN),
    ("RequestEntityTooLargeException", 413, K.CONTENT_REFUSED),
    ("RequestExpired", 400, K.ACCOUNT),
    ("RequestTimeoutException", 408, K.UNKNOWN),
    ("ServiceUnavailable", 503, K.UNKNOWN),
    ("ThrottlingException", 400, K.THROTTLED),
    ("Throttling", 400, K.THROTTLED),
    ("UnrecognizedClientException", 403, K.ACCOUNT),
    ("UnrecognizedClientException", 400, K.ACCOUNT),
    ("UnknownOperationException", 404, K.ACCOUNT),
    ("ValidationError", 400, K.CONTENT_REFUSED),
    ("ValidationException", 400, K.CONTENT_REFUSED),
    ("InvalidClientTokenId", 403, K.ACCOUNT),
    ("SignatureDoesNotMatch", 403, K.ACCOUNT),
    ("MissingAuthenticationToken", 403, K.ACCOUNT),
    ("InvalidAction", 400, K.ACCOUNT),
    ("MissingParameter", 400, K.CONTENT_REFUSED),
    ("SomethingNew", 400, K.CONTENT_REFUSED),
    ("SomethingNew", 500, K.UNKNOWN),
    ("", 0, K.UNKNOWN),
]


def ses(code: str, status: int, text: str = "") -> Answer:
    return classify_ses(code, status=status, text=text, sender=SENDER)


def test_every_exception_of_ses_is_classified() -> None:
    """A new one in botocore's model must be decided by a person, not by its HTTP status."""
    model = botocore.session.get_session().get_service_model("sesv2").operation_model("SendEmail")
    statuses = {shape.name: shape.metadata.get("error", {}).get("httpStatusCode", 400) for shape in model.error_shapes}

    assert {name: ses(name, status).kind for name, status in statuses.items()} == OF_THE_MODEL


@pytest.mark.parametrize(("code", "status", "kind"), COMMON)
def test_every_common_error_of_aws_is_classified(code: str, status: int, kind: AnswerClass) -> None:
    """RequestExpired is a clock, not a mail; after 5xx nothing promises that the mail was not taken."""
    assert ses(code, status).kind is kind


@pytest.mark.parametrize(
    ("code", "status", "text", "kind"),
    [
        ("TooManyRequestsException", 429, "Daily message quota exceeded.", K.DAILY_QUOTA),
        ("ThrottlingException", 400, "Daily message quota exceeded", K.DAILY_QUOTA),
        ("Throttling", 400, "Maximum sending rate exceeded.", K.THROTTLED),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed the check in region EU-WEST-1: mail.acme.example", K.SENDER),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed the check in region EU-WEST-1: acme.example", K.SENDER),
        ("MessageRejected", 400, f"Email address is not verified. The following identities failed the check in region EU-WEST-1: {SENDER}, bob@example.com", K.SENDER),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed the check in region EU-WEST-1: BILLING@MAIL.ACME.EXAMPLE", K.SENDER),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed the check in region EU-WEST-1: bob@example.com", K.ACCOUNT),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed the check in region EU-WEST-1: bob@notmail.acme.example.com", K.ACCOUNT),
        ("MessageRejected", 400, "Email address is not verified. The following identities failed the check in region EU-WEST-1: bob@example.com, ...", K.SENDER),
        ("MessageRejected", 400, "Email address not verified billing@mail.acme.example", K.SENDER),
        ("MessageRejected", 400, "Sending suspended for this account. For more information, please check the inbox of the email address", K.ACCOUNT),
        ("MessageRejected", 400, "Address blacklisted.", K.CONTENT_REFUSED),
        ("MessageRejected", 400, "", K.CONTENT_REFUSED),
    ],
)  # fmt: skip
def test_words_decide_where_ses_has_one_code_for_several_faults(
    code: str, status: int, text: str, kind: AnswerClass
) -> None:
    """Only the recipient named: the account is in the sandbox. From's domain, or one above it: that sender."""
    assert ses(code, status, text).kind is kind


@pytest.mark.parametrize(
    ("status", "field", "text", "kind", "suppress"),
    [
        (400, "personalizations.0.to.0.email", "Does not contain a valid address.", K.RECIPIENT_PERMANENT, "hard"),
        (400, "personalizations", "The personalizations field is required and must have at least one personalization.", K.RECIPIENT_PERMANENT, "none"),
        (400, "to", "not a valid address: bob@example.com", K.RECIPIENT_PERMANENT, "hard"),
        (400, "from.email", "The from email does not contain a valid address.", K.SENDER, "none"),
        (400, "from", "The from address does not match a verified Sender Identity.", K.SENDER, "none"),
        (400, "reply_to.email", "The reply_to email does not contain a valid address.", K.CONTENT_REFUSED, "none"),
        (400, "reply_to", "The reply_to parameter must be an object.", K.CONTENT_REFUSED, "none"),
        (400, "reply_to_list.0.email", "Does not contain a valid address.", K.CONTENT_REFUSED, "none"),
        (400, "from.name", "The name must be a string.", K.SENDER, "none"),
        (400, "subject", "The subject is required.", K.CONTENT_REFUSED, "none"),
        (400, "content.0.value", "The content value must be a string at least one character in length.", K.CONTENT_REFUSED, "none"),
        (400, "attachments.0.content", "The attachment content must be base64 encoded.", K.CONTENT_REFUSED, "none"),
        (400, "headers", "header is reserved", K.CONTENT_REFUSED, "none"),
        (400, "", "Bad Request", K.CONTENT_REFUSED, "none"),
        (401, "", "Maximum credits exceeded", K.DAILY_QUOTA, "none"),
        (401, "", "The provided authorization grant is invalid, expired, or revoked", K.ACCOUNT, "none"),
        (403, "from", "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved.", K.SENDER, "none"),
        (403, "", "access forbidden", K.ACCOUNT, "none"),
        (404, "", "not found", K.ACCOUNT, "none"),
        (405, "", "method not allowed", K.ACCOUNT, "none"),
        (406, "", "missing Accept header", K.ACCOUNT, "none"),
        (415, "", "Content-Type should be application/json.", K.ACCOUNT, "none"),
        (413, "", "The JSON payload you have included in your request is too large.", K.CONTENT_REFUSED, "none"),
        (429, "", "too many requests", K.THROTTLED, "none"),
        (408, "", "", K.UNKNOWN, "none"),
        (500, "", "", K.UNKNOWN, "none"),
        (503, "", "", K.UNKNOWN, "none"),
        (307, "", "", K.ACCOUNT, "none"),
        (200, "", "", K.UNKNOWN, "none"),
    ],
)  # fmt: skip
def test_sendgrid_names_the_field(status: int, field: str, text: str, kind: AnswerClass, suppress: str) -> None:
    """A 400 is a sender's, a recipient's or a content's fault; a 401 may be credits that are used up."""
    answer = classify_sendgrid(status, fields=(field,) if field else (), text=text)

    assert (answer.kind, answer.suppress.value) == (kind, suppress)


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        ([10, 412, 413], K.ACCOUNT),
        ([400, 401], K.SENDER),
        ([405], K.DAILY_QUOTA),
        ([100], K.PROVIDER_TEMPORARY),
        ([429], K.THROTTLED),
        ([402, 403, 409, 410, 600, 700, 701, 1101, 1200, 1211, 1235, 1236, 31337], K.ACCOUNT),
        ([406], K.RECIPIENT_PERMANENT),
        ([300, 411], K.CONTENT_REFUSED),
    ],
)
def test_every_code_of_postmark_is_classified(codes: list[int], kind: AnswerClass) -> None:
    """The mails of a call each have their own under HTTP 200; a code that nobody knows stops, it fails no mail."""
    assert {classify_postmark(code, status=200, text="").kind for code in codes} == {kind}


@pytest.mark.parametrize(
    ("text", "kind", "suppress"),
    [
        ("Invalid 'To' address: 'from@example.com'.", K.RECIPIENT_PERMANENT, "hard"),
        ("Error parsing 'To': Illegal email domain 'x' in address 'bob@x'.", K.RECIPIENT_PERMANENT, "hard"),
        ("Zero recipients specified", K.RECIPIENT_PERMANENT, "hard"),
        ("Invalid 'From' address: 'acme'.", K.SENDER, "none"),
        ("Provide either email TextBody or HtmlBody or both.", K.CONTENT_REFUSED, "none"),
        ("Header name 'X Y' is invalid.", K.CONTENT_REFUSED, "none"),
    ],
)
def test_postmark_300_says_in_words_whose_fault_it_is(text: str, kind: AnswerClass, suppress: str) -> None:
    """One code for every fault of a request."""
    answer = classify_postmark(300, status=422, text=text)

    assert (answer.kind, answer.suppress.value) == (kind, suppress)


def test_postmark_s_inactive_recipient_is_on_its_list() -> None:
    """It is no hard bounce of ours: the account's owner may reactivate the address there."""
    assert classify_postmark(406).suppress is Suppress.PROVIDER_LIST


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (413, K.CONTENT_REFUSED),
        (429, K.THROTTLED),
        (500, K.UNKNOWN),
        (503, K.UNKNOWN),
        (401, K.ACCOUNT),
        (408, K.UNKNOWN),
    ],
)
def test_without_a_code_the_http_status_decides(status: int, kind: AnswerClass) -> None:
    """A 503 of a proxy names no code: it may have passed the request on. Postmark's maintenance says 100."""
    assert classify_postmark(0, status=status).kind is kind
    assert classify_http(status).kind is kind
    assert classify_postmark(100, status=503).kind is K.PROVIDER_TEMPORARY
