"""`mailroom check` as an operator runs it on an installation that is half broken."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from mailroom.cli.check import app
from mailroom.settings import Settings
from tests.contract.test_prefect_scheduler import Server
from tests.support.http_server import serving

REQUIRED = {name: "x" for name, field in Settings.model_fields.items() if field.is_required()}


def test_a_schema_that_does_not_fit_is_one_finding_and_the_rest_is_looked_at(
    database_url: str, owner_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """After a restore of an older dump it ended in a traceback, and reported nothing on schedules and logs."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("alter table message rename to away")
    server = Server()
    server.deploy("watch", {"interval": 300}, ahead=3)
    with serving(server.app()) as url:
        settings = REQUIRED | {"region": "eu-west-1", "database_url": database_url, "prefect_api_url": f"{url}/api"}
        for name, value in (settings | {"data": str(tmp_path)}).items():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", value)
        ended = CliRunner().invoke(app, ["--json"])
        monkeypatch.setenv("MAILROOM_DATABASE_URL", owner_url)
        as_owner = json.loads(CliRunner().invoke(app, ["--json"]).stdout)

    found = json.loads(ended.stdout)
    assert ended.exit_code == 1
    assert found["wrong"] == {"schema": 1, "archive bucket": 1}
    assert "mailroom migrate" in found["violations"][0]["do"]
    assert found["counts"]["schedules"] == 1
    assert as_owner["wrong"] == {"schema": 1, "archive bucket": 1, "too many rights": 1}
    assert "is a superuser" in next(one["do"] for one in as_owner["violations"] if one["kind"] == "too many rights")
