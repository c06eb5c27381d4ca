"""Tokens of time stamping authorities (RFC 3161) over HTTP: a nonce, the certificates, and every answer checked.

An authority is written `ROOTS.pem=URL`, with `#OID` behind it for the policy that a token must have. Tokens are signed, so
the URL may be http. What an authority answers is from outside: it is bounded in size and time, and checked by
`rfc3161_client`: signature, chain to the roots at the time of the token, purpose, nonce, policy, and the stamped bytes. What
that leaves out is checked here: the hash, and that the time is neither before the seal nor in the future.
"""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from mailroom.adapters.http import CallCut
from mailroom.domain.archive.seals import Token
from mailroom.domain.errors import ConfigurationError, TransientError

log = logging.getLogger("mailroom.seals")

#: A token with its certificates has some kilobytes.
_MOST_BYTES = 1 << 16
#: How long an authority may take in all, and for each read.
_LONGEST_S, _READ_S = 20.0, 10.0
#: How far an authority's clock may be behind ours, and ahead of it.
_BEHIND, _AHEAD = timedelta(minutes=1), timedelta(minutes=5)
_SHA512 = x509.ObjectIdentifier("2.16.840.1.101.3.4.2.3")


@dataclass(frozen=True, slots=True)
class Authority:
    """A time stamping authority: its URL, the certificates (PEM) to which its own must lead, and its policy if one is required."""

    url: str
    roots: str
    policy: str = ""

    @classmethod
    def read(cls, word: str) -> "Authority":
        """Return the authority in a word of the setting.

        Raises:
            ConfigurationError: the word, or its file of roots, cannot be used.
        """
        path, _, url = word.partition("=")
        url, _, policy = url.partition("#")
        if not url.startswith(("https://", "http://")):
            raise ConfigurationError("MAILROOM_TIME_STAMPING has a word that is not ROOTS.pem=URL")
        try:
            roots = Path(path).read_text()
            x509.load_pem_x509_certificates(roots.encode())
            if policy:
                x509.ObjectIdentifier(policy)
        except (OSError, ValueError):
            raise ConfigurationError(
                f"MAILROOM_TIME_STAMPING: {path} cannot be read as certificates in PEM, or the policy is no OID"
            ) from None
        return cls(url, roots, policy)


class Rfc3161Authorities:
    """The port `TimeStamping`: the authorities are asked in their order, until one answers with a valid token."""

    def __init__(
        self,
        authorities: Sequence[Authority],
        *,
        post: Callable[[str, bytes], bytes] | None = None,
    ) -> None:
        self._authorities, self._post = authorities, post or post_request

    def stamp(self, document: bytes, *, not_before: datetime, now: datetime) -> Token:
        """Return a valid token; see the port."""
        for authority in self._authorities:
            try:
                return self._token(authority, document, not_before=not_before, now=now)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError, VerificationError, OverflowError) as error:
                log.warning("no token from %s: %s", authority.url, _why(error))
        raise TransientError("no time stamping authority gives a valid token")

    def _token(self, authority: Authority, document: bytes, *, not_before: datetime, now: datetime) -> Token:
        request = TimestampRequestBuilder().data(document).hash_algorithm(HashAlgorithm.SHA512).build()
        body = self._post(authority.url, request.as_bytes())
        response = decode_timestamp_response(body)
        roots = x509.load_pem_x509_certificates(authority.roots.encode())
        policy = x509.ObjectIdentifier(authority.policy) if authority.policy else None
        VerifierBuilder(roots=roots, nonce=request.nonce, policy_id=policy).build().verify(
            response, hashlib.sha512(document).digest()
        )
        info = response.tst_info
        if info.message_imprint.hash_algorithm != _SHA512:
            raise ValueError("the token is over another hash")
        if info.gen_time < not_before - _BEHIND:
            raise ValueError("the token is older than the seal")
        if info.gen_time > now + _AHEAD:
            raise ValueError("the token is from the future")
        return Token(body, info.gen_time, _signer(response).not_valid_after_utc, authority.url, authority.roots)


def post_request(url: str, request: bytes, *, longest_s: float = _LONGEST_S) -> bytes:
    """Return an authority's answer, if it is small and comes in time.

    Raises:
        httpx.HTTPError: it cannot be reached, or takes too long.
        ValueError: it refuses, or its answer is too large.
    """
    cut, body = CallCut(), b""
    headers = {"Content-Type": "application/timestamp-query", "Accept-Encoding": "identity"}
    timer = threading.Timer(longest_s, cut)
    timer.daemon = True
    timer.start()
    try:
        with httpx.Client(timeout=min(_READ_S, longest_s), follow_redirects=False) as client:
            asked = client.build_request("POST", url, content=request, headers=headers, extensions={"trace": cut.trace})
            answer = client.send(asked, stream=True)
            if answer.status_code != 200:
                raise ValueError(f"the authority answers with status {answer.status_code}")
            for piece in answer.iter_raw():
                body += piece
                if len(body) > _MOST_BYTES:
                    raise ValueError("the authority's answer is too large")
    finally:
        timer.cancel()
    return body


def _signer(response: TimeStampResponse) -> x509.Certificate:
    """Return the certificate that signed the token."""
    [signer] = response.signed_data.signer_infos
    certificates = [x509.load_der_x509_certificate(one) for one in response.signed_data.certificates]
    return next(
        one for one in certificates if one.issuer == signer.issuer and one.serial_number == signer.serial_number
    )


def _why(error: Exception) -> str:
    """Return why a token was refused: our own sentences and the library's; of others the type, they may quote the answer."""
    return str(error) if isinstance(error, (ValueError, VerificationError)) else type(error).__name__
