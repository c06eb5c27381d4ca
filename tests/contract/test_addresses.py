"""The receiving addresses as people keep them, in PostgreSQL and in memory; and what becomes of their mail, in PostgreSQL."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.domain.inbound.received_email import Arrival, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address
from mailroom.inbound.address_book import what_is_next
from mailroom.ports.addresses import Addresses, MailOfAddress
from mailroom.testing.addresses import MemoryAddresses
from tests.support.filed_mail import ANNA, Filed

NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)


@pytest.fixture(params=["sql", "memory"])
def book(request: pytest.FixtureRequest) -> Addresses:
    book: Addresses = SqlAddresses(request.getfixturevalue("engine")) if request.param == "sql" else MemoryAddresses()
    book.add_all([Address("anna@acme.test", "acme", "anna"), Address("@*.acme.test", "acme", "all", "digest")])
    book.add(Address("anna@acme.test", "other", "spy"))
    return book


def test_addresses_are_added_once_and_existing_ones_stay(book: Addresses) -> None:
    """An import may run twice, and must not give an inbox to somebody else."""
    new = [Address("anna@acme.test", "acme", "eve"), Address("bob@acme.test", "acme", "bob")]

    assert book.add_all(new) == {("bob@acme.test", "acme")}
    assert book.add_all(new) == set()
    assert book.add_all([]) == set()
    assert book.find("acme", ["anna@acme.test"])["anna@acme.test"].user == "anna"
    assert not book.add(new[0])


def test_each_tenant_sees_and_changes_its_own(book: Addresses) -> None:
    """Two tenants may have an address of one spelling."""
    assert book.change("acme", "anna@acme.test", user="ann", processor=None) is not None
    assert book.set_processor("anna@acme.test", "acme", "webhook")
    assert book.remove("other", ["@*.acme.test"]) == []

    [own, foreign] = book.page(None, pattern="anna@acme.test", after=None, limit=5)
    assert (own.tenant, own.user, own.processor) == ("acme", "ann", "webhook")
    assert (foreign.tenant, foreign.user, foreign.processor) == ("other", "spy", "inbox")
    assert [one.pattern for one in book.page("other", pattern=None, after=None, limit=5)] == ["anna@acme.test"]
    assert book.find("other", ["@*.acme.test"]) == {}
    assert [one.tenant for one in book.all()] == ["acme", "acme", "other"]


def test_pages_follow_each_other(book: Addresses) -> None:
    """Ordered by address, then tenant: an address that is added meanwhile neither repeats nor hides one."""
    found, after = [], None
    while page := book.page(None, pattern=None, after=after, limit=1):
        found += page
        after = page[-1].pattern, page[-1].tenant

    assert sorted((one.pattern, one.tenant) for one in found) == sorted(
        [("@*.acme.test", "acme"), ("anna@acme.test", "acme"), ("anna@acme.test", "other")]
    )


def test_what_is_removed_is_gone_and_what_is_not_there_is_not_changed(book: Addresses) -> None:
    """From the next mail on."""
    assert book.remove("acme", ["anna@acme.test", "none@acme.test"]) == ["anna@acme.test"]
    assert book.change("acme", "anna@acme.test", user="x", processor=None) is None
    assert [one.tenant for one in book.lookup(["anna@acme.test"])["anna@acme.test"]] == ["other"]
    assert sorted(book.lookup(["x@a.acme.test", "@*.acme.test"])) == ["@*.acme.test"]
    assert book.mail_of("acme", ["anna@acme.test"]) == {"anna@acme.test": MailOfAddress()}


def test_a_sentence_says_where_mail_goes_afterwards(book: Addresses) -> None:
    """To what is left, also of other tenants: the operator must see whose inbox it fills then."""
    book.add(Address("bob@x.acme.test", "acme", "bob"))

    def then(pattern: str, *also: str) -> str:
        return what_is_next(pattern, [pattern, *also], book, tenant="acme")

    assert then("anna@acme.test") == "its mail goes to tenant other (exact)"
    assert then("bob@x.acme.test") == "its mail goes to tenant acme (subdomain)"
    assert "no_route" in then("bob@x.acme.test", "@*.acme.test")
    assert "no_route" in then("@*.acme.test")


def test_mail_on_its_way_is_counted_by_what_may_route_it(engine: Engine) -> None:
    """Open and quarantined lines by their recipients, whatever their spelling; filed items by their inbox."""
    ledger, book = SqlLedger(engine), SqlAddresses(engine)
    Filed(engine)

    def arrives(name: str, state: State | None, *recipients: str) -> None:
        ref = ObjectRef("mails", f"in/{name}")
        ledger.register(Arrival(ref, Envelope(recipients, "a@b.test", NOW)), now=NOW)
        if state:
            ledger.close(ledger.begin(ref, now=NOW).id, state, now=NOW, reason="spam")

    anna = ANNA.recipient
    domain = anna.rpartition("@")[2]
    arrives("open", None, f"{anna.upper()}", "bob@else.test")
    arrives("failed", State.FAILED, anna.replace("@", "+tax@"))
    arrives("held", State.QUARANTINED, anna, anna)
    arrives("filed", State.FILED, anna)
    arrives("below", None, f"x@deep.{domain}", "no address")
    patterns = [anna, f"@{domain}", f"@*.{domain}", f"{anna[0]}*@{domain}", "in/", "bob@nowhere.test"]

    mail = book.mail_of(ANNA.tenant, patterns)

    counted = {one: (mail[one].under_way, mail[one].quarantined) for one in patterns}
    assert counted == {
        anna: (2, 1),
        f"@{domain}": (2, 1),
        f"@*.{domain}": (1, 0),
        f"{anna[0]}*@{domain}": (2, 1),
        "in/": (3, 1),
        "bob@nowhere.test": (0, 0),
    }
    assert [mail[one].items > 0 for one in patterns] == [True, True, False, True, False, False]
    assert all(one.counted_all for one in mail.values())
    assert book.mail_of(ANNA.tenant, [anna])[anna] == mail[anna]
    assert book.mail_of("nobody", [anna])[anna].items == 0
