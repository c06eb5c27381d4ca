"""The registry of providers: each row is consistent, and the guide names every file of a provider."""

import re
from inspect import isclass
from pathlib import Path
from pkgutil import resolve_name

import pytest
from pydantic import SecretStr

import blocks
from blocks.provider import Provider
from mailroom.adapters.providers.catalogue import PROVIDERS
from mailroom.api.hooks import provider_events
from mailroom.delivery.provider_events.calls import Call, WithoutCredentials
from mailroom.delivery.provider_events.registered import HOOKS, READERS, verifiers
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.outbound.providers import REGISTRY, ProviderRow
from mailroom.sandbox.stand_ins.vendors import Vendor
from mailroom.settings import Settings
from mailroom.testing.api import NOW

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "adding-a-provider.md").read_text()
#: The files of the guide's table: its first column.
FILES = re.findall(r"^\| `([^`]+)` \|", GUIDE.partition("## Six files")[2].partition("\n## ")[0], re.MULTILINE)
PRODUCT = ("mailroom", "blocks", "flows", "tasks", "deployments")
WITH_HOOK = [row for row in REGISTRY if row.hook]


@pytest.mark.parametrize("row", REGISTRY, ids=lambda row: str(row.name))
def test_every_reference_of_a_row_leads_to_what_it_says(row: ProviderRow) -> None:
    """A wrong reference would otherwise fail the first run that needs it."""
    assert resolve_name(row.adapter).name == row.name
    assert PROVIDERS[row.name] == resolve_name(row.adapter).capabilities
    if row.block:
        block = resolve_name(row.block)
        assert issubclass(block, Provider)
        assert getattr(blocks, block.__name__) is block
        assert block._block_type_slug.startswith("mailroom-provider-")
    if row.events:
        assert row.name == resolve_name(row.events).PROVIDER
        assert READERS[row.name] is resolve_name(row.events).read
    if row.stand_in:
        assert isclass(resolve_name(row.stand_in))
        assert issubclass(resolve_name(row.stand_in), Vendor)
    if row.hook_setting:
        assert row.hook
        assert row.hook_setting in Settings.model_fields


def test_no_two_rows_say_the_same() -> None:
    """Events are matched by the name, and blocks are found by their class."""
    for column in ("name", "adapter", "block", "events", "hook_setting", "stand_in"):
        said = [value for row in REGISTRY if (value := getattr(row, column))]
        assert len(said) == len(set(said)), column


@pytest.mark.parametrize("row", WITH_HOOK, ids=lambda row: str(row.name))
def test_a_hook_is_a_route_and_refuses_all_calls_without_a_credential(row: ProviderRow) -> None:
    """Fail closed: without a credential every call is refused."""
    routes = {getattr(route, "path", "") for route in provider_events.router.routes}

    assert row.name in HOOKS
    assert f"/hooks/{row.name}" in routes
    assert verifiers({})[row.name].status in (401, 403)
    with pytest.raises(WithoutCredentials):
        verifiers({})[row.name].verify(Call({}, b"{}", NOW))


@pytest.mark.parametrize("row", WITH_HOOK, ids=lambda row: str(row.name))
def test_the_guide_names_every_file_that_a_provider_is_in(row: ProviderRow) -> None:
    """A seventh file, or one that the guide does not name, fails here."""
    named = {path.replace("NAME", row.name) for path in FILES if path.endswith(".py")}
    older = {"mailroom/settings.py"} if row.hook_setting else set()

    found = {
        path.relative_to(ROOT).as_posix()
        for top in PRODUCT
        for path in (ROOT / top).rglob("*.py")
        if row.name in path.read_text().lower()
    }

    assert found == named | older
    assert len(found) <= 6
    assert older <= set(re.findall(r"`([^`]+)`", GUIDE))


def test_a_provider_costs_six_files() -> None:
    """Each exists already, or has the provider's name."""
    assert len(FILES) == len(set(FILES)) == 6
    assert all((ROOT / path).is_file() for path in FILES if "NAME" not in path)


def test_credentials_come_from_the_common_setting_and_from_a_providers_own() -> None:
    """Two settings are older than the common one; an operator may use either, and both count while one is changed."""
    settings = Settings.model_construct(
        provider_hooks=SecretStr("postmark/new:word sendgrid/acme=KEY/x="),
        postmark_hook_users=SecretStr("old:word"),
        sendgrid_hook_keys="",
    )

    found = settings.hook_credentials()

    assert found["postmark"].split() == ["old:word", "new:word"]
    assert found["sendgrid"].split() == ["acme=KEY/x="]


@pytest.mark.parametrize("word", ["secret", "nobody/secret", "postmark/", "/secret", "ses/secret", "Postmark/secret"])
def test_a_credential_of_no_provider_stops_the_service_and_is_not_shown(word: str) -> None:
    """If it were ignored, the provider's calls would all be refused without a visible reason."""
    with pytest.raises(ConfigurationError, match="MAILROOM_PROVIDER_HOOKS") as raised:
        Settings.model_construct(provider_hooks=SecretStr(word)).hook_credentials()

    assert "secret" not in str(raised.value)
