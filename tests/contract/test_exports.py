"""The installation's export: what it has, what it leaves out, and when it is written."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.archive.exporting import export_installation
from mailroom.ports.suppressions import Suppression
from tests.support.archive_store import store_on
from tests.support.rebuilt_installation import Installation, installation


@pytest.fixture
def here(emulator: str, engine: Engine) -> Installation:
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into tenant (id, policy, webhook_url, webhook_secret, created_at)"
                " values ('acme', '{}', 'https://hook.test', 'whsec_1', now())"
            )
        )
    return installation(store_on(emulator, engine), engine)


def test_an_export_is_written_when_something_changed_and_once_a_day(here: Installation) -> None:
    """Someone who leaves is in the archive within the hour; an hour without changes costs nothing but reading them."""
    ports, day = here.exporting(), datetime.now(UTC).replace(hour=10)
    first = export_installation(ports, now=datetime.now(UTC))

    again = export_installation(ports, now=datetime.now(UTC))
    SqlSuppressions(here.engine).add(
        [Suppression(address="me@far.test", tenant="acme", reason="unsubscribed", since=day)]
    )
    changed = export_installation(ports, now=datetime.now(UTC))

    assert first is not None
    assert again is None
    assert changed is not None
    listed = here.store.s3.list_object_versions(Bucket=here.store.bucket, Prefix="_mailroom/exports/")
    assert len(listed["Versions"]) == 2
    body = here.store.s3.get_object(Bucket=here.store.bucket, Key=changed.key)["Body"].read()
    assert b"whsec_1" not in body
    assert b"hook.test" not in body
    assert body.count(b"me@far.test") == 1
    assert export_installation(replace(ports, signer=None), now=datetime.now(UTC)) is None
