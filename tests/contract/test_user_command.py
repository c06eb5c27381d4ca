"""`mailroom user` on PostgreSQL: people by the command, and the link of the first operator."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine
from typer.testing import CliRunner

from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSignInLinks
from mailroom.cli.user import app
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import Address
from mailroom.domain.people import Role, secret_digest
from mailroom.settings import Settings
from tests.support.signed_in import person_with


@pytest.fixture(autouse=True)
def people(engine: Engine, database_url: str, monkeypatch: pytest.MonkeyPatch) -> SqlPeople:
    """Settings of an installation that has only the database, and pages."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)
    monkeypatch.setenv("MAILROOM_PAGES_URL", "https://mail.example")
    return SqlPeople(engine)


def run(*words: str) -> Any:
    return json.loads(CliRunner().invoke(app, [*words, "--json"], catch_exceptions=False).stdout)


def said(*words: str) -> str:
    return CliRunner().invoke(app, list(words), catch_exceptions=False).stdout


def test_the_life_of_a_person(people: SqlPeople) -> None:
    """From the first day to the last; what was done is in the trail."""
    bob = run("add", "Bob@acme.test", "--tenant", "acme", "--inbox", "Invoices@acme.test")
    assert (bob["role"], bob["tenant"], bob["inboxes"]) == ("member", "acme", ["invoices@acme.test"])

    assert run("inbox", "bob@acme.test", "--give", "@sales.acme.test", "--take", "invoices@acme.test")["inboxes"] == [
        "@sales.acme.test"
    ]
    assert run("role", "bob@acme.test", "archivist")["role"] == "archivist"
    assert [one["address"] for one in run("list", "--tenant", "acme")] == ["bob@acme.test"]
    assert run("list", "--tenant", "other") == []
    run("remove", "bob@acme.test")

    assert person_with(people, "bob@acme.test") is None
    assert [one["what"] for one in run("trail", "--tenant", "acme")] == [
        "person_removed", "role_changed", "inboxes_taken", "inboxes_given", "person_added",
    ]  # fmt: skip
    assert "cli removed a person of acme" in said("trail")


def test_a_dry_run_changes_nothing(people: SqlPeople) -> None:
    """Of each command that changes something."""
    assert (
        said("add", "ada@acme.test", "--tenant", "acme", "--dry-run")
        == "would be added: ada@acme.test, member of acme\n"
    )
    assert person_with(people, "ada@acme.test") is None
    run("add", "ada@acme.test", "--tenant", "acme")
    before = person_with(people, "ada@acme.test")

    assert said("inbox", "ada@acme.test", "--give", "a@acme.test", "--dry-run") == "would read: a@acme.test\n"
    said("role", "ada@acme.test", "administrator", "--dry-run")
    said("remove", "ada@acme.test", "--dry-run")

    assert person_with(people, "ada@acme.test") == before
    assert [one["what"] for one in run("trail")] == ["person_added"]


def test_an_address_of_several_is_changed_where_it_is_said(engine: Engine) -> None:
    """Never in all, and never in the first that is found."""
    people = SqlPeople(engine)
    for words in (("--tenant", "acme"), ("--tenant", "other"), ("--role", "operator")):
        run("add", "bob@mail.test", *words)

    for words in (("remove",), ("link",), ("role", "archivist"), ("inbox", "--give", "a@acme.test")):
        with pytest.raises(ConfigurationError, match="operator of the installation, member of acme, member of other"):
            run(words[0], "bob@mail.test", *words[1:])
    run("role", "bob@mail.test", "archivist", "--tenant", "other")
    run("remove", "bob@mail.test", "--tenant", "acme")
    run("remove", "bob@mail.test", "--installation")

    [left] = people.with_address("bob@mail.test")
    assert left.of_what == "archivist of other"
    assert [one["what"] for one in run("trail", "--by", "bob@mail.test")] == []


def test_the_link_of_the_first_operator_signs_in(engine: Engine) -> None:
    """Before any mail is sent from here. The link is printed once, and stored as a digest."""
    run("add", "ops@mail.test", "--role", "operator")

    link = run("link", "ops@mail.test", "--path", "/people")

    base, _, secret = link["url"].rpartition("/")
    assert base == "https://mail.example/sign-in"
    taken = SqlSignInLinks(engine).take(secret_digest(secret))
    assert taken is not None
    assert (taken.person.role, taken.person.tenant, taken.path) == (Role.OPERATOR, None, "/people")


def test_mistakes_are_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says what to do; nothing is stored."""
    run("add", "ada@acme.test", "--tenant", "acme")
    for words, what in (
        (("add", "no address", "--tenant", "acme"), "looks like ada@acme.test"),
        (("add", "bob@acme.test"), "a member belongs to a tenant; name one"),
        (("add", "bob@acme.test", "--role", "operator", "--tenant", "acme"), "leave the tenant out"),
        (("add", "bob@acme.test", "--role", "king", "--tenant", "acme"), "a role is one of"),
        (("add", "bob@acme.test", "--tenant", "acme", "--inbox", "invoices"), "needs an address"),
        (("add", "ada@acme.test", "--tenant", "acme"), "is a person of acme already"),
        (("add", "ada@acme.test", "--tenant", "acme", "--dry-run"), "is a person already"),
        (("remove", "ada@acme.test", "--tenant", "other"), "no such person"),
        (("remove", "ada@acme.test", "--installation"), "no such person"),
        (("remove", "ada@acme.test", "--installation", "--tenant", "acme"), "use one of"),
        (("remove", "bob@acme.test"), "see `mailroom user list`"),
        (("inbox", "ada@acme.test"), "--give INBOX"),
        (("role", "ada@acme.test", "operator"), "remove this person"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            said(*words)
    assert len(run("list")) == 1
    monkeypatch.setenv("MAILROOM_PAGES_URL", "")
    with pytest.raises(ConfigurationError, match="MAILROOM_PAGES_URL"):
        said("link", "ada@acme.test")


def test_an_address_that_is_received_here_is_pointed_out(engine: Engine) -> None:
    """No link goes there by mail."""
    SqlAddresses(engine).add(Address("@acme.test", "acme", "anna"))

    assert "no link is mailed to this address" in said("add", "ada@acme.test", "--tenant", "acme")
