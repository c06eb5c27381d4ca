"""Fetching SNS's signing certificates: one try, no redirect; unreachable and invalid are different errors."""

from collections.abc import Callable

import httpx
import pytest

from mailroom.adapters.aws.sns import SnsCertificates
from mailroom.delivery.provider_events.sns import Certificates, Unverified
from mailroom.domain.errors import TransientError
from mailroom.testing.sns import MemoryCertificates

URL = f"https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-{'0a' * 16}.pem"


PEM, AWAY, NONE = b"pem", TransientError("away"), Unverified(step="certificate")


class Place:
    """Answers as the test says, and records requests."""

    def __init__(self, answer: httpx.Response | Exception) -> None:
        self.answer = answer
        self.asked: list[str] = []

    def certificates(self) -> SnsCertificates:
        return SnsCertificates(transport=httpx.MockTransport(self._handle))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def over_https(answer: bytes | Exception) -> Certificates:
    if isinstance(answer, bytes):
        return Place(httpx.Response(200, content=answer)).certificates()
    return Place(httpx.Response(404 if isinstance(answer, Unverified) else 503)).certificates()


@pytest.mark.parametrize("kind", [MemoryCertificates, over_https])
def test_certificate_is_fetched_or_refused_or_can_be_retried(kind: Callable[[bytes | Exception], Certificates]) -> None:
    """The verifier accepts the post, refuses it, or has it sent again."""
    assert kind(PEM).fetch(URL) == PEM
    for answer in (AWAY, NONE):
        with pytest.raises(type(answer)):
            kind(answer).fetch(URL)


def test_certificate_is_fetched_once() -> None:
    """A certificate's URL never changes its content."""
    place = Place(httpx.Response(200, content=b"pem"))
    certificates = place.certificates()

    assert [certificates.fetch(URL) for _ in range(3)] == [b"pem"] * 3
    assert place.asked == [URL]


def test_redirect_is_not_followed() -> None:
    """SNS never redirects; a redirect would let an attacker choose the next address."""
    place = Place(httpx.Response(302, headers={"Location": "http://169.254.169.254/latest/meta-data/"}))

    with pytest.raises(Unverified):
        place.certificates().fetch(URL)

    assert place.asked == [URL]


@pytest.mark.parametrize(
    "make",
    [
        lambda: httpx.Response(500),
        lambda: httpx.Response(429),
        lambda: httpx.ConnectError("no route"),
        lambda: httpx.ReadTimeout("slow"),
    ],
)
def test_unreachable_certificate_can_be_retried(make: Callable[[], httpx.Response | Exception]) -> None:
    """The post is answered so that it is sent again; nothing is cached."""
    place = Place(make())
    certificates = place.certificates()

    with pytest.raises(TransientError):
        certificates.fetch(URL)
    place.answer = httpx.Response(200, content=b"pem")

    assert certificates.fetch(URL) == b"pem"


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(200, content=b"x" * 100_000)])
def test_an_answer_without_a_certificate_is_refused(answer: httpx.Response) -> None:
    """A URL without a certificate, or with something far larger."""
    with pytest.raises(Unverified):
        Place(answer).certificates().fetch(URL)


def test_the_cache_of_certificates_is_bounded() -> None:
    """Posts with many URLs must not fill the memory."""
    place = Place(httpx.Response(200, content=b"pem"))
    certificates = place.certificates()

    for number in range(150):
        certificates.fetch(URL.replace("0a0a", f"{number:04x}", 1))
    certificates.fetch(URL.replace("0a0a", "0000", 1))

    assert len(place.asked) == 151
