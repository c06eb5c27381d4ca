"""Settings go to child processes whole, secrets too, and show none of them otherwise."""

import pytest

from mailroom.settings import Settings


def test_child_process_gets_what_its_parent_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A masked password would reach the child as asterisks, and its hooks would believe nobody."""
    given = {name: f"word-of-{name}" for name, field in Settings.model_fields.items() if field.is_required()}
    secrets = {"postmark_hook_users": "user:password", "unsubscribe_key": "a key of some length"}
    parent = Settings(**given, **secrets)

    for name, value in parent.environment().items():
        monkeypatch.setenv(name, value)

    assert Settings() == parent
    assert not any(secret in repr(parent) for secret in secrets.values())


def test_setting_that_is_not_set_is_not_passed_on() -> None:
    """`None` as a text would be a key that everybody knows."""
    given = {name: "x" for name, field in Settings.model_fields.items() if field.is_required()}

    assert "MAILROOM_UNSUBSCRIBE_KEY" not in Settings(**given).environment()
