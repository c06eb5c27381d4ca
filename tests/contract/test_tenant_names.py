"""Routes and commands that create something for a tenant, on PostgreSQL; and names that earlier releases stored."""

from collections.abc import Callable
from typing import Any

import pytest
import typer
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.cli import address, suppressions, tenant, webhooks
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import WHAT_A_NAME_IS
from mailroom.ports.suppressions import Suppression
from mailroom.settings import Settings
from mailroom.testing.api import NOW, TestClient
from tests.support.batch_requests import ADMIN, batch

ODD = "Acme Inc"
ROUTES: list[tuple[str, str, Any]] = [
    ("POST", "/v1/batches?dry_run=true", batch()),
    ("POST", "/v1/suppressions?", {"addresses": ["ada@users.test"]}),
    ("PUT", "/v1/quotas?", {"day": 5}),
    ("POST", "/v1/senders?", {"pattern": "@acme.test"}),
]
COMMANDS: list[tuple[typer.Typer, Callable[[str], list[str]]]] = [
    (address.app, lambda name: ["add", "ada@acme.test", "--tenant", name]),
    (tenant.app, lambda name: ["policy", "--", name]),
    (tenant.app, lambda name: ["sender", "--", name, "@acme.test"]),
    (tenant.app, lambda name: ["webhook", "--", name, "https://acme.test/"]),
    (webhooks.app, lambda name: ["add", "--", name, "https://acme.test/"]),
    (suppressions.app, lambda name: ["import", "-", "--tenant", name]),
]


@pytest.fixture(autouse=True)
def installation(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


@pytest.mark.parametrize(
    ("name", "taken"),
    [("acme", True), ("0-", True), ("a" * 63, True), ("Acme", False), (ODD, False), ("unrouted", False), ("a" * 64, False)],
)  # fmt: skip
def test_whatever_names_a_tenant_takes_the_same_names(api: TestClient, engine: Engine, name: str, taken: bool) -> None:
    """`POST /v1/suppressions?tenant=Acme` stored an entry without effect; `unrouted` was the API's, not the commands'."""
    for method, url, body in ROUTES:
        answer = api.request(method, f"{url}&tenant={name}", json=body, headers=ADMIN)
        assert answer.status_code in ((200, 201) if taken else (422,)), (url, answer.text)
        assert taken or WHAT_A_NAME_IS in answer.json()["detail"]
    for command, words in COMMANDS:
        ended = CliRunner().invoke(command, words(name), input="address\nbob@users.test\n")
        assert (ended.exit_code == 0) is taken, (words(name), ended.output, ended.exception)
        assert taken or WHAT_A_NAME_IS in str(ended.exception)
    with engine.connect() as connection:
        found = {row.tenant for row in connection.execute(text("select tenant from suppression"))}
    assert found == ({name} if taken else set())


@pytest.mark.parametrize("words", [["--tenant", ""], ["--tenant", "Acme"], []])
def test_a_list_of_no_tenant_is_not_everybodys(words: list[str], engine: Engine) -> None:
    """`--tenant "$TENANT"` with an empty variable suppressed for all tenants; a line of a file may be wrong too."""
    given = "address,tenant\nada@users.test,acme\nbob@users.test,ACME\n"

    ended = CliRunner().invoke(suppressions.app, ["import", "-", *words], input=given)

    assert isinstance(ended.exception, ConfigurationError)
    assert WHAT_A_NAME_IS in str(ended.exception)
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from suppression")).scalar_one() == 0


def test_what_earlier_releases_stored_is_read_and_removed(api: TestClient, engine: Engine) -> None:
    """Suppressions of any name, and senders of `unrouted`; they still exist after an upgrade."""
    SqlSuppressions(engine).add([Suppression(address="ada@users.test", reason="manual", tenant=ODD, since=NOW)])
    SqlSenders(engine).allow("unrouted", "@acme.test")

    def ask(method: str, url: str, **asked: str) -> Any:
        return api.request(method, url, params=asked, headers=ADMIN)

    assert [one["tenant"] for one in ask("GET", "/v1/suppressions", tenant=ODD).json()["items"]] == [ODD]
    for url in ("/v1/messages", "/v1/breakers"):
        assert ask("GET", url, tenant=ODD).status_code == 200
    assert ask("GET", "/v1/senders", tenant="unrouted").json()["patterns"] == ["@acme.test"]
    assert ask("GET", "/v1/quotas", tenant="unrouted").status_code == 200
    assert ask("DELETE", "/v1/senders", tenant="unrouted", pattern="@acme.test").status_code == 204
    assert ask("DELETE", "/v1/suppressions", tenant=ODD, address="ada@users.test").status_code == 204
    assert ask("GET", "/v1/quotas", tenant=ODD).status_code == 422
