"""How SNS's signing certificates are had: one try, no redirect, and what cannot be had is told apart from what is none."""

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
    """Answers what the test says, and remembers what was asked."""

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
def test_certificate_is_had_or_refused_or_may_be_had_later(kind: Callable[[bytes | Exception], Certificates]) -> None:
    """The verifier makes three answers of it: believed, refused, and come again."""
    assert kind(PEM).fetch(URL) == PEM
    for answer in (AWAY, NONE):
        with pytest.raises(type(answer)):
            kind(answer).fetch(URL)


def test_certificate_is_had_once() -> None:
    """Its name is its own for ever."""
    place = Place(httpx.Response(200, content=b"pem"))
    certificates = place.certificates()

    assert [certificates.fetch(URL) for _ in range(3)] == [b"pem"] * 3
    assert place.asked == [URL]


def test_redirect_is_not_followed() -> None:
    """SNS never redirects; whoever makes it do so would choose the next address."""
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
def test_what_cannot_be_had_now_may_be_had_later(make: Callable[[], httpx.Response | Exception]) -> None:
    """The post is answered so that it comes again; nothing is remembered."""
    place = Place(make())
    certificates = place.certificates()

    with pytest.raises(TransientError):
        certificates.fetch(URL)
    place.answer = httpx.Response(200, content=b"pem")

    assert certificates.fetch(URL) == b"pem"


@pytest.mark.parametrize("answer", [httpx.Response(404), httpx.Response(200, content=b"x" * 100_000)])
def test_what_is_none_is_refused(answer: httpx.Response) -> None:
    """A place without a certificate, or with something far larger."""
    with pytest.raises(Unverified):
        Place(answer).certificates().fetch(URL)


def test_only_so_many_are_kept() -> None:
    """Whoever posts many names must not fill the memory."""
    place = Place(httpx.Response(200, content=b"pem"))
    certificates = place.certificates()

    for number in range(150):
        certificates.fetch(URL.replace("0a0a", f"{number:04x}", 1))
    certificates.fetch(URL.replace("0a0a", "0000", 1))

    assert len(place.asked) == 151
