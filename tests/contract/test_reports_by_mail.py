"""Mail that comes back to return paths, on PostgreSQL: what becomes an event of its message, and what changes nothing."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

import tests.support.mail_reports as samples
from mailroom.archive.depositing import deposit_all
from mailroom.archive.mail_manifests import describe
from mailroom.domain.archive.manifests import RetentionClass
from mailroom.domain.errors import Reason
from mailroom.domain.inbound.filing_policy import Action, FilingPolicy
from mailroom.domain.inbound.routing import Address
from mailroom.domain.inbound.verdicts import Verdict
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.manifests import MemoryManifests
from mailroom.testing.scanner import EICAR, MemoryScanner
from tests.support.mail_reports import filled
from tests.support.returned_mail import DOMAIN, GOOD, NOW, Returned


@pytest.fixture
def returned(engine: Engine) -> Returned:
    return Returned(engine)


def test_a_hard_bounce_by_mail_bounces_its_message_and_suppresses_the_address(returned: Returned) -> None:
    """As a provider's event does: status, reason, suppression, and a history that names its origin."""
    [(message, path)] = returned.sends()

    routing = returned.receives(samples.POSTFIX, path)

    assert returned.status(message) == ("bounced", "bounced_hard")
    assert returned.suppressed() == [("acme", "u0@users.test", "hard_bounce")]
    [(provider, facts)] = returned.rows("select provider, facts from activity where kind = 'bounced_hard'")
    email = facts.pop("email")
    assert (provider, facts) == (
        "smtp",
        {
            "origin": "mail",
            "report": "delivery",
            "action": "failed",
            "status": "5.1.1",
            "smtp_code": "550",
            "fault": "recipient",
        },
    )
    assert (routing.stop, routing.tenants) == (None, ("acme",))
    [line] = returned.rows("select id::text, state, route, tenants, facts from inbound_email")
    assert tuple(line) == (email, "filed", "report", ["acme"], {"report_of": message, "event": "bounced_hard"})
    assert returned.rows("select * from inbox_item") == []


def test_the_same_report_twice_is_one_event(returned: Returned) -> None:
    """A server that missed our 250 sends it again, as another mail."""
    [(message, path)] = returned.sends()

    returned.receives(samples.POSTFIX, path)
    returned.receives(samples.GMAIL, path.upper(), after=timedelta(hours=2))

    assert returned.kinds(message) == ["bounced_hard"]
    facts = [facts for (facts,) in returned.rows("select facts from inbound_email order by received_at")]
    assert [one.get("repeated") for one in facts] == [None, True]
    assert returned.rows("select events from event_tally where provider = 'smtp' and kind = 'bounced_hard'") == [(1,)]


def test_reports_are_folded_whatever_their_order(returned: Returned) -> None:
    """A delay notice after the delivery report changes nothing; a bounce after the delivery does."""
    [(message, path)] = returned.sends()
    seen = []

    for sample in (samples.POSTFIX_DELAY, samples.DELIVERED, samples.GMAIL_DELAY, samples.EXCHANGE_FULL):
        returned.receives(sample, path)
        seen.append(returned.status(message)[0])

    assert seen == ["deferred", "delivered", "delivered", "bounced"]
    assert returned.kinds(message) == ["delayed", "delivered", "bounced_soft"]


def test_nothing_by_mail_beats_a_complaint(returned: Returned) -> None:
    """Who has seen the return path could forge a bounce; the complaint stands."""
    [(message, path)] = returned.sends()

    returned.receives(samples.complaint("abuse"), path)
    returned.receives(samples.POSTFIX, path)
    returned.receives(samples.DELIVERED, path)

    assert returned.status(message) == ("complained", "complained")
    assert ("acme", "u0@users.test", "complaint") in returned.suppressed()


def test_an_automatic_reply_is_no_bounce(returned: Returned) -> None:
    """Out of office, with the null sender that RFC 3834 recommends."""
    [(message, path)] = returned.sends()

    returned.receives(samples.OUT_OF_OFFICE, path)

    assert returned.kinds(message) == ["autoresponded"]
    assert returned.suppressed() == []


def test_an_old_bounce_without_fields_never_suppresses_by_itself(returned: Returned) -> None:
    """A text proves less than fields do."""
    [(message, path)] = returned.sends()

    returned.receives(samples.QMAIL, path)

    assert returned.status(message) == ("bounced", "bounced_soft")
    assert returned.suppressed() == []


@pytest.mark.parametrize(
    ("sample", "suppressed"),
    [(samples.BLOCKED, []), (samples.EXCHANGE_FULL, [("acme", "u0@users.test", "soft_bounces")])],
)
def test_soft_bounces_by_mail_count_where_the_address_is_at_fault(
    returned: Returned, sample: str, suppressed: list[tuple[str, ...]]
) -> None:
    """As a provider's do: a block list says nothing of the mailbox, and one that stays full is left alone for a while."""
    for day in range(5):
        [(_, path)] = returned.sends(at=NOW + timedelta(days=day))
        returned.receives(sample, path, after=timedelta(days=day, hours=1))

    assert [tuple(one) for one in returned.suppressed()] == suppressed


def test_the_token_says_whose_report_it_is(returned: Returned) -> None:
    """Neither the address in the report, which may be one forwarded to, nor our id in it, which a forger may write."""
    [(mine, path), (other, _)] = returned.sends(2)
    forged = samples.POSTFIX.replace("{id}", other).replace("{to}", "u1@users.test")

    returned.receives(forged, path)

    assert returned.status(mine) == ("bounced", "bounced_hard")
    assert returned.status(other) == ("dispatched", None)
    assert returned.suppressed() == [("acme", "u0@users.test", "hard_bounce")]


def test_a_report_of_another_tenants_message_is_that_tenants(returned: Returned) -> None:
    """Its archive, its event, its suppression; the same address of another tenant still gets mail."""
    [(mine, _)] = returned.sends()
    [(theirs, path)] = returned.sends(tenant="globex")

    routing = returned.receives(samples.POSTFIX, path)

    assert routing.tenants == ("globex",)
    assert returned.status(mine) == ("dispatched", None)
    assert returned.status(theirs) == ("bounced", "bounced_hard")
    assert returned.suppressed() == [("globex", "u0@users.test", "hard_bounce")]


def forged(path: str) -> str:
    return path[:2] + ("a" if path[2] != "a" else "b") + path[3:]


@pytest.mark.parametrize(
    ("recipients", "after"),
    [
        (lambda path: (forged(path),), timedelta()),
        (lambda path: (path,), timedelta(days=14, seconds=1)),
        (lambda path: (path.replace(DOMAIN, "other.test"),), timedelta()),
        (lambda path: (path.replace("b+", "c+"),), timedelta()),
        (lambda path: (f"b@{DOMAIN}",), timedelta()),
        (lambda path: (path, forged(path)), timedelta()),
        (lambda path: (path, "anna@acme.test"), timedelta()),
    ],
)
def test_without_a_valid_token_nothing_changes(returned: Returned, recipients: object, after: timedelta) -> None:
    """Forged, expired, elsewhere, stripped; and a mail for several, which no report is."""
    [(message, path)] = returned.sends(at=NOW - after)
    assert callable(recipients)

    entry = returned.arrives(*recipients(path))
    routing = returned.decides(entry, filled(samples.POSTFIX, path=path))

    assert (routing.report, routing.stop) == (None, Reason.NO_ROUTE)
    assert returned.status(message) == ("dispatched", None)
    assert (returned.kinds(message), returned.suppressed()) == ([], [])


def test_mail_for_a_return_path_without_a_valid_token_is_counted(returned: Returned) -> None:
    """Backscatter: bounces of mail that others sent in our name. It goes where it went before."""
    [(_, path)] = returned.sends()

    returned.receives(samples.POSTFIX, forged(path))
    returned.directory.add(Address(f"@{DOMAIN}", "acme", "postmaster"))
    kept = returned.receives(samples.POSTFIX, forged(path))

    assert [to.user for to in kept.routes] == ["postmaster"]
    assert returned.rows("select state, route from inbound_email order by received_at, key") == [
        ("quarantined", "backscatter"),
        ("filed", "backscatter"),
    ]


def test_a_persons_mail_is_routed_as_any(returned: Returned) -> None:
    """Some programs answer to the envelope's sender: it reaches the address, if there is one, and is no event."""
    [(message, path)] = returned.sends()

    nowhere = returned.receives(samples.PERSON, path, sender="anna@users.test")
    returned.directory.add(Address(f"b@{DOMAIN}", "acme", "desk"))
    somewhere = returned.receives(samples.PERSON, path, sender="anna@users.test")

    assert (nowhere.report, nowhere.stop) == (None, Reason.NO_ROUTE)
    assert [(to.user, to.why) for to in somewhere.routes] == [("desk", "plus")]
    assert returned.kinds(message) == []


def test_spam_and_dmarc_do_not_stop_a_report_with_a_valid_token(returned: Returned) -> None:
    """Reports often fail DMARC, and a returned newsletter looks like spam: the token is the proof."""
    strict = FilingPolicy(*[Action.QUARANTINE] * 5)
    returned.tenants.set_policy("acme", strict)
    [(message, path)] = returned.sends()
    doubtful = replace(GOOD, spam=Verdict.FAIL, spf=Verdict.FAIL, dmarc=Verdict.FAIL, dmarc_policy="reject")

    returned.receives(samples.POSTFIX, path, verdicts=doubtful)

    assert returned.status(message) == ("bounced", "bounced_hard")


@pytest.mark.parametrize("by_scanner", [True, False])
def test_a_virus_stops_a_report(returned: Returned, by_scanner: bool) -> None:
    """The returned mail may have an attachment that was not ours."""
    [(message, path)] = returned.sends()
    returned.scanner = MemoryScanner()
    sample = samples.POSTFIX + EICAR.decode() if by_scanner else samples.POSTFIX

    routing = returned.receives(sample, path, verdicts=GOOD if by_scanner else replace(GOOD, virus=Verdict.FAIL))

    assert routing.stop is Reason.VIRUS
    assert returned.status(message) == ("dispatched", None)


def test_a_report_is_archived_for_30_days(returned: Returned) -> None:
    """It is a document of nobody's; the raw e-mail and its manifest have the period of the class `report`."""
    [(_, path)] = returned.sends()
    raw = filled(samples.POSTFIX, path=path)
    entry, archive, manifests = returned.arrives(path), MemoryArchive(retention=timedelta(days=3650)), MemoryManifests()

    routing = returned.decides(entry, raw)
    described = describe(entry, routing, raw)
    kept = deposit_all(
        entry,
        routing.tenants,
        [raw],
        archive=archive,
        ledger=returned.ledger,
        now=NOW,
        described=described,
        manifests=manifests,
        retention=routing.retention_class,
    )

    [manifest] = described
    assert (manifest.tenant, manifest.retention, manifest.envelope.recipients) == (
        "acme",
        RetentionClass.REPORT,
        (path,),
    )
    [receipt] = kept.values()
    assert receipt.verified_at is not None
    assert receipt.retain_until - receipt.verified_at == timedelta(days=30)
