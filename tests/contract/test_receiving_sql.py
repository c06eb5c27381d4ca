"""Receiving, on PostgreSQL: patterns of subdomains, recipients without a route, and mail held by the limit of its sender."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from mailroom.adapters.postgres.inbound.sender_limit import SqlSenderLimit
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.api.app import create_app
from mailroom.cli.address import app as address_app
from mailroom.cli.trace import app as trace_app
from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.received_email import Entry, State
from mailroom.domain.inbound.routing import Address, route, wanted
from mailroom.inbound.processing import filed_mails
from mailroom.inbound.routing import RoutingDecision, decide_routing
from mailroom.settings import Settings
from mailroom.testing.api import BROWSER, Memory, TestClient
from tests.contract.test_routing_sql import RAW, REF, Desk
from tests.support.batch_requests import ACME, ADMIN, HOLDERS

NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)


@pytest.fixture
def desk(engine: Engine) -> Desk:
    return Desk(engine)


@pytest.fixture
def settings(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of an installation that has only the database."""
    for name, field in Settings.model_fields.items():
        if field.is_required():
            monkeypatch.setenv(f"MAILROOM_{name.upper()}", "nowhere")
    monkeypatch.setenv("MAILROOM_DATABASE_URL", database_url)


def api_of(desk: Desk) -> TestClient:
    memory = Memory()
    memory.keys.holders.update(HOLDERS)
    services = replace(memory.services(), reader=SqlInboxReader(desk.engine), ledger=desk.ledger, archive=desk.archive)
    return TestClient(create_app(services))


def taken_by(desk: Desk, recipient: str, key: str = "in/x") -> tuple[str, str] | None:
    """Return tenant and type of the route of a recipient; None without one."""
    try:
        [found] = route([recipient], desk.directory.lookup(wanted([recipient], key)), key=key)
    except Quarantined:
        return None
    return found.tenant, found.why


def test_patterns_of_subdomains_are_found_and_kept_apart(desk: Desk) -> None:
    """One query for each mail; the exact domain goes first, then the longest parent, whosever it is."""
    for pattern, tenant in (("@*.acme.test", "acme"), ("in*@*.acme.test", "acme"), ("@*.x.acme.test", "other")):
        desk.directory.add(Address(pattern, tenant, "all"))
    desk.directory.add(Address("@y.acme.test", "umbrella", "all"))

    found = {
        one: taken_by(desk, one)
        for one in (
            "u@a.acme.test",
            "u@deep.x.acme.test",
            "u@y.acme.test",
            "u@z.y.acme.test",
            "u@acme.test",
            "u@xacme.test",
        )
    }

    assert found == {
        "u@a.acme.test": ("acme", "subdomain"),
        "u@deep.x.acme.test": ("other", "subdomain"),
        "u@y.acme.test": ("umbrella", "domain"),
        "u@z.y.acme.test": ("acme", "subdomain"),
        "u@acme.test": None,
        "u@xacme.test": None,
    }
    assert len(desk.directory.lookup(wanted([f"x@{'a.' * 120}acme.test"] * 900, "in/x"))) == 2


def test_an_inbox_below_a_domain_is_its_tenants_alone(desk: Desk) -> None:
    """Before its first mail too; another tenant is answered as for an address that nobody has."""
    desk.directory.add(Address("@*.acme.test", "acme", "all"))
    entry = desk.arrives("Anna+Q3@Lyon.acme.test")
    desk.files(entry, desk.decides(entry))

    assert desk.listed("anna@lyon.acme.test") != []
    receives = {
        (tenant, one): desk.reader.receives(tenant, one)
        for tenant in ("acme", "other", None)
        for one in ("anna@lyon.acme.test", "new@paris.acme.test", "x@acme.test.evil.test")
    }
    assert {key for key, value in receives.items() if value} == {
        (tenant, one) for tenant in ("acme", None) for one in ("anna@lyon.acme.test", "new@paris.acme.test")
    }
    api = api_of(desk)
    assert api.get("/v1/inboxes/new@paris.acme.test/items", headers=ACME).status_code == 200
    assert "@*.acme.test" in api.get("/", headers=ADMIN | BROWSER).text


def test_the_command_takes_a_pattern_of_subdomains(settings: None) -> None:
    """And says how addresses are written where it is none."""
    said = CliRunner().invoke(address_app, ["add", "*@*.Acme.test", "--tenant", "acme"]).stdout
    refused = CliRunner().invoke(address_app, ["add", "*@*.test"])

    assert said == "@*.acme.test receives for user everyone of tenant acme\n"
    assert "use name@domain, name-*@domain, @domain, *@*.domain or prefix/" in str(refused.exception)


def test_recipients_without_a_route_are_shown_to_operators_alone(desk: Desk, settings: None) -> None:
    """On the item's page, in its JSON, in the list of e-mails and by `mailroom trace`: the mail of others must not hide them."""
    entry = desk.arrives("anna@acme.test", "Typo@acme.test", "bob@acme.test", "no address")
    items = desk.files(entry, desk.decides(entry))
    api = api_of(desk)

    def shown(headers: dict[str, str]) -> list[object]:
        item = api.get(f"/v1/items/{items[0]}", headers=headers).json()
        [line] = api.get("/v1/inbound", headers=headers).json()["items"]
        page = api.get(f"/items/{items[0]}", headers=headers | BROWSER).text
        return [item["unrouted"], line["unrouted"], "Typo@acme.test" in page, "No route" in page]

    assert shown(ADMIN) == [["Typo@acme.test", "no address"]] * 2 + [True, True]
    assert shown(ACME) == [None, None, False, False]
    trace = CliRunner().invoke(trace_app, [entry.id]).stdout
    assert "no route  Typo@acme.test, no address: add an address" in trace
    assert json.loads(CliRunner().invoke(trace_app, [entry.id, "--json"]).stdout)["email"]["unrouted"] == [
        "Typo@acme.test",
        "no address",
    ]


@pytest.mark.parametrize("recipients", [("anna@acme.test",), ("nobody@acme.test",)])
def test_where_all_or_none_have_a_route_no_recipient_is_named(desk: Desk, recipients: tuple[str, ...]) -> None:
    """A mail without any route is quarantined with all of them."""
    entry = desk.arrives(*recipients)
    desk.decides(entry)
    line = desk.reader.email(None, entry.id)

    assert line is not None
    assert not line.unrouted


def test_mail_of_an_earlier_release_has_no_recipients_to_show(desk: Desk) -> None:
    """Null is not known, which is no empty list; and an added address is seen when the mail is routed again."""
    entry = desk.arrives("anna@acme.test", "typo@acme.test")
    items = desk.files(entry, desk.decides(entry))
    with desk.engine.begin() as connection:
        connection.execute(text("update inbound_email set unrouted = null"))
    api = api_of(desk)

    assert api.get(f"/v1/items/{items[0]}", headers=ADMIN).json()["unrouted"] is None
    assert "No route" not in api.get(f"/items/{items[0]}", headers=ADMIN | BROWSER).text
    desk.directory.add(Address("typo@acme.test", "acme", "typo"))
    desk.decides(entry)
    line = desk.reader.email(None, entry.id)
    assert line is not None
    assert line.unrouted == ()


def limited(desk: Desk, entry: Entry, most: int) -> RoutingDecision:
    limit = SqlSenderLimit(desk.engine, most)
    return decide_routing(entry, RAW, directory=desk.directory, ledger=desk.ledger, now=NOW, sender_limit=limit)


def test_mail_that_is_held_for_one_tenant_is_filed_for_it_once_it_is_released(desk: Desk) -> None:
    """Its item is not shown until then, and its processor does not run; the other tenant's is not touched."""
    desk.directory.set_processor("anna@acme.test", "acme", "digest")
    limit = SqlSenderLimit(desk.engine, 1)
    limit.held(
        "00000000-0000-0000-0000-000000000001", "carl@sender.test", [("acme", "anna@acme.test")], received_at=NOW
    )
    entry = desk.arrives("anna@acme.test", "carla@other.test")
    routing = limited(desk, entry, 1)
    ids = desk.files(entry, routing)
    before = desk.listed("anna@acme.test"), desk.listed("carla@other.test")
    answered = api_of(desk).get(f"/v1/items/{ids[0]}", headers=ADMIN)

    assert limit.release(entry.id, now=NOW)
    again = desk.ledger.begin(REF, now=NOW)
    released = limited(desk, again, 1)
    assert desk.files(again, released) == ids

    assert dict(routing.held) == {"acme": Reason.TOO_MANY}
    assert before == ([], [ids[1]])
    assert (answered.status_code, "too_many" in answered.text) == (410, True)
    assert (desk.listed("anna@acme.test"), desk.listed("carla@other.test")) == ([ids[0]], [ids[1]])
    line = desk.ledger.find(entry.id)
    assert line is not None
    assert line.state is State.FILED
    assert list(filed_mails(entry, routing, None, RAW, items=ids, kept={})) == []  # type: ignore[arg-type]
    assert len(list(filed_mails(again, released, None, RAW, items=ids, kept={}))) == 1  # type: ignore[arg-type]
