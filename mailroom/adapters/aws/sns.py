"""SNS: signing certificates, and the confirmation of topic subscriptions."""

from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import httpx

from mailroom.adapters.aws.clients import translated
from mailroom.delivery.provider_events.sns import Unverified
from mailroom.domain.errors import TransientError

_MOST_KEPT = 100
_MOST_BYTES = 64 * 1024
_TIMEOUT_S = 5.0


class SnsCertificates:
    """The port `Certificates` over HTTPS: one try, no redirect, and each certificate is fetched once.

    Each SNS certificate has another name and never changes. With an `emulator` they are fetched there, for every region in
    their URL.
    """

    def __init__(self, *, emulator: str | None = None, transport: httpx.BaseTransport | None = None) -> None:
        self._emulator = emulator
        # Proxies of the environment are used: on many networks there is no other way out.
        self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, transport=transport)
        self._kept = lru_cache(maxsize=_MOST_KEPT)(self._get)

    def fetch(self, url: str) -> bytes:
        """Return the PEM at `url`, which the verifier has checked to be an SNS address."""
        return self._kept(url)

    def _get(self, url: str) -> bytes:
        headers = {}
        if self._emulator:
            parts = urlsplit(url)
            # moto distinguishes services by the credential scope when their host is not in the URL.
            region = (parts.hostname or "").split(".")[1]
            scope = f"Credential=sandbox/20260101/{region}/sns/aws4_request"
            headers["Authorization"] = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=none"
            url = self._emulator.rstrip("/") + parts.path
        try:
            answer = self._http.get(url, headers=headers)
        except httpx.HTTPError as error:
            raise TransientError(
                "an SNS signing certificate cannot be fetched now", kind=type(error).__name__
            ) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise TransientError("an SNS signing certificate cannot be fetched now", status=answer.status_code)
        if answer.status_code != 200 or len(answer.content) > _MOST_BYTES:
            raise Unverified(step="certificate", status=answer.status_code)
        return answer.content


class SnsTopics:
    """Confirms subscriptions through the API; an address from a message is never called."""

    def __init__(self, sns: Any) -> None:
        self._sns = sns

    def confirm(self, topic_arn: str, token: str) -> None:
        """Confirm the topic's subscription, which only its owner can end."""
        with translated("sns"):
            self._sns.confirm_subscription(TopicArn=topic_arn, Token=token, AuthenticateOnUnsubscribe="true")
