"""The port `Webhooks` in memory and over HTTP: what is posted, and what a response means. Allowed URLs are in
`test_webhooks_http`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request, Response

from mailroom.adapters.http import HttpWebhooks
from mailroom.domain.delivery.webhook_targets import WebhookTargets
from mailroom.domain.errors import Refused, TransientError
from mailroom.ports.webhooks import Webhooks
from mailroom.testing.webhooks import MemoryWebhooks
from tests.support.http_server import serving


@dataclass
class Endpoint:
    """A tenant's endpoint over HTTP: answers with the statuses that a test queues, then 204."""

    answers: list[Any] = field(default_factory=list)
    posts: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/{anything:path}")
        async def take(request: Request) -> Response:
            self.posts.append((str(request.url), await request.body(), dict(request.headers)))
            status = self.answers.pop(0) if self.answers else 204
            return Response(status_code=status, headers={"Location": f"{self.url}/elsewhere"})

        return app


@dataclass(frozen=True, slots=True)
class Case:
    """A `Webhooks`, and the endpoint that it posts to."""

    webhooks: Webhooks
    endpoint: Any
    url: str

    def post(self, body: bytes = b"{}") -> int:
        return self.webhooks.post(f"{self.url}/events?x=1", body, {"mailroom-delivery": "d-1"})


@pytest.fixture(params=["memory", "http"])
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    if request.param == "memory":
        memory = MemoryWebhooks()
        yield Case(memory, memory, "https://acme.test")
        return
    endpoint = Endpoint()
    with serving(endpoint.app()) as endpoint.url:
        yield Case(HttpWebhooks(WebhookTargets(anywhere=True)), endpoint, endpoint.url)


@pytest.mark.parametrize("status", [200, 202, 204])
def test_a_post_arrives_once_with_its_body_and_headers(case: Case, status: int) -> None:
    """The tenant checks the signature over exactly these bytes."""
    case.endpoint.answers.append(status)

    answered = case.post(b'{"a": "\xc3\xa9"}')

    [(url, body, headers)] = case.endpoint.posts
    assert answered == status
    assert (url, body) == (f"{case.url}/events?x=1", b'{"a": "\xc3\xa9"}')
    assert headers["mailroom-delivery"] == "d-1"


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 503])
def test_an_unavailable_endpoint_is_tried_again(case: Case, status: int) -> None:
    """One try for each post: the status decides elsewhere when to repeat it."""
    case.endpoint.answers.append(status)

    with pytest.raises(TransientError) as caught:
        case.post()

    assert caught.value.facts["status"] == status
    assert len(case.endpoint.posts) == 1
    assert case.post() == 204


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410])
def test_an_endpoint_that_refuses_is_not_tried_again_and_no_redirect_is_followed(case: Case, status: int) -> None:
    """A redirect would lead where the URL itself may not."""
    case.endpoint.answers.append(status)

    with pytest.raises(Refused) as caught:
        case.post()

    assert caught.value.facts["status"] == status
    assert len(case.endpoint.posts) == 1
