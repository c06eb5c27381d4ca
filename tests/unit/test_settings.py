"""Settings: the environment wins over the stack; child processes get all, and secrets are shown nowhere else."""

import json
import os
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from typer.testing import CliRunner

from mailroom.cli import worker
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import Settings, load_database_url, load_settings, use_stack_environment

REQUIRED = {name for name, field in Settings.model_fields.items() if field.is_required()}
#: Two values of each field with more rules than its type.
BOUND: dict[str, tuple[str, str]] = {
    "public_url": ("https://stack.test", "https://environment.test"),
    "openid_issuer": ("https://stack.test", "https://environment.test"),
    "pages_url": ("https://stack.test", "http://127.0.0.1:8025"),
    "bounce_domain": ("stack.test", "environment.test"),
    "time_zone": ("Europe/Berlin", "Asia/Tokyo"),
    "mailbox_tenant": ("stack", "environment"),
    "storage_account": ("111111111111", "222222222222"),
    "archive_account": ("333333333333", "444444444444"),
    "archive_copy_account": ("555555555555", "666666666666"),
    "witness_account": ("555555555555", "666666666666"),
    "unsubscribe_key": ("key of the stack, long", "key of the environment"),
    "webhook_ports": ("8443", "443,9443"),
}
STACK = {"aws_endpoint": "http://127.0.0.1:4566", "region": "eu-west-1", "database_url": "postgresql://stack/mailroom"}


def two_values(name: str, field: FieldInfo) -> tuple[str, str]:
    """Return a field's value in stack.json and in the environment, as text: both valid, and not its default."""
    if name in BOUND:
        return BOUND[name]
    kind: Any = field.annotation
    kinds = [one for one in get_args(kind) if one is not NoneType] if get_origin(kind) is not Literal else []
    kind = kinds[0] if kinds else kind
    if get_origin(kind) is Literal:
        first, second = get_args(kind)[:2]
        return first, second
    texts: dict[Any, tuple[str, str]] = {
        bool: ("True", "False"),
        int: ("11", "12"),
        float: ("11.0", "12.0"),
        str: (f"stack's {name}", f"environment's {name}"),
        SecretStr: (f"stack's {name}", f"environment's {name}"),
    }
    assert kind in texts, f"say in BOUND which two values {name} may have"
    return texts[kind]


FIELDS = {name: two_values(name, field) for name, field in Settings.model_fields.items()}


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own environment."""
    for name in list(os.environ):
        if name.startswith(("MAILROOM_", "AWS_")):
            monkeypatch.delenv(name)


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """A running stack with a value for every setting."""
    monkeypatch.setenv("MAILROOM_DATA", str(tmp_path))
    said = {name: values[0] for name, values in FIELDS.items()}
    (tmp_path / "stack.json").write_text(json.dumps(said | {"aws_endpoint": STACK["aws_endpoint"], "parts": []}))
    return said


def plain(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


@pytest.mark.parametrize("name", FIELDS)
def test_a_setting_in_the_environment_wins_over_the_stack(
    name: str, stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each field by itself, the database too: an operator's value must win over a generated file."""
    monkeypatch.setenv(f"MAILROOM_{name.upper()}", FIELDS[name][1])

    settings = load_settings()

    assert {other: plain(settings, other) for other in FIELDS} == stack | {name: FIELDS[name][1]}


def test_everything_in_the_environment_at_once_wins(stack: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As the parts of the stack get it."""
    for name, (_, value) in FIELDS.items():
        monkeypatch.setenv(f"MAILROOM_{name.upper()}", value)

    settings = load_settings()

    assert {name: plain(settings, name) for name in FIELDS} == {name: values[1] for name, values in FIELDS.items()}


@pytest.mark.parametrize("name", sorted(set(FIELDS) - REQUIRED))
def test_a_setting_that_is_in_neither_has_its_default(
    name: str, stack: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An older stack.json lacks newer settings."""
    del stack[name]
    (tmp_path / "stack.json").write_text(json.dumps(stack))

    assert getattr(load_settings(), name) == Settings.model_fields[name].get_default()


def test_an_installation_of_its_own_takes_nothing_from_a_stack_that_happens_to_run(
    stack: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stack's webhooks may go to any host; a service with a complete environment must not inherit that."""
    for name in REQUIRED:
        monkeypatch.setenv(f"MAILROOM_{name.upper()}", FIELDS[name][1])

    settings = load_settings()
    use_stack_environment()

    assert not settings.private_webhooks
    assert settings.sender == ""
    assert "AWS_ENDPOINT_URL" not in os.environ

    with monkeypatch.context() as changed:
        for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            changed.setenv(name, "")
            changed.delenv(name)
        changed.setenv("MAILROOM_DATABASE_URL", stack["database_url"])
        use_stack_environment()

        # The database is the stack's after all.
        assert os.environ["AWS_ENDPOINT_URL"] == STACK["aws_endpoint"]


def test_missing_settings_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One line, with the variables to set."""
    monkeypatch.setenv("MAILROOM_DATA", str(tmp_path))
    with pytest.raises(ConfigurationError, match="mailroom up"):
        load_settings()
    with pytest.raises(ConfigurationError, match="MAILROOM_DATABASE_URL"):
        load_database_url()

    monkeypatch.setenv("MAILROOM_DATABASE_URL", "postgresql://here/mailroom")

    with pytest.raises(ConfigurationError, match="MAILROOM_INBOUND_BUCKET"):
        load_settings()
    assert load_database_url() == "postgresql://here/mailroom"


def aws_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


FAKE = {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}
REAL = {"AWS_ACCESS_KEY_ID": "real", "AWS_SECRET_ACCESS_KEY": "real"}


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, FAKE | {"AWS_ENDPOINT_URL": STACK["aws_endpoint"], "AWS_DEFAULT_REGION": "stack's region"}),
        (
            REAL | {"AWS_SESSION_TOKEN": "real", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
            FAKE | {"AWS_ENDPOINT_URL": STACK["aws_endpoint"], "AWS_DEFAULT_REGION": "stack's region"},
        ),
        (
            REAL | {"AWS_ENDPOINT_URL": "https://aws.test", "AWS_DEFAULT_REGION": "eu-west-3"},
            REAL | {"AWS_ENDPOINT_URL": "https://aws.test", "AWS_DEFAULT_REGION": "eu-west-3"},
        ),
        (
            {"AWS_ENDPOINT_URL": "https://aws.test"},
            FAKE | {"AWS_ENDPOINT_URL": "https://aws.test", "AWS_DEFAULT_REGION": "stack's region"},
        ),
        (
            {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9324"},
            FAKE
            | {"AWS_ENDPOINT_URL_SQS": "http://127.0.0.1:9324", "AWS_ENDPOINT_URL": STACK["aws_endpoint"]}
            | {"AWS_DEFAULT_REGION": "stack's region"},
        ),
    ],
    ids=["nothing", "a user's own keys", "an endpoint with keys", "an endpoint alone", "one service elsewhere"],
)
@pytest.mark.parametrize("database", ["", "postgresql://elsewhere/mailroom"])
def test_what_works_on_the_stack_reaches_its_emulator_unless_the_environment_names_an_endpoint(
    given: dict[str, str],
    then: dict[str, str],
    database: str,
    stack: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Buckets and queues are the stack's here, whatever database is named: a laptop's own keys must not reach real AWS."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    if database:
        monkeypatch.setenv("MAILROOM_DATABASE_URL", database)
    with monkeypatch.context() as changed:
        # What the call sets is undone with the rest.
        for name in ("AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", *FAKE):
            changed.setenv(name, os.environ.get(name, ""))
            if name not in given:
                changed.delenv(name)
        use_stack_environment()
        found = aws_environment()

    assert found == then


def test_child_process_gets_what_its_parent_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """A masked password would reach the child as asterisks, and its hooks would refuse every call."""
    given = {name: f"word-of-{name}" for name, field in Settings.model_fields.items() if field.is_required()}
    secrets = {"postmark_hook_users": "user:password", "unsubscribe_key": "a key of some length"}
    parent = Settings(**given, **secrets)

    for name, value in parent.environment().items():
        monkeypatch.setenv(name, value)

    assert Settings() == parent
    assert not any(secret in repr(parent) for secret in secrets.values())


def test_setting_that_is_not_set_is_not_passed_on() -> None:
    """The text `None` would be a key that anyone can guess."""
    given = {name: "x" for name, field in Settings.model_fields.items() if field.is_required()}

    assert "MAILROOM_UNSUBSCRIBE_KEY" not in Settings(**given).environment()


@pytest.mark.parametrize(("words", "limit"), [([], "3"), (["--limit", "5"], "5")])
def test_the_worker_s_limit_in_the_environment_is_its_limit(
    words: list[str], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`mailroom worker` without --limit put its default over what the deployment had set."""
    monkeypatch.setenv("MAILROOM_WORKER_LIMIT", "3")
    become: list[str] = []
    monkeypatch.setattr("os.execv", lambda *_: become.append(os.environ["MAILROOM_WORKER_LIMIT"]))

    ended = CliRunner().invoke(worker.app, words)

    assert (ended.exit_code, become) == (0, [limit])
