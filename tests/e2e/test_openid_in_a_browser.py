"""Signing in with OpenID Connect in a real browser, at a real provider, which is another site. It needs no stack."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Browser, expect
from pydantic import SecretStr

from mailroom.adapters.openid import OpenIdConnect
from mailroom.api.app import create_app
from mailroom.api.services import OpenIdServices
from mailroom.domain.people import Role
from mailroom.ports.inbox_reader import InboxLine
from mailroom.ports.people import NewPerson
from mailroom.testing.api import Memory
from tests.support.http_server import serving
from tests.support.loopback_ports import free_port
from tests.support.openid_providers import CLIENT, SECRET, real_provider

ADA = "ada@acme.test"


@contextmanager
def site(issuer: str) -> Iterator[str]:
    """Yield the URL of our service, which knows Ada."""
    memory, port = Memory(), free_port()
    memory.people.add(NewPerson(ADA, Role.MEMBER, "acme", (ADA,), "cli"))
    memory.reader.addresses = [InboxLine(ADA, "acme", "ada", 0, None)]
    url, services = f"http://127.0.0.1:{port}", memory.services()
    values = {"openid_issuer": issuer, "openid_client_id": CLIENT, "openid_client_secret": SecretStr(SECRET)}
    provider = OpenIdConnect(issuer=issuer, client_id=CLIENT, client_secret=SECRET, pages_at=url, name="Acme")
    settings = services.settings.model_copy(update=values | {"pages_url": url})
    app = create_app(
        replace(services, settings=settings, openid=OpenIdServices(provider), now=lambda: datetime.now(UTC))
    )
    with serving(app, port=port):
        yield url


def test_a_person_opens_an_inbox_by_way_of_the_provider(browser: Browser, tmp_path: Path) -> None:
    """The page, the button, the provider's form, and the page that was asked for; a stranger reads that no account was made."""
    with real_provider(tmp_path) as issuer, site(issuer) as url:
        for address in (ADA, "eve@acme.test"):
            claims = {"email": address, "email_verified": True}
            httpx.put(f"{issuer}/users/{address}", json=claims).raise_for_status()

        tab = browser.new_page()
        tab.goto(f"{url}/inboxes/{ADA}")
        tab.get_by_role("link", name="Sign in with Acme").click()
        tab.locator("input[name=sub]").first.fill(ADA)
        tab.locator("input[name=sub]").first.press("Enter")

        expect(tab).to_have_url(f"{url}/inboxes/{ADA}")
        expect(tab.get_by_role("heading", level=1)).to_contain_text(ADA)
        tab.close()

        stranger = browser.new_page()
        stranger.goto(f"{url}/sign-in")
        stranger.get_by_role("link", name="Sign in with Acme").click()
        stranger.locator("input[name=sub]").first.fill("eve@acme.test")
        stranger.locator("input[name=sub]").first.press("Enter")

        expect(stranger.get_by_role("alert")).to_contain_text("no account was made")
        stranger.goto(f"{url}/inboxes/{ADA}")
        expect(stranger.get_by_role("heading", level=1)).to_have_text("Sign in to Mailroom")
        stranger.close()
