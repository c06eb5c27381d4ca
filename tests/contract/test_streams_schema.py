"""The migration to streams: rows that are there get the scope they had in effect, and an older release works on."""

import time
from collections.abc import Iterator

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.schema import MIGRATIONS, migrations
from mailroom.sandbox.stack.postgres import Postgres

REASONS = ("hard_bounce", "complaint", "manual", "soft_bounces", "provider_list", "unsubscribe")
#: What a release without streams writes when a provider reports, by the constraint's name.
OLDER = text("""
    insert into suppression (id, tenant, address, reason, message_id, since, expires_at)
    values (gen_random_uuid(), :tenant, :address, :reason, null, now(), null)
    on conflict on constraint ux_suppression_address do update set reason = excluded.reason, since = excluded.since,
        expires_at = excluded.expires_at
    where suppression.expires_at < coalesce(excluded.expires_at, 'infinity')
""")


@pytest.fixture
def older(postgres: Postgres) -> Iterator[Engine]:
    """A database as the release before streams left it."""
    name = f"older_{time.monotonic_ns()}"
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as connection:
        connection.execute(f'create database "{name}"')
    engine = make_engine(postgres.url(name))
    [streams] = [script for script in migrations() if script.module.__file__.endswith("_streams.py")]
    migrate_to(engine, str(streams.down_revision))
    yield engine
    engine.dispose()


def migrate_to(engine: Engine, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = engine
    command.upgrade(config, revision)


def suppress(engine: Engine, tenant: str | None, *reasons: str, at: str = "{}@users.test") -> None:
    with engine.begin() as connection:
        for reason in reasons:
            values = {"tenant": tenant, "address": at.format(reason), "reason": reason}
            connection.execute(OLDER, values)


def scopes(engine: Engine) -> set[tuple[str | None, str, str]]:
    with engine.connect() as connection:
        rows = connection.execute(text("select tenant, reason, scope from suppression"))
        return {(row.tenant, row.reason, row.scope) for row in rows}


def test_existing_rows_keep_what_they_withhold_but_for_transactional_mail(older: Engine) -> None:
    """An unsubscribe of before covered everything and goes on to cover all that is not transactional; the rest covers all."""
    for tenant in ("acme", None):
        suppress(older, tenant, *REASONS)

    migrate_to(older, "head")

    expected = {
        (tenant, reason, "not_transactional" if reason == "unsubscribe" else "all")
        for tenant in ("acme", None)
        for reason in REASONS
    }
    assert scopes(older) == expected


def test_an_older_release_goes_on_and_writes_the_right_scope(older: Engine) -> None:
    """In a rolling deploy, or after going back: its unsubscribe beside a bounce is a row of its own, twice is once."""
    migrate_to(older, "head")

    suppress(older, "acme", "unsubscribe", "hard_bounce", "unsubscribe", "complaint", at="ada@users.test")

    assert scopes(older) == {("acme", "unsubscribe", "not_transactional"), ("acme", "hard_bounce", "all")}
    assert SqlSuppressions(older).among("acme", ["ada@users.test"], now=_now(older), stream="transactional") == {
        "ada@users.test"
    }


def test_going_back_keeps_the_widest_entry_of_an_address(older: Engine) -> None:
    """Only development goes back; the older constraint has room for one."""
    migrate_to(older, "head")
    suppress(older, "acme", "unsubscribe", "hard_bounce", at="ada@users.test")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["engine"] = older

    command.downgrade(config, "0016")

    with older.connect() as connection:
        assert list(connection.execute(text("select reason from suppression")).scalars()) == ["hard_bounce"]


def _now(engine: Engine):  # type: ignore[no-untyped-def]
    with engine.connect() as connection:
        return connection.execute(text("select now()")).scalar_one()
