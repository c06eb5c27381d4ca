"""What a tenant may be called, and that every place that takes a name takes the same."""

import pytest
from fastapi import HTTPException
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mailroom.api.v1.outbound import sender_tenant
from mailroom.cli._installation import tenant_named
from mailroom.delivery.provider_events.credentials import Credential, credentials
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import WHAT_A_NAME_IS, tenant_name
from mailroom.ports.api_keys import Holder
from mailroom.settings import Settings, load_settings

REQUIRED = {name: "x" for name, field in Settings.model_fields.items() if field.is_required()}


def by_rule(name: str) -> bool:
    return tenant_name(name) == name


def by_command(name: str) -> bool:
    return tenant_named(name) == name


def by_route(name: str) -> bool:
    return sender_tenant(Holder("root"), name) == name


def by_setting(name: str) -> bool:
    return Settings(**REQUIRED | {"mailbox_tenant": name}).mailbox_tenant == name


def by_hook(name: str) -> bool:
    return credentials(f"{name}=user:word") == (Credential("user:word", name),)


PLACES = (by_rule, by_command, by_route, by_setting, by_hook)


def accepted(place: object, name: str) -> bool:
    try:
        return bool(place(name))  # type: ignore[operator]
    except (ValueError, ValidationError, ConfigurationError, HTTPException):
        return False


@pytest.mark.parametrize("name", ["acme", "a", "0", "7-eleven", "acme-", "a" * 63])
def test_names_that_are_taken(name: str) -> None:
    """Small enough for a key prefix, an event's name and a host's label."""
    assert all(accepted(place, name) for place in PLACES)


@pytest.mark.parametrize(
    "name",
    ["Acme", "acme inc", "-acme", "a" * 64, "unrouted", "straße", "acme\n", " acme", "a_b", "a.b", "a/b", "a=b", "a:b",
     "\u0660", "acme\x00", "_mailroom", "%", "..", "ａ"],
)  # fmt: skip
def test_names_that_are_not_taken(name: str) -> None:
    """The commands refused `unrouted`, whose mail is the installation's own; the API took it."""
    assert not any(accepted(place, name) for place in PLACES)


@given(st.one_of(st.text(max_size=70), st.from_regex(r"[a-zA-Z0-9_.=:-]{1,66}", fullmatch=True)))
@example("default")
@example("unrouted")
def test_all_places_agree_on_any_name(name: str) -> None:
    """A name that one place accepts and another refuses is a tenant that can receive and not send."""
    # Without a name the caller's own tenant is meant; none is the route's default.
    places = PLACES if name else (by_rule, by_command, by_setting, by_hook)
    assert len({accepted(place, name) for place in places}) == 1


def test_one_sentence_says_what_a_name_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same sentence wherever it is refused."""
    with pytest.raises(ValueError, match="dashes") as by_the_rule:
        tenant_name("Acme")
    with pytest.raises(ConfigurationError) as by_a_command:
        tenant_named("Acme")
    with pytest.raises(HTTPException) as by_a_route:
        sender_tenant(Holder("root"), "Acme")
    with pytest.raises(ConfigurationError) as by_a_hook:
        credentials("Acme=user:word")
    for name, value in (REQUIRED | {"mailbox_tenant": "Acme"}).items():
        monkeypatch.setenv(f"MAILROOM_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as by_a_setting:
        load_settings()

    assert str(by_the_rule.value) == WHAT_A_NAME_IS
    assert WHAT_A_NAME_IS in by_a_route.value.detail
    for said in (by_a_command, by_a_hook, by_a_setting):
        assert WHAT_A_NAME_IS in str(said.value)
    assert "MAILROOM_MAILBOX_TENANT" in str(by_a_setting.value)


@pytest.mark.parametrize(
    ("word", "secret", "tenant"),
    [
        ("acme=arn:aws:sns:eu-west-1:1:t", "arn:aws:sns:eu-west-1:1:t", "acme"),
        ("arn:aws:sns:eu-west-1:1:t", "arn:aws:sns:eu-west-1:1:t", None),
        ("MFkwEwYH+/KoZI==", "MFkwEwYH+/KoZI==", None),
        ("acme=MFkwEwYHKoZI==", "MFkwEwYHKoZI==", "acme"),
        ("user:pass=word", "user:pass=word", None),
        ("acme=user:pass=word", "user:pass=word", "acme"),
        ("acme=user:password=", "user:password=", "acme"),
    ],
)
def test_a_credential_may_hold_equals_signs(word: str, secret: str, tenant: str | None) -> None:
    """Base64 ends with them, and passwords may have them anywhere."""
    assert credentials(word) == (Credential(secret, tenant),)


@pytest.mark.parametrize("word", ["Acme=user:word", "acme_inc=user:word", "unrouted=user:word", "=user:word"])
def test_a_misspelt_tenant_of_a_hook_is_no_part_of_its_secret(word: str) -> None:
    """Taken for a part of the user, the account of one tenant could report events of every tenant's mail. The secret is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        credentials(f"fine=user:word {word}")

    assert "user:word" not in str(caught.value)
