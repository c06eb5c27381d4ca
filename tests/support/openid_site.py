"""Our service with one OpenID Connect provider, and browsers."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import SecretStr

from mailroom.adapters.openid import OpenIdConnect
from mailroom.adapters.openid_http import ProviderHttp
from mailroom.api.app import create_app
from mailroom.api.services import OpenIdServices
from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.support.openid_providers import (
    CLIENT,
    SECRET,
)

PAGES = "https://mail.example"
CALLBACK = f"{PAGES}/sign-in-with-openid/callback"
ADA = "ada@acme.test"


@dataclass
class Site:
    """Our service, which asks one provider, and a browser."""

    memory: Memory
    browser: TestClient
    provider: OpenIdConnect
    app: Any
    offset: timedelta = timedelta()

    def begin(self, path: str = "/", browser: TestClient | None = None) -> str:
        """Press the button, and return the URL at the provider."""
        answer = (browser or self.browser).get("/sign-in-with-openid", params={"next": path}, headers=BROWSER)
        assert answer.status_code == 303, answer.text
        return str(answer.headers["location"])

    def come_back(self, url: str, browser: TestClient | None = None) -> Any:
        """Follow the provider's redirect."""
        assert url.startswith(CALLBACK)
        return (browser or self.browser).get(url, headers=BROWSER)

    def is_signed_in(self, browser: TestClient | None = None) -> bool:
        answer = (browser or self.browser).get("/", headers=BROWSER)
        assert answer.status_code in (200, 303)
        return bool(answer.status_code == 200)

    def another_browser(self) -> TestClient:
        return TestClient(self.app, base_url=PAGES, follow_redirects=False)


def site(issuer: str, *, http: ProviderHttp | None = None, **changes: Any) -> Site:
    memory = Memory()
    memory.people.add(NewPerson(ADA, Role.MEMBER, "acme", ("ada@acme.test",), "cli"))
    values = {"openid_issuer": issuer, "openid_client_id": CLIENT, "openid_client_secret": SecretStr(SECRET)}
    services = memory.services()
    settings = services.settings.model_copy(update={"pages_url": PAGES} | values | changes)
    provider = OpenIdConnect(
        issuer=issuer, client_id=CLIENT, client_secret=settings.openid_client_secret.get_secret_value(), pages_at=PAGES,
        name="Acme", http=http,
    )  # fmt: skip
    made = Site(memory, TestClient(None), provider, None)  # type: ignore[arg-type]
    made.app = create_app(
        replace(
            services, settings=settings, openid=OpenIdServices(provider), now=lambda: datetime.now(UTC) + made.offset
        )
    )
    made.browser = made.another_browser()
    return made
