"""Amazon SES v2: raw mails with tags, a configuration set and a tenant.

SES has no idempotency key, so the client must not retry by itself: botocore's retry modes send again after a timeout. `Ses`
refuses a client that would. SES replaces Message-ID and Date; the id in a receipt is `messageId` in its events. The outcome
of a mail cannot be queried.

Source: botocore's model of SESv2 (1.44), SES developer guide, "Managing quotas" and "Tenants".
"""

import re
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ProxyConnectionError,
)

from mailroom.adapters.aws.clients import client_settings, error_code, translated
from mailroom.adapters.providers.capability_checks import require, require_size
from mailroom.adapters.providers.no_outcome_query import NoOutcomeQuery
from mailroom.domain.errors import (
    ConfigurationError,
    ContentRefused,
    MailroomError,
    OutcomeUnknown,
    PermanentError,
    TransientError,
)
from mailroom.domain.mail.mime import TAG, mime
from mailroom.domain.outbound.answers import error_of
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
from mailroom.domain.outbound.content_rules import on_the_wire
from mailroom.domain.outbound.message import Outgoing
from mailroom.operations.fresh import Fresh
from mailroom.ports.provider import Capabilities, ProviderQuota, ProviderReceipt

_NEVER_CONNECTED = (
    EndpointConnectionError,
    ConnectTimeoutError,
    ProxyConnectionError,
    NoCredentialsError,
    CredentialRetrievalError,
)
#: SES allows one such request a second, for the whole account.
_QUOTA_FRESH_S = 60


def once(*, timeout_s: float = 60) -> dict[str, Any]:
    """Return arguments of botocore's `Config` for a client that sends each request once."""
    return client_settings(tries=1, timeout_s=timeout_s)


class Ses(NoOutcomeQuery):
    """The port `MailProvider` on SES; `client` is boto3's `sesv2` with the settings of `once()`."""

    name = "ses"
    capabilities = Capabilities(max_bytes=40 * 10**6)

    def __init__(
        self,
        client: Any,
        *,
        account_id: str,
        configuration_set: str | None = None,
        tenant: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if (client.meta.config.retries or {}).get("total_max_attempts") != 1:
            raise ConfigurationError("the SES client must not retry; build it with `Config(**once())`")
        self.identity = f"{self.name}/{account_id}/{client.meta.region_name}"
        self._client = client
        named = {"ConfigurationSetName": configuration_set, "TenantName": tenant}
        self._named = {name: value for name, value in named.items() if value is not None}
        self._quota = Fresh(self._ask_quota, _QUOTA_FRESH_S, clock=clock)

    def send(self, mails: Sequence[Outgoing]) -> list[ProviderReceipt | MailroomError]:
        """Send each mail once, one call for each."""
        return [self._send(mail) for mail in mails]

    def quota(self) -> ProviderQuota:
        """Return the account's quota, read once a minute; an empty one if the permission is missing.

        Raises:
            TransientError: SES cannot answer now.
        """
        return self._quota.get()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, mail: Outgoing) -> ProviderReceipt | MailroomError:
        try:
            require(mail, self.capabilities, provider=self.name)
            domain = on_the_wire(mail.from_.address).rpartition("@")[2]
            raw = mime(mail, message_id=f"{mail.id}@{domain}", date=datetime.now(UTC))
            require_size(len(raw), self.capabilities, provider=self.name)
            answer = self._client.send_email(
                Destination={"ToAddresses": [on_the_wire(mail.to.address)]},
                Content={"Raw": {"Data": raw}},
                EmailTags=[{"Name": TAG, "Value": mail.id}],
                **self._named,
            )
        except MailroomError as error:
            return error
        except (ClientError, BotoCoreError) as error:
            return _error(error, on_the_wire(mail.from_.address))
        known = answer.get("MessageId")
        if not known:
            return OutcomeUnknown("the provider's response does not mention the mail", provider=self.name)
        return ProviderReceipt(self.name, known)

    def _ask_quota(self) -> ProviderQuota:
        try:
            with translated(self.name):
                account = self._client.get_account()
        except PermanentError:
            return ProviderQuota()
        values = account.get("SendQuota", {})
        per_day = values.get("Max24HourSend", -1)
        return ProviderQuota(
            per_second=values.get("MaxSendRate"),
            # -1 means no limit.
            per_day=None if per_day < 0 else int(per_day),
            sent_today=int(values.get("SentLast24Hours", 0)),
            paused=not account.get("SendingEnabled", True) or account.get("EnforcementStatus") == "SHUTDOWN",
        )


def _error(error: ClientError | BotoCoreError, sender: str) -> MailroomError:
    if isinstance(error, ClientError):
        code = error_code(error)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        text = str(error.response.get("Error", {}).get("Message", ""))
        domain = sender.rpartition("@")[2].lower()
        found = classify_ses(code, status=status, text=text, sender=sender)
        return error_of(found, sender_domain=domain, provider=Ses.name, code=code, status=status)
    facts = {"provider": Ses.name, "kind": type(error).__name__}
    if isinstance(error, ParamValidationError):
        return ContentRefused("the provider's client library refused the mail", **facts)
    if isinstance(error, _NEVER_CONNECTED):
        return TransientError("the provider cannot be reached", **facts)
    return OutcomeUnknown("the provider's response was lost", **facts)


# What its answers mean: the exceptions of `SendEmail` in botocore's model, and the errors common to all of AWS.

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
