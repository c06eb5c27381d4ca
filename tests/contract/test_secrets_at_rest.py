"""Secrets at rest: the database and its backup hold in plain what operations.md says, and no more."""

import re
import stat
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text

import blocks
from mailroom.adapters.postgres.operations.dumps import _tool, dump
from mailroom.adapters.postgres.tenants.directory import SqlTenants
from mailroom.domain.delivery.events import Kind
from mailroom.ports.tenants import Webhook
from mailroom.sandbox.stack.steps import admit
from mailroom.settings import Settings
from tests.support.tenant_endpoints import Desk, Receiver

SECTION = (
    (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text().partition("\n## Secrets at rest\n")[2]
)
SECTION = SECTION.partition("\n## ")[0]
KEY, SIGNING = "an-administrators-key-of-this-test", "a-signing-secret-of-this-test"


def places_of(engine: Engine, secret: str) -> set[str]:
    """Return the columns, of all tables, that contain a text."""
    with engine.connect() as connection:
        columns = connection.execute(
            text("select table_name, column_name from information_schema.columns where table_schema = 'public'")
        ).all()
        return {
            f"{table}.{column}"
            for table, column in columns
            if connection.execute(
                text(f'select exists (select from "{table}" where "{column}"::text like :like)'),
                {"like": f"%{secret}%"},
            ).scalar_one()
        }


def test_each_secret_lies_in_one_column_and_keys_in_none(engine: Engine, database_url: str) -> None:
    """Every column of every table is searched, after each secret was used."""
    desk = Desk(engine)
    admit(database_url, KEY)
    endpoint = desk.subscribe()
    desk.report(desk.send()[0], Kind.DELIVERED)
    desk.notify(Receiver(500))
    SqlTenants(engine).set_webhook("acme", Webhook("https://acme.test/", SIGNING))

    found = [places_of(engine, secret) for secret in (KEY, endpoint["secret"], SIGNING)]

    assert found == [set(), {"endpoint.secret"}, {"tenant.webhook_secret"}]
    assert all(f"`{place}`" in SECTION for places in found for place in places)
    with engine.connect() as connection:
        assert connection.execute(text("select length(sha256) from api_key")).scalar_one() == 64


def test_backup_is_its_owners_alone(engine: Engine, database_url: str, tmp_path: Path) -> None:
    """It has the signing secrets in plain, and every address; other users of the machine must not read it."""
    SqlTenants(engine).set_webhook("acme", Webhook("https://acme.test/", SIGNING))
    admit(database_url, KEY)
    file = tmp_path / "mailroom.dump"

    dump(database_url, file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    plain = subprocess.run(
        [_tool("pg_restore", database_url), "--file=-", file], capture_output=True, text=True, check=True
    ).stdout
    assert (SIGNING in plain, KEY in plain) == (True, False)
    assert "both kinds of signing secrets in plain" in SECTION


def is_secret(annotation: object) -> bool:
    return annotation is SecretStr or SecretStr in get_args(annotation)


@pytest.mark.parametrize("name", [name for name, field in Settings.model_fields.items() if is_secret(field.annotation)])
def test_each_secret_setting_is_named(name: str) -> None:
    """A secret that the page does not name would not be replaced when it leaks."""
    assert re.search(rf"`MAILROOM_{name.upper()}`", SECTION)


SECRET_FIELDS = [
    (kind, name)
    for kind in (getattr(blocks, word) for word in blocks.__all__)
    for name, field in kind.model_fields.items()
    if is_secret(field.annotation)
]


@pytest.mark.parametrize(("kind", "name"), SECRET_FIELDS, ids=str)
def test_each_secret_field_of_a_block_is_named(kind: type, name: str) -> None:
    """With the block that it is in, as an operator finds it in the UI."""
    assert f"`{name}`" in SECTION
    assert kind._block_type_slug in SECTION or f"block `{kind._block_type_slug.removeprefix('mailroom-')}`" in SECTION  # type: ignore[attr-defined]


def test_the_fields_are_found() -> None:
    """So that the test above tests something: a URL, two keys of ours, and those of three providers."""
    assert len(SECRET_FIELDS) >= 7
