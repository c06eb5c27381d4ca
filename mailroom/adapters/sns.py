"""Amazon SNS as a receiver of its posts needs it: the certificates that it signs with, and answers to its questions."""

import threading
from typing import Any
from urllib.parse import urlsplit

import httpx

from mailroom.adapters.aws import translated
from mailroom.domain.errors import TransientError
from mailroom.webhooks.sns import Subscription, Unverified

_TIMEOUT_S = 5.0
_MOST_PEM_BYTES = 64 * 1024
_MOST_KEPT = 32


class SnsCertificates:
    """The port `Certificates` over HTTPS; what was fetched once is kept, what failed is not.

    `instead` is where an emulator has them, in place of https://sns.<region>.amazonaws.com.
    """

    def __init__(self, *, instead: str = "") -> None:
        self._instead = instead.rstrip("/")
        self._http = httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False)
        self._kept: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def fetch(self, url: str) -> bytes:
        """Return the PEM at `url`."""
        with self._lock:
            if url in self._kept:
                return self._kept[url]
        pem = self._get(url)
        with self._lock:
            if len(self._kept) >= _MOST_KEPT:
                self._kept.clear()
            self._kept[url] = pem
        return pem

    def _get(self, url: str) -> bytes:
        parts, headers = urlsplit(url), {}
        if self._instead:
            # The emulator tells its services apart by the scope of the credentials, and here there is no other sign.
            region = (parts.hostname or "").split(".")[1]
            scope = f"Credential=x/20260101/{region}/sns/aws4_request"
            headers["Authorization"] = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=x"
        try:
            answer = self._http.get(f"{self._instead}{parts.path}" if self._instead else url, headers=headers)
        except httpx.HTTPError as error:
            raise TransientError("the signing certificate cannot be had", kind=type(error).__name__) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            raise TransientError("the signing certificate cannot be had", status=answer.status_code)
        if answer.status_code != 200 or len(answer.content) > _MOST_PEM_BYTES:
            raise Unverified(step="certificate", status=answer.status_code)
        return answer.content


class SnsSubscriptions:
    """Confirms subscriptions through the API, with credentials of our own: no address of a post is ever called."""

    def __init__(self, sns: Any) -> None:
        self._sns = sns

    def confirm(self, asked: Subscription) -> None:
        """Answer the topic's question."""
        with translated("sns"):
            # Nobody without credentials may end the subscription by the link that each notification carries.
            self._sns.confirm_subscription(
                TopicArn=asked.topic_arn, Token=asked.token, AuthenticateOnUnsubscribe="true"
            )
