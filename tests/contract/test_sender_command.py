"""`mailroom sender verify`, with the emulator's SES and a Prefect server that has the blocks."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from fastapi import FastAPI, HTTPException
from typer.testing import CliRunner, Result

from mailroom.adapters.prefect.provider_blocks import ProviderBlocks
from mailroom.cli.sender import app
from mailroom.domain.errors import ConfigurationError, PermanentError, TransientError
from mailroom.sandbox.stack.environment import ACCOUNT
from mailroom.testing.api import settings
from tests.support.http_server import serving

SES = {"mailroom-outbound/outbound": {"provider": "mailroom-provider-ses/default"}}
SES["mailroom-provider-ses/default"] = {"account_id": ACCOUNT, "credentials": {"region_name": "eu-west-1"}}  # type: ignore[dict-item]


class Prefect:
    """The relevant part of a Prefect server: its block documents; secret fields are shown if they are asked for."""

    def __init__(self) -> None:
        self.blocks: dict[str, dict[str, Any]] = {}
        self.status = 200

    def app(self) -> FastAPI:
        made = FastAPI()

        @made.get("/api/block_types/slug/{slug}/block_documents/name/{name}")
        def document(slug: str, name: str, include_secrets: bool = False) -> dict[str, Any]:
            found = self.blocks.get(f"{slug}/{name}")
            if found is None or self.status != 200:
                raise HTTPException(404 if self.status == 200 else self.status)
            secret = {"dkim_key": "********"} if "dkim_key" in found and not include_secrets else {}
            return {"name": name, "data": found | secret}

        return made


@pytest.fixture
def prefect() -> Prefect:
    return Prefect()


@pytest.fixture(autouse=True)
def url(prefect: Prefect, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The server in the settings of an installation; it may be slow on a busy machine."""
    monkeypatch.setattr("mailroom.adapters.prefect.provider_blocks._TIMEOUT_S", 30.0)
    with serving(prefect.app()) as url:
        for name, value in settings().environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MAILROOM_PREFECT_API_URL", f"{url}/api")
        yield f"{url}/api"


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["verify", *words])


def seen(*words: str) -> Any:
    return json.loads(run(*words, "--json").stdout)


def test_new_domain_of_ses_is_created_only_when_asked_for(prefect: Prefect, aws: str) -> None:
    """Without --create nothing changes; with it the records are there, and the exit code says how far it is."""
    prefect.blocks = SES

    before = run("new.test")
    created = run("new.test", "--create", "--mail-from", "bounces.new.test")
    after = seen("new.test")

    assert (before.exit_code, created.exit_code) == (1, 0)
    assert "create it with `mailroom sender verify new.test --create`" in before.stdout
    assert [(one["purpose"], one["provider"]) for one in after["records"]] == [
        *[("DKIM", "verified")] * 3,
        ("MAIL FROM", "verified"),
        ("SPF", "verified"),
        ("DMARC", "unknown"),
    ]
    assert (after["state"], after["complete"]) == ("verified", True)
    assert seen("sub.new.test")["identity"] == "new.test"


def test_relay_shows_the_record_of_its_configured_key(prefect: Prefect) -> None:
    """The public part follows from the private key in the block; the key itself is not shown."""
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    prefect.blocks = {
        "mailroom-outbound/outbound": {"provider": "mailroom-provider-smtp/relay"},
        "mailroom-provider-smtp/relay": {
            "host": "relay.test",
            "dkim_domain": "acme.test",
            "dkim_selector": "m1",
            "dkim_key": pem,
        },
    }

    shown = run("acme.test", "--no-dns")

    assert shown.exit_code == 0, shown.output
    assert "m1._domainkey.acme.test" in shown.stdout
    assert "v=DKIM1; k=rsa; p=MIIB" in shown.stdout
    assert "PRIVATE" not in shown.output
    assert "SPF must allow the servers of relay.test" in shown.stdout


@pytest.mark.parametrize(("provider", "words"), [("sendgrid", "Sender Authentication"), ("postmark", "DNS Settings")])
def test_other_providers_name_their_console(prefect: Prefect, provider: str, words: str) -> None:
    """No API of theirs is asked."""
    prefect.blocks = {
        "mailroom-outbound/outbound": {"provider": f"mailroom-provider-{provider}/default"},
        f"mailroom-provider-{provider}/default": {},
    }

    assert words in run("acme.test", "--no-dns").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("desk@acme.test",), "is no domain"),
        (("acme.test", "--create", "--mail-from", "other.test"), "must be a subdomain"),
        (("acme.test", "--mail-from", "b.acme.test"), "use it with --create"),
        (("acme.test",), "no outbound block yet"),
        (("acme.test", "--create", "--provider", "postmark"), "--create is for SES"),
    ],
)
def test_mistakes_are_said_with_the_way_out(words: tuple[str, ...], says: str) -> None:
    """One clear line on stderr."""
    error = run(*words).exception

    assert isinstance(error, ConfigurationError)
    assert says in str(error)


def test_without_prefect_the_provider_can_be_named(prefect: Prefect, aws: str) -> None:
    """The command also works while Prefect is down."""
    prefect.status = 503

    assert "name one with --provider" in str(run("acme.test").exception)
    assert seen("no-such-identity.test", "--provider", "ses")["state"] == "missing"


def test_blocks_are_read_from_prefect(prefect: Prefect, url: str) -> None:
    """Secret fields only if asked for; an outage is transient, a refusal is not."""
    blocks = ProviderBlocks(api_url=url)
    assert blocks.first() is None
    prefect.blocks = SES
    found = blocks.first()
    assert found is not None
    assert (found.provider, found.fields["account_id"]) == ("ses", ACCOUNT)
    assert ACCOUNT not in repr(found)
    for status, error in ((503, TransientError), (403, PermanentError)):
        prefect.status = status
        with pytest.raises(error):
            blocks.first()


@pytest.mark.parametrize(
    "name", ["", "ses", "aws-credentials/x", "mailroom-provider-ses/", "mailroom-provider-ses/gone", 5, None]
)
def test_outbound_block_that_names_no_provider(prefect: Prefect, url: str, name: object) -> None:
    """An operator's typing error is not known here; the worker names it."""
    prefect.blocks = {"mailroom-outbound/outbound": {"provider": name}}

    assert ProviderBlocks(api_url=url).first() is None
