"""The mail with a sign-in link, on a real database: the link is in the mail and nowhere else."""

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSessions, SqlSignInLinks
from mailroom.adapters.postgres.tenants.trail import SqlTrail
from mailroom.api.app import create_app
from mailroom.api.services import OutboundServices, PeopleServices, Services
from mailroom.domain.errors import TransientError
from mailroom.domain.inbound.routing import Address, normalise_pattern
from mailroom.domain.outbound.message import Lane, Outgoing
from mailroom.domain.people import Role
from mailroom.domain.tenants import OWN_TENANT
from mailroom.outbound.dispatching import Sender
from mailroom.outbound.sign_in_mail import STAND_IN, WithSignInLinks
from mailroom.ports.people import NewPerson
from mailroom.testing.api import BROWSER, NOW, Memory, TestClient
from mailroom.testing.people import MemoryPeople, MemorySignInLinks
from tests.support.batch_requests import ACME, ADMIN, HOLDERS, PORTS, batch, message, submitted
from tests.support.sending import Office, office_on
from tests.support.signed_in import OURS, add_person

BASE = "https://mail.example"


class Installation:
    """The API and a worker; people on PostgreSQL."""

    def __init__(self, engine: Engine, office: Office) -> None:
        self.engine, self.office = engine, office
        self.links, self.people = SqlSignInLinks(engine), SqlPeople(engine)
        memory = Memory()
        memory.keys.holders.update(HOLDERS)
        services = memory.services()
        self.services: Services = replace(
            services,
            settings=services.settings.model_copy(update={"pages_url": BASE, "sender": "mail@mail.example"}),
            reader=SqlInboxReader(engine),
            archive=office.outbound.archive,
            sending=OutboundServices(*(port(engine) for port in PORTS)),
            people=PeopleServices(self.people, SqlSessions(engine), self.links),
            trail=SqlTrail(engine),
        )
        self.app = create_app(self.services)
        self.browser = TestClient(self.app, base_url=BASE, headers=BROWSER, follow_redirects=False)
        office.outbound.sign_in = WithSignInLinks(self.links)

    def ask(self, address: str, next_: str = "/") -> None:
        answer = self.browser.post("/sign-in", data={"address": address, "next": next_}, headers=OURS)
        assert answer.status_code == 200

    def batches(self) -> list[str]:
        return [str(one) for one in self.office.values("select id from batch order by created_at")]

    def send(self) -> list[Outgoing]:
        """Send all that waits, and return what the provider got."""
        for one in self.batches():
            Sender(one, Lane.TRANSACTIONAL, self.office.outbound, clock=lambda: NOW).send_some(10)
        mails, self.office.provider.mails = self.office.provider.mails, []
        return mails

    def everything(self) -> str:
        """Return all rows of all tables as one text."""
        with self.engine.connect() as connection:
            names = connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars()
            return "\n".join(
                row
                for name in list(names)
                for row in connection.execute(text(f'select t::text from "{name}" t')).scalars()
            )


@pytest.fixture
def installation(engine: Engine) -> Iterator[Installation]:
    with office_on(engine) as office:
        yield Installation(engine, office)


def secret_in(mail: Outgoing) -> str:
    found = re.search(rf"^{BASE}/sign-in/([\w-]{{43}})$", mail.text or "", re.MULTILINE)
    assert found, mail.text
    return found[1]


def test_a_person_signs_in_by_the_mail_and_opens_the_page_that_was_asked_for(installation: Installation) -> None:
    """From the form to the page; a tenant's stream, sender list and suppressions of others have no part in it."""
    add_person(installation.people, "ada@acme.test", Role.ADMINISTRATOR)
    installation.ask("Ada@ACME.test", "/keys")

    [mail] = installation.send()
    assert (mail.to.address, mail.from_.address, mail.lane) == (
        "ada@acme.test",
        "mail@mail.example",
        Lane.TRANSACTIONAL,
    )
    assert mail.html is None
    link = f"/sign-in/{secret_in(mail)}"
    assert "ada@acme.test" in installation.browser.get(link).text
    done = installation.browser.post(link, headers=OURS)

    assert (done.status_code, done.headers["location"]) == (303, "/keys")
    assert installation.browser.get("/keys").status_code == 200
    assert installation.browser.post(link, headers=OURS).status_code == 404
    trail = installation.browser.get("/trail").text
    assert "asked for a sign-in link" in trail
    assert "signed in" in trail


def test_an_address_that_is_a_person_of_several_tenants_gets_a_link_for_each(installation: Installation) -> None:
    """Each says of which; the form's answer is the same, and one link opens one tenant."""
    for tenant in ("other", "acme"):
        installation.people.add(NewPerson("bob@mail.test", Role.ADMINISTRATOR, tenant, (), "cli"))
    installation.ask("bob@mail.test", "/people")

    mails = installation.send()

    assert [mail.subject for mail in mails] == [
        "Your link to sign in to Mailroom (acme)",
        "Your link to sign in to Mailroom (other)",
    ]
    for mail, tenant in zip(mails, ("acme", "other"), strict=True):
        assert f"as bob@mail.test,\nadministrator of {tenant}." in (mail.text or "").replace("\r\n", "\n")
        link = f"/sign-in/{secret_in(mail)}"
        assert f"administrator of {tenant}" in installation.browser.get(link).text
        assert installation.browser.post(link, headers=OURS).status_code == 303
        assert f"for {tenant}" in installation.browser.get("/people").text


@pytest.mark.parametrize(
    ("received", "person"),
    [("+a@acme.test", "+a+b@acme.test"), ("bob@acme.test", "bob+x@acme.test"), ("*@sub.acme.test", "c@sub.acme.test"),
     ("@*.acme.test", "d@deep.sub.acme.test"), ("in*@acme.test", "inge+x@acme.test")],
)  # fmt: skip
def test_no_link_goes_where_routing_would_file_it(installation: Installation, received: str, person: str) -> None:
    """By the rule that routes mail, whatever the spelling."""
    SqlAddresses(installation.engine).add(Address(normalise_pattern(received), "other", "x"))
    installation.people.add(NewPerson(person, Role.OPERATOR, None, (), "cli"))

    installation.ask(person)

    assert installation.send() == []


def test_the_link_is_in_the_mail_alone(installation: Installation, caplog: pytest.LogCaptureFixture) -> None:
    """Not in the database, the log, nor in any page or route: before it is sent, and after, to tenants and to operators."""
    caplog.set_level(logging.DEBUG, logger="mailroom")
    add_person(installation.people, "ada@acme.test", Role.ADMINISTRATOR)
    installation.ask("ada@acme.test")
    before = installation.everything()
    looks = [seen(installation)]

    [mail] = installation.send()
    secret = secret_in(mail)
    looks.append(seen(installation))

    assert STAND_IN in before
    for shown in looks:
        assert secret not in json.dumps(shown)
        assert STAND_IN in shown["admin-key"][1]
        for tenant in ("acme-key", "umbrella-key"):
            assert set(shown[tenant][0]) == {404}
            assert STAND_IN not in shown[tenant][1]
            assert "sign in to Mailroom" not in shown[tenant][1]
    assert secret not in installation.everything()
    assert secret not in caplog.text
    assert "ada@acme.test" not in caplog.text


def seen(installation: Installation) -> dict[str, tuple[list[int], str]]:
    """Return, by key, the statuses and the text of all that shows a batch or a message of the installation's own."""
    message_id, batch_id = (installation.office.values(f"select id from {name}")[0] for name in ("message", "batch"))
    paths = [f"/v1/messages/{message_id}{more}" for more in ("", "/content", "/content.eml", "/activities")]
    paths += [
        f"/v1/batches/{batch_id}",
        f"/messages/{message_id}",
        f"/messages/{message_id}/content.eml",
        f"/batches/{batch_id}",
    ]
    lists = ("/v1/messages?recipient=ada@acme.test", "/v1/batches", "/batches", "/recipients?address=ada@acme.test")
    found = {}
    for key in ("acme-key", "umbrella-key", "admin-key"):
        headers = {"Authorization": f"Bearer {key}"}
        answers = [installation.browser.get(path, headers=headers) for path in paths]
        more = [installation.browser.get(path, headers=headers).text for path in lists]
        found[key] = ([one.status_code for one in answers], "".join([*(one.text for one in answers), *more]))
    return found


def test_who_is_no_person_gets_no_mail(installation: Installation) -> None:
    """And nothing is stored of the question."""
    before = installation.everything()
    installation.ask("eve@acme.test")

    assert installation.everything() == before
    assert installation.send() == []


def test_an_address_gets_five_links_an_hour(installation: Installation) -> None:
    """Somebody else must not fill a mailbox; each is of its own, and the latest is as good as the first."""
    add_person(installation.people, "ada@acme.test")
    for _ in range(7):
        installation.ask("ada@acme.test")

    mails = installation.send()

    assert len({secret_in(mail) for mail in mails}) == len(mails) == 5


@pytest.mark.parametrize(
    ("pattern", "address"),
    [
        ("ada@acme.test", "ada@acme.test"),
        ("@acme.test", "bob@acme.test"),
        ("a*@acme.test", "ada+x@acme.test"),
        ("ada@acme.test", "ada+x@acme.test"),
    ],
)
def test_no_link_goes_to_an_inbox_that_is_read_here(
    installation: Installation, pattern: str, address: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has a key for that inbox would become its person: here an administrator, of another tenant."""
    add_person(installation.people, address, Role.ADMINISTRATOR)
    SqlAddresses(installation.engine).add(Address(pattern, "umbrella", "clerk"))

    installation.ask(address)

    assert installation.send() == []
    assert "this installation receives the address" in caplog.text
    assert address not in caplog.text


def test_a_tenants_mail_with_the_stand_in_stays_as_it_is(installation: Installation) -> None:
    """Nobody who sends gets a secret into a mail: the tenant decides, which no key has and no request names."""
    ada = add_person(installation.people, "ada@acme.test", Role.ADMINISTRATOR)
    asked = installation.links.ask(ada.id, "/")
    forged = message(to="ada@acme.test", text=f"{BASE}/sign-in/{STAND_IN}", reference=f"sign-in:{asked}")
    submitted(TestClient(installation.app, base_url=BASE, headers=ACME), batch(forged))

    [mail] = installation.send()

    assert STAND_IN in (mail.text or "")
    for name in (OWN_TENANT, "_Mailroom"):
        admin = TestClient(installation.app, base_url=BASE, headers=ADMIN)
        assert admin.post(f"/v1/batches?tenant={name}", json=batch(forged)).status_code == 422


def test_the_mail_is_sent_to_its_person_alone_and_not_again(installation: Installation) -> None:
    """An operator who sends it again to somebody else, or after it was used, sends no link."""
    add_person(installation.people, "ada@acme.test")
    add_person(installation.people, "bob@acme.test")
    installation.ask("ada@acme.test")
    with installation.engine.begin() as connection:
        connection.execute(
            text(
                """update message set recipient = 'bob@acme.test', "to" = '{"address": "bob@acme.test", "name": ""}'"""
            )
        )

    assert installation.send() == []
    assert installation.office.statuses() == ["failed"]


def test_a_mail_that_is_tried_again_has_a_link_that_works(installation: Installation) -> None:
    """The first try may have reached nobody; its link is over."""
    ada = add_person(installation.people, "ada@acme.test")
    installation.ask("ada@acme.test")
    link_id = installation.office.values("select reference from message")[0].removeprefix("sign-in:")
    first = installation.links.issue(link_id, ada.address)

    [mail] = installation.send()

    assert installation.browser.get(f"/sign-in/{first}").status_code == 404
    assert installation.browser.get(f"/sign-in/{secret_in(mail)}").status_code == 200


def test_a_link_that_cannot_be_stored_now_is_sent_later(installation: Installation) -> None:
    """The message waits as for any outage; no mail leaves with a link that nobody can use."""
    add_person(installation.people, "ada@acme.test")
    installation.ask("ada@acme.test")

    class Away(MemorySignInLinks):
        def issue(self, link_id: str, address: str) -> str | None:
            raise TransientError("the database cannot be reached")

    installation.office.outbound.sign_in = WithSignInLinks(Away(MemoryPeople()))

    assert installation.send() == []
    assert installation.office.statuses() != ["failed"]


def test_an_earlier_release_sends_a_link_that_signs_in_nobody(installation: Installation) -> None:
    """While a new release is rolled out: its page says to ask again."""
    installation.office.outbound.sign_in = None
    add_person(installation.people, "ada@acme.test")
    installation.ask("ada@acme.test")

    [mail] = installation.send()

    assert f"{BASE}/sign-in/{STAND_IN}" in (mail.text or "")
    assert "Ask for a new link" in installation.browser.get(f"/sign-in/{STAND_IN}").text
