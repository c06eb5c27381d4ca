"""What an administrator of one tenant, and a database that fails, can do to people, keys and the trail: nothing, on PostgreSQL."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.domain.people import Role
from mailroom.ports.people import NewPerson
from mailroom.testing.api import BROWSER
from tests.support.planted_tenants import OURS, THEIRS, Installation
from tests.support.tampering import tampering

FORM = {"Sec-Fetch-Site": "same-origin", **BROWSER}


@pytest.fixture
def on(engine: Engine) -> Installation:
    return Installation(engine)


def administrator(on: Installation, tenant: str | None = OURS) -> dict[str, str]:
    return on.signed_in(on.person("administrator" if tenant else "operator", tenant)) | FORM


def count(on: Installation, table: str) -> int:
    with on.engine.connect() as connection:
        return int(connection.execute(text(f"select count(*) from {table}")).scalar_one())


def refuse_entries(on: Installation) -> None:
    with tampering(on.engine) as connection:
        connection.execute(text("alter table trail add constraint full_disk check (what = 'signed_in') not valid"))


def test_an_address_of_another_tenant_is_added_as_one_that_is_nobodys(on: Installation) -> None:
    """A person of another tenant, or an operator, is not found out, and is not kept from the other tenant."""
    sent = administrator(on)
    known = [on.person("member", THEIRS), on.person("operator", None)]
    addresses = [*(one.address for one in known), "unknown@nowhere.test"]
    answers = list[Any]()
    for address in addresses:
        form = {"address": address, "role": "member", "tenant": THEIRS}
        answers.append(on.client.post("/people", data=form, headers=sent))
        assert address in on.client.get("/people", headers=sent).text

    assert {(one.status_code, one.headers["location"], one.text) for one in answers} == {(303, "/people", "")}
    for person in known:
        assert on.people.people.find(person.tenant, person.id) == person
        assert {one.tenant for one in on.people.people.with_address(person.address)} == {OURS, person.tenant}


def test_who_took_an_address_first_keeps_nobody_from_it(on: Installation) -> None:
    """The person signs in to each, as it says, and sees nothing of the other there."""
    for tenant in (OURS, THEIRS):
        form = {"address": "bob@mail.test", "role": "administrator"}
        assert on.client.post("/people", data=form, headers=administrator(on, tenant)).status_code == 303

    for person in on.people.people.with_address("bob@mail.test"):
        page = on.client.get("/people", headers=on.signed_in(person) | BROWSER).text
        other = THEIRS if person.tenant == OURS else OURS
        assert page.count("bob@mail.test")
        assert (f"{person.tenant}.test" in page, f"{other}.test" in page) == (True, False)


def test_signing_out_everywhere_is_in_every_tenant_of_the_address_and_of_no_other(on: Installation) -> None:
    """A button of another tenant that was not pressed no longer works either."""
    bob = [
        on.people.people.add(NewPerson("bob@mail.test", Role.ADMINISTRATOR, tenant, (), "cli"))
        for tenant in (OURS, THEIRS)
    ]
    other = administrator(on, THEIRS)
    sent, left = [on.signed_in(one) | FORM for one in bob], on.people.links.make(bob[1].id, "/")

    on.client.post("/sign-out", headers=sent[0])
    assert [on.client.get("/people", headers=one).status_code for one in (*sent, other)] == [303, 200, 200]
    sent[0] = on.signed_in(bob[0]) | FORM
    on.client.post("/sign-out/everywhere", headers=sent[0])

    assert [on.client.get("/people", headers=one).status_code for one in (*sent, other)] == [303, 303, 200]
    assert on.client.post(f"/sign-in/{left}", headers=FORM).status_code == 404


@pytest.mark.parametrize("path", ["/v1/keys", "/keys", "/people"])
def test_what_cannot_be_written_into_the_trail_is_not_done(on: Installation, path: str) -> None:
    """Neither a key whose secret nobody got, nor a person that nobody has added."""
    sent, key = administrator(on), {"Authorization": f"Bearer {on.tenants[OURS].administrator}"}
    before = {table: count(on, table) for table in ("api_key", "person", "trail")}
    refuse_entries(on)
    form = {"name": "new", "scope": "send", "address": "new@mail.test", "role": "member"}

    if path == "/v1/keys":
        answer = on.client.post(path, json={"name": "new", "scopes": ["send"]}, headers=key)
    else:
        answer = on.client.post(path, data=form, headers=sent)

    assert answer.status_code >= 500
    assert {table: count(on, table) for table in before} == before


def test_a_person_is_not_changed_without_an_entry(on: Installation) -> None:
    """Role, inboxes and the end of a person."""
    sent, bob = administrator(on), on.person("member", OURS, f"anna@{OURS}.test")
    refuse_entries(on)

    for change, form in (
        ("role", {"role": "administrator"}),
        ("inboxes", {"inboxes": f"zoe@{OURS}.test"}),
        ("inboxes", {"take": f"anna@{OURS}.test"}),
        ("remove", {}),
    ):
        assert on.client.post(f"/people/{bob.id}/{change}", data=form, headers=sent).status_code >= 500

    assert on.people.people.find(OURS, bob.id) == bob


def test_no_operator_speaks_for_the_installation_itself(on: Installation) -> None:
    """A batch of the reserved tenant would get the secret of another person's link, with a copy to the operator."""
    key = {"Authorization": f"Bearer {on.operator}"}
    mail = {"from": "x@quokka.test", "messages": [{"to": "ada@users.test", "subject": "s", "text": "t"}]}
    for method, path, asked in (
        ("POST", "/v1/batches", mail),
        ("POST", "/v1/keys", {"name": "x", "scopes": ["send"]}),
        ("POST", "/v1/webhooks", {"url": "https://hooks.quokka.test/x"}),
        ("POST", "/v1/senders", {"pattern": "x@quokka.test"}),
        ("POST", "/v1/addresses", {"addresses": [{"address": "x@quokka.test"}]}),
        ("PUT", "/v1/quotas", {"day": 1}),
        ("PUT", "/v1/streams", {"name": "x"}),
        ("POST", "/v1/suppressions", {"addresses": ["ada@users.test"]}),
    ):
        answer = on.client.request(method, f"{path}?tenant=_mailroom", json=asked, headers=key)
        assert answer.status_code in (404, 422), (path, answer.status_code)
    form = {"address": "x@mail.test", "role": "member", "tenant": "_mailroom"}
    assert on.client.post("/people", data=form, headers=administrator(on, None)).status_code == 422


def test_a_tenant_sees_what_operators_changed_of_it(on: Installation) -> None:
    """By the tenant that the request names, or by the thing's id; a dry run changed nothing."""
    key, ours = {"Authorization": f"Bearer {on.operator}"}, on.tenants[OURS]
    for path, asked in (
        (f"/v1/senders?tenant={OURS}", {"pattern": "more@quokka.test"}),
        (f"/v1/addresses?tenant={OURS}&dry_run=true", {"addresses": [{"address": "dry@quokka.test"}]}),
        (f"/v1/addresses?tenant={OURS}", {"addresses": [{"address": "wet@quokka.test"}]}),
        (f"/v1/breakers/{ours.breaker()}/close", None),
    ):
        assert on.client.post(path, json=asked, headers=key).status_code in (200, 201), path

    entries = on.client.get("/v1/trail", headers=ours.headers).json()["items"]

    assert [one["what"] for one in entries][:3] == ["breaker_closed", "address_added", "sender_added"]
    form = {"recipient": "late@quokka.test", "tenant": OURS}
    assert on.client.post("/quarantine/address", data=form, headers=administrator(on, None)).status_code == 303
    [newest] = on.client.get("/v1/trail?limit=1", headers=ours.headers).json()["items"]
    assert newest["what"] == "address_added"
    theirs = on.client.get("/v1/trail", headers=on.tenants[THEIRS].headers).json()["items"]
    assert not [one for one in theirs if one["what"] in ("breaker_closed", "address_added", "sender_added")]


@pytest.mark.parametrize("shown", ["print", "html", "attachments/2/preview", "attachments/2/members/1/preview", "raw"])
def test_every_look_at_a_letter_is_written_before_it_is_shown(on: Installation, shown: str) -> None:
    """By whichever page."""
    ours = on.tenants[OURS]
    sent = on.signed_in(on.person("member", OURS, ours.anna.recipient)) | BROWSER
    url = f"/items/{ours.item_id}/{shown}"
    before = count(on, "trail")
    assert on.client.get(url, headers=sent).status_code == 200
    assert count(on, "trail") == before + 1
    refuse_entries(on)

    answer = on.client.get(url, headers=sent)

    assert answer.status_code >= 500
    assert f"{OURS} letter" not in answer.text
    assert f"{OURS} text" not in answer.text
