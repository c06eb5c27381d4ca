"""The ports of reading, `Reader`, `LedgerReader` and `ApiKeys`, in memory and on PostgreSQL: order, paging, search, and
tenant isolation.
"""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from mailroom.api.auth import key_digest
from mailroom.domain.inbound.received_email import State
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.ports.api_keys import Holder
from tests.support.inboxes import NOW, Installation, MemoryInstallation, SqlInstallation


@pytest.fixture(params=["memory", "sql"])
def installation(request: pytest.FixtureRequest) -> Installation:
    if request.param == "memory":
        return MemoryInstallation()
    return SqlInstallation(request.getfixturevalue("engine"))


def test_inboxes_are_addresses_and_what_they_hold(installation: Installation) -> None:
    """An address is listed before its first mail; an inbox of a domain after it, though no address names it."""
    patterns = [
        ("acme", "ann@acme.test"),
        ("acme", "new@acme.test"),
        ("acme", "@catch.test"),
        ("other", "bob@other.test"),
    ]
    for tenant, pattern in patterns:
        installation.address(tenant, pattern)
    installation.file("acme", "ann@acme.test", minutes=5)
    installation.file("acme", "ann@acme.test", minutes=9)
    installation.file("acme", "any@catch.test")

    of_acme = installation.reader.inboxes("acme", limit=10)

    assert [(line.address, line.items) for line in of_acme] == [
        ("any@catch.test", 1),
        ("ann@acme.test", 2),
        ("@catch.test", 0),
        ("new@acme.test", 0),
    ]
    assert (of_acme[1].newest, of_acme[1].user) == (NOW - timedelta(minutes=5), "user")
    assert {line.tenant for line in installation.reader.inboxes(None, limit=10)} == {"acme", "other"}
    assert len(installation.reader.inboxes(None, limit=2)) == 2


def test_receives_knows_addresses_domains_and_filled_inboxes(installation: Installation) -> None:
    """What another tenant receives is as unknown as what no one receives."""
    installation.address("acme", "ann@acme.test", "ann")
    installation.address("acme", "@catch.test", "any")
    installation.file("acme", "old@acme.test")

    for address in ("ann@acme.test", "any@catch.test", "old@acme.test"):
        assert [installation.reader.receives(tenant, address) for tenant in ("acme", None, "other")] == [
            True,
            True,
            False,
        ]
    assert not installation.reader.receives(None, "nobody@acme.test")
    assert not installation.reader.receives(None, "%@acme.test")


def test_items_come_newest_first_in_pages_that_join(installation: Installation) -> None:
    """Also among items of the same moment: the id decides, and nothing is skipped or returned twice."""
    same_moment = {installation.file("acme", "ann@acme.test", minutes=3) for _ in range(4)}
    newest = installation.file("acme", "ann@acme.test", files=2)
    installation.file("acme", "zoe@acme.test")

    seen, after = [], None
    while True:
        page = installation.reader.items("acme", "ann@acme.test", after=after, limit=2)
        seen += page.lines
        after = page.next
        if after is None:
            break

    assert seen[0].id == newest
    assert {line.id for line in seen[1:]} == same_moment
    assert len(seen) == 5
    assert seen[0].attachments == 2
    assert seen[0].verdicts
    assert (seen[0].verdicts.dmarc, seen[0].from_) == (Verdict.FAIL, "Carl <carl@x.test>")
    assert installation.reader.items(None, "ann@acme.test", after=None, limit=9).lines == tuple(seen)


def test_an_item_comes_with_its_attachments_and_receipts(installation: Installation) -> None:
    """One response has all that a page shows."""
    item_id = installation.file("acme", "ann@acme.test", files=1, html="<p>x", cc=["b@x.test"], defects=["odd"])

    filed = installation.reader.item("acme", item_id)

    assert filed
    assert [(part.number, part.inline) for part in filed.item.attachments] == [(1, False), (2, True)]
    assert filed.deposits[filed.item.raw_archive_id].lock_mode == "GOVERNANCE"
    assert (filed.item.cc, filed.item.defects, filed.item.html) == (("b@x.test",), ("odd",), "<p>x")
    found = installation.reader.attachment("acme", item_id, 1)
    assert found == filed.item.attachments[0]


def test_nothing_of_another_tenant_is_found_by_its_id(installation: Installation) -> None:
    """Ids leak (links, logs, mails); they must open nothing."""
    item_id = installation.file("acme", "ann@acme.test", files=1)
    filed = installation.reader.item("acme", item_id)
    assert filed

    assert installation.reader.item("other", item_id) is None
    assert installation.reader.attachment("other", item_id, 1) is None
    assert installation.reader.email("other", filed.email_id) is None
    assert installation.reader.items("other", "ann@acme.test", after=None, limit=9).lines == ()
    assert installation.reader.emails("other", states=[], reason=None, since=None, after=None, limit=9).lines == ()


@pytest.mark.parametrize(
    "no_id", ["", "1", "nope", "' or 1=1 --", "0190a1b2-0000-7000-8000-0000000000ff", "\x00", "0" * 5000]
)
def test_a_malformed_id_finds_nothing(installation: Installation, no_id: str) -> None:
    """Ids come from URLs and may be anything."""
    assert installation.reader.item(None, no_id) is None
    assert installation.reader.attachment(None, no_id, 1) is None
    assert installation.reader.email(None, no_id) is None


@pytest.mark.parametrize("number", [0, -1, 3, 2**31, 10**30])
def test_an_attachment_number_out_of_range_finds_nothing(installation: Installation, number: int) -> None:
    """A number beyond the column's type would be an error of the database."""
    item_id = installation.file("acme", "ann@acme.test", files=1)

    assert installation.reader.attachment("acme", item_id, number) is None


def test_the_ledger_is_filtered_and_paged(installation: Installation) -> None:
    """Quarantine is this list with two states."""
    ids = [
        installation.email(State.QUARANTINED, reason="no_route", minutes=1),
        installation.email(State.QUARANTINED, reason="virus", minutes=2, facts={"step": "scan"}),
        installation.email(State.FAILED, minutes=3),
        installation.email(State.FILED, minutes=4),
        installation.email(State.QUARANTINED, reason="no_route", minutes=5000),
    ]

    def found(states: list[State], reason: str | None = None, since: datetime | None = None) -> list[str]:
        page = installation.reader.emails(None, states=states, reason=reason, since=since, after=None, limit=9)
        return [line.id for line in page.lines]

    assert found([]) == ids
    assert found([State.QUARANTINED, State.FAILED]) == [ids[0], ids[1], ids[2], ids[4]]
    assert found([State.QUARANTINED], "no_route", NOW - timedelta(days=1)) == [ids[0]]
    first = installation.reader.emails(None, states=[], reason=None, since=None, after=None, limit=3)
    rest = installation.reader.emails(None, states=[], reason=None, since=None, after=first.next, limit=3)
    assert [line.id for line in first.lines + rest.lines] == ids
    assert first.lines[1].facts == {"step": "scan"}


def test_a_tenant_sees_only_what_was_routed_to_it_and_no_envelope(installation: Installation) -> None:
    """An e-mail for two tenants names both in its envelope; one without a route is the administrator's alone."""
    shared, unrouted = (
        installation.email(tenants=("acme", "other")),
        installation.email(State.QUARANTINED, reason="no_route"),
    )

    [seen] = installation.reader.emails("acme", states=[], reason=None, since=None, after=None, limit=9).lines
    whole = installation.reader.email(None, shared)

    assert (seen.id, seen.sender, seen.recipients) == (shared, None, ())
    assert whole
    assert whole.recipients == ("ann@acme.test", "bob@other.test")
    assert installation.reader.email("acme", unrouted) is None


def test_the_census_counts_by_state_and_reason(installation: Installation) -> None:
    """Metrics come from one statement, also on an empty database."""
    assert (installation.reader.census().tallies, installation.reader.census().items) == ((), 0)

    installation.file("acme", "ann@acme.test", minutes=1)
    for minutes in (7, 3):
        installation.email(State.QUARANTINED, reason="virus", minutes=minutes)

    census = installation.reader.census()
    assert [(tally.state, tally.reason, tally.emails) for tally in census.tallies] == [
        (State.FILED, None, 1),
        (State.QUARANTINED, "virus", 2),
    ]
    assert census.tallies[1].oldest == NOW - timedelta(minutes=7)
    assert census.items == 1


def test_a_key_is_found_by_its_digest_only(installation: Installation) -> None:
    """The table holds no key, so that a leaked backup opens nothing."""
    installation.key("acme-key", Holder("app", "acme"))
    installation.key("admin-key", Holder("root"))

    assert installation.keys.holder(key_digest("acme-key")) == Holder("app", "acme")
    assert installation.keys.holder(key_digest("admin-key")) == Holder("root", None)
    assert installation.keys.holder(key_digest("other")) is None
    assert installation.keys.holder("acme-key") is None


def test_ping_answers(installation: Installation) -> None:
    """Readiness requests this and nothing more."""
    installation.reader.ping()


@pytest.mark.parametrize(
    ("question", "finds"),
    [
        ("reglee", True),
        ("RÉGLÉE facture", True),
        ("factu", True),
        ("fact reglee", False),
        ("carl", True),
        ("dupont@banque.test", True),
        ("banque", True),
        ("scan_2024-03.pdf", True),
        ("2024-03", True),
        ("pdf", True),
        ("thousand euros", True),
        ('"thousand euros"', True),
        ('"euros thousand"', False),
        ("invoice -reglee", False),
        ("reglee -invoice", True),
        ("nothing or euros", True),
        ("hidden", False),
        ("", True),
        ("  ", True),
    ],
)
def test_a_mail_is_found_by_what_one_remembers_of_it(installation: Installation, question: str, finds: bool) -> None:
    """Subject, sender, file names and text, also of an HTML-only mail; the last word may be half typed."""
    html = "<style>.hidden{}</style><p class='hidden'>Five <b>thousand</b> euros &amp; more</p>"
    wanted = installation.letter(
        subject="Facture n\u00b0 7 R\u00e9gl\u00e9e",
        from_="Carl Dupont <dupont@banque.test>",
        text=None,
        html=html,
        files=("scan_2024-03.pdf",),
    )

    page = installation.reader.items("acme", "ann@acme.test", question=question, after=None, limit=9)

    assert [line.id for line in page.lines] == [wanted] * finds


@pytest.mark.parametrize(
    "question",
    [
        "'",
        '"',
        '""',
        "-",
        '-"',
        "--",
        "&|!():*<->",
        "a & | !b",
        "or",
        "or or",
        "a or",
        "\\",
        "a'b:*",
        "%_",
        '-"a b',
        "🂡 \u202e",
        "' or 1=1 --",
        "x" * 200,
        "é" * 200,
        "- " * 100,
        "(((((",
        ":*",
        '"a',
        "a:*b",
        "<b>",
        "ﷺ" * 100,
        "㌖" * 200,
    ],
)
def test_no_question_is_an_error(installation: Installation, question: str) -> None:
    """Queries come from the browser's address line; PostgreSQL's query syntax must not leak through."""
    installation.letter()

    page = installation.reader.items("acme", "ann@acme.test", question=question, after=None, limit=9)

    assert page.next is None


def test_what_was_found_comes_in_pages_that_join(installation: Installation) -> None:
    """Newest first, like the inbox itself."""
    ids = [installation.letter(minutes=minutes, text="report" if minutes % 2 else "other") for minutes in range(10)]

    first = installation.reader.items("acme", "ann@acme.test", question="rep", after=None, limit=3)
    rest = installation.reader.items("acme", "ann@acme.test", question="rep", after=first.next, limit=3)

    assert [line.id for line in first.lines + rest.lines] == ids[1::2]
    assert rest.next is None


def test_nothing_is_found_in_another_tenants_mail(installation: Installation) -> None:
    """One index holds all tenants' words."""
    installation.letter(text="secret")

    assert installation.reader.items("acme", "ann@acme.test", question="secret", after=None, limit=9).lines
    assert not installation.reader.items("other", "ann@acme.test", question="secret", after=None, limit=9).lines
    assert not installation.reader.items("acme", "zoe@acme.test", question="secret", after=None, limit=9).lines


def test_the_ledger_finds_a_line_by_any_id_with_its_history(installation: Installation) -> None:
    """An operator has the id that a log or a page shows; an unknown id has no history."""
    email_id = installation.email(State.QUARANTINED, reason="virus", facts={"step": "scan"})
    item = installation.reader.item(None, installation.file("acme", "ann@acme.test"))
    assert item

    found = installation.book.find(email_id)

    assert found
    assert (found.id, found.state, found.reason, found.facts) == (email_id, "quarantined", "virus", {"step": "scan"})
    by_item = installation.book.find(item.id)
    assert by_item
    assert by_item.id == item.email_id
    assert installation.book.find(str(uuid4())) is None
    assert installation.book.find("no such message") is None
    assert installation.book.trace(email_id)["activities"] == []
    with pytest.raises(LookupError):
        installation.book.trace(str(uuid4()))
