"""The page of people: what administrators and operators may do there, and with which people."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mailroom.api.app import create_app
from mailroom.domain.people import Role, person_address, read_inboxes, read_role, role_in, scopes_of
from mailroom.ports.api_keys import Holder
from mailroom.ports.people import Person
from mailroom.testing.api import NOW, Memory, TestClient, two_tenants
from tests.support.signed_in import OURS, add_person, person_with, signed_in


@pytest.fixture
def memory() -> Memory:
    return two_tenants()


@pytest.fixture
def app(memory: Memory) -> Any:
    return create_app(memory.services())


@pytest.fixture
def administrator(app: Any) -> TestClient:
    return signed_in(app, "root@acme.test", Role.ADMINISTRATOR)


def post(client: TestClient, path: str, **form: Any) -> Any:
    return client.post(path, data=form, headers=OURS, follow_redirects=False)


def by(memory: Memory, address: str) -> Person:
    person = person_with(memory.people, address)
    assert person
    return person


def test_an_administrator_adds_changes_and_removes_people_of_the_tenant(
    memory: Memory, administrator: TestClient
) -> None:
    """With a form and buttons; each change is in the trail."""
    form = {"address": "Bob@ACME.test", "role": "member", "inboxes": "invoices@acme.test, @sales.acme.test"}
    assert post(administrator, "/people", **form).status_code == 303
    bob = by(memory, "bob@acme.test")
    assert (bob.tenant, bob.inboxes, bob.added_by) == (
        "acme",
        ("@sales.acme.test", "invoices@acme.test"),
        "root@acme.test",
    )

    post(administrator, f"/people/{bob.id}/inboxes", inboxes="new@acme.test", take="invoices@acme.test")
    assert by(memory, "bob@acme.test").inboxes == ("@sales.acme.test", "new@acme.test")
    post(administrator, f"/people/{bob.id}/role", role="archivist")
    assert by(memory, "bob@acme.test").role is Role.ARCHIVIST
    page = administrator.get("/people").text
    assert "bob@acme.test" in page
    post(administrator, f"/people/{bob.id}/remove")
    assert person_with(memory.people, "bob@acme.test") is None
    assert [one.what for one in memory.trail.written] == [
        "person_added", "inboxes_taken", "inboxes_given", "role_changed", "person_removed",
    ]  # fmt: skip
    assert {one.of for one in memory.trail.written} == {bob.id}


def test_a_tenant_sees_and_changes_nobody_else(memory: Memory, administrator: TestClient) -> None:
    """People of another tenant, and operators, do not exist for it; nor does it make one."""
    eve, ops = add_person(memory.people, "eve@other.test"), add_person(memory.people, "ops@mail.test", Role.OPERATOR)

    page = administrator.get("/people").text
    assert "eve@other.test" not in page
    assert "ops@mail.test" not in page
    for person in (eve.id, ops.id, "x"):
        for change in ("inboxes", "role", "remove"):
            assert post(administrator, f"/people/{person}/{change}", role="member").status_code == 404
    assert post(administrator, "/people", address="x@acme.test", role="operator").status_code == 403
    post(administrator, "/people", address="y@other.test", role="member", tenant="other")
    assert by(memory, "y@other.test").tenant == "acme"
    me = by(memory, "root@acme.test")
    for change in ("role", "remove"):
        assert post(administrator, f"/people/{me.id}/{change}", role="member").status_code == 409
    bob = add_person(memory.people, "bob@acme.test")
    assert post(administrator, f"/people/{bob.id}/role", role="operator").status_code == 409


def test_a_fault_is_shown_above_the_form_with_what_was_typed(administrator: TestClient, memory: Memory) -> None:
    """Nothing is added."""
    add_person(memory.people, "eve@acme.test")
    for status, form in (
        (422, {"address": "no address", "role": "member"}),
        (422, {"address": "*@acme.test", "role": "member"}),
        (422, {"address": "bob@acme.test", "role": "king"}),
        (422, {"address": "bob@acme.test", "role": "member", "inboxes": "nothing"}),
        (409, {"address": "eve@acme.test", "role": "member"}),
    ):
        answer = post(administrator, "/people", **form)
        assert (answer.status_code, 'role="alert"' in answer.text, form["address"] in answer.text) == (
            status,
            True,
            True,
        )
    assert person_with(memory.people, "bob@acme.test") is None


def test_a_form_of_another_site_changes_nobody(administrator: TestClient, memory: Memory) -> None:
    """As for keys."""
    bob = add_person(memory.people, "bob@acme.test")
    for path in ("/people", *(f"/people/{bob.id}/{change}" for change in ("inboxes", "role", "remove"))):
        data = {"address": "eve@acme.test", "role": "administrator", "inboxes": "a@acme.test"}
        assert administrator.post(path, data=data, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert by(memory, "bob@acme.test") == bob
    assert person_with(memory.people, "eve@acme.test") is None


def test_a_key_that_ends_makes_nobody(memory: Memory) -> None:
    """A person has no end: one that it made would go on after it."""
    ends = NOW + timedelta(days=1)
    memory.keys.holders["soon"] = replace(Holder("soon", "acme"), ends_at=ends)
    pages = TestClient(
        create_app(memory.services()), base_url="http://127.0.0.1:1", headers={"Authorization": "Bearer soon"}
    )
    bob = add_person(memory.people, "bob@acme.test")

    assert post(pages, "/people", address="x@acme.test", role="member").status_code == 403
    assert post(pages, f"/people/{bob.id}/role", role="administrator").status_code == 403
    assert by(memory, "bob@acme.test").role is Role.MEMBER


def test_the_page_says_who_is_signed_in(administrator: TestClient, app: Any) -> None:
    """With a button to sign out; a member sees no links that lead nowhere."""
    page = administrator.get("/people").text
    assert "root@acme.test" in page
    assert 'action="/sign-out"' in page
    inboxes = signed_in(app, "bob@acme.test", Role.MEMBER, ("ann@acme.test",)).get("/").text
    for path in ("/people", "/keys", "/batches", "/quarantine"):
        assert f'href="{path}"' not in inboxes
        assert f'href="{path}"' in page


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.MEMBER, ("inbox:a@acme.test",)),
        (Role.ARCHIVIST, ("archive",)),
        (Role.ADMINISTRATOR, ("administer",)),
        (Role.OPERATOR, ("administer",)),
    ],
)
def test_a_role_is_a_list_of_scopes(role: Role, scopes: tuple[str, ...]) -> None:
    """Inboxes count for members alone."""
    assert scopes_of(role, ("a@acme.test",)) == scopes


def test_what_is_written_is_read_in_one_way() -> None:
    """Roles in any case; an operator has no tenant, and others need one."""
    assert read_role(" Member ") is Role.MEMBER
    assert person_address("Ada@BÜCHER.test") == "ada@xn--bcher-kva.test"
    assert read_inboxes(["B@acme.test", "b@acme.test", "@acme.test"]) == ("@acme.test", "b@acme.test")
    assert (role_in(Role.OPERATOR, None), role_in(Role.MEMBER, "acme")) == (None, "acme")
    for role, tenant in ((Role.OPERATOR, "acme"), (Role.MEMBER, None), (Role.MEMBER, ""), (Role.MEMBER, "No Name")):
        with pytest.raises(ValueError, match=r"tenant"):
            role_in(role, tenant)
