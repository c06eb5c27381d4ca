"""Amazon SES v2: raw mails with tags, a configuration set and a tenant.

SES has no idempotency key, so the client must not retry by itself: botocore's retry modes send again after a timeout. `Ses`
refuses a client that would. SES replaces Message-ID and Date; the id in a receipt is `messageId` in its events. The outcome
of a mail cannot be queried.

Source: botocore's model of SESv2 (1.44), SES developer guide, "Managing quotas" and "Tenants".
"""

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
from mailroom.domain.outbound.answers.ses import classify_ses
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
