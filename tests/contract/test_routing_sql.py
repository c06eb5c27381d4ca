"""From a received mail to its inbox items, on PostgreSQL: who gets it, who does not, and the recorded decision."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.tenants.directory import SqlDirectory, SqlTenants
from mailroom.archive.depositing import deposit_all
from mailroom.domain.errors import Reason
from mailroom.domain.inbound.filing_policy import Action, FilingPolicy, Finding
from mailroom.domain.inbound.received_email import Arrival, Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address
from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.domain.parsing import parse_email
from mailroom.domain.tenants import NOBODY
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision, decide_routing
from mailroom.ports.tenants import Webhook
from mailroom.testing.archive import MemoryArchive
from mailroom.testing.scanner import EICAR, MemoryScanner

NOW = datetime(2026, 11, 22, 3, 30, tzinfo=UTC)
REF = ObjectRef("inbound", "in/abc123")
GOOD = Verdicts(*[Verdict.PASS] * 5)
RAW = b"From: carl@sender.test\r\nTo: list@elsewhere.test\r\nSubject: lease\r\n\r\nhello\r\n"
RECIPIENTS = ("Anna@acme.test", "bob+lease@acme.test", "carla@other.test")


class Desk:
    """Ledger, directory, inbox and archive around one mail."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ledger, self.directory, self.inbox = SqlLedger(engine), SqlDirectory(engine), SqlInbox(engine)
        self.tenants, self.reader, self.archive = SqlTenants(engine), SqlInboxReader(engine), MemoryArchive()
        self.scanner: MemoryScanner | None = None
        for pattern, tenant in (("anna@acme.test", "acme"), ("bob@acme.test", "acme"), ("@other.test", "other")):
            self.directory.add(Address(pattern, tenant, pattern.partition("@")[0] or "all"))

    def arrives(self, *recipients: str, verdicts: Verdicts = GOOD) -> Entry:
        envelope = Envelope(recipients, "carl@sender.test", NOW, verdicts)
        entry = self.ledger.register(Arrival(REF, envelope), now=NOW)
        assert entry is not None
        return self.ledger.begin(REF, now=NOW)

    def decides(self, entry: Entry, raw: bytes = RAW) -> RoutingDecision:
        return decide_routing(entry, raw, directory=self.directory, ledger=self.ledger, now=NOW, scanner=self.scanner)

    def files(self, entry: Entry, routing: RoutingDecision, raw: bytes = RAW) -> list[str]:
        kept = deposit_all(entry, routing.tenants, [raw], archive=self.archive, ledger=self.ledger, now=NOW)
        with self.engine.begin() as connection:
            for one in kept.values():
                values = {name: getattr(one, name) for name in one.__slots__} | {"deposited_at": NOW}
                columns = ", ".join(values)
                places = ", ".join(f":{name}" for name in values)
                connection.execute(
                    text(f"insert into deposit ({columns}) values ({places}) on conflict do nothing"), values
                )
        items = self.inbox.file(entry.id, items_for(parse_email(raw), raw, routing, kept), now=NOW)
        self.ledger.close(entry.id, State.FILED, now=NOW)
        return items

    def listed(self, address: str) -> list[str]:
        return [line.id for line in self.reader.items(None, address, after=None, limit=10).lines]

    def noted(self, entry: Entry, kind: str) -> list[dict[str, object]]:
        return [one["facts"] for one in self.ledger.trace(entry.id)["activities"] if one["kind"] == kind]


@pytest.fixture
def routing_setup(engine: Engine) -> Desk:
    return Desk(engine)


def test_mail_for_three_users_of_two_tenants_is_three_items_and_a_deposit_for_each_tenant(routing_setup: Desk) -> None:
    """All three are in Bcc: To names none of them. Neither tenant's archive depends on the other's."""
    entry = routing_setup.arrives(*RECIPIENTS)

    routing = routing_setup.decides(entry)
    items = routing_setup.files(entry, routing)

    assert [(to.recipient, to.tenant, to.why, to.plus_token) for to in routing.routes] == [
        ("anna@acme.test", "acme", "exact", None),
        ("bob@acme.test", "acme", "plus", "lease"),
        ("carla@other.test", "other", "domain", None),
    ]
    assert len(set(items)) == 3
    assert sorted(one.partition("/")[0] for one in routing_setup.archive.contents) == ["acme", "other"]


def test_decision_is_stored_with_its_reason_and_token(routing_setup: Desk) -> None:
    """A year later the ledger still says why a mail went where it went; the token is data of the item."""
    entry = routing_setup.arrives("bob+lease@acme.test")

    [item] = routing_setup.files(entry, routing_setup.decides(entry))

    [decision] = routing_setup.noted(entry, "routed")
    assert decision["routes"] == [
        {"recipient": "bob@acme.test", "tenant": "acme", "user": "bob", "why": "plus", "plus": "lease"}
    ]
    filed = routing_setup.reader.item("acme", item)
    assert filed is not None
    assert filed.item.plus_token == "lease"


def test_pattern_prefix_and_policy_come_with_one_query(routing_setup: Desk) -> None:
    """One query of the directory for each mail, whatever kind of rule matches; other domains' patterns do not."""
    routing_setup.directory.add(Address("invoice-*@acme.test", "acme", "books", "digest"))
    routing_setup.directory.add(Address("invoice-*@other.test", "other", "books"))
    routing_setup.directory.add(Address("in/", "acme", "rest"))
    routing_setup.tenants.set_policy("acme", FilingPolicy(spam=Action.QUARANTINE))

    found = routing_setup.directory.lookup(["invoice-7@acme.test", "@acme.test", "in/"])

    assert sorted(found) == ["in/", "invoice-*@acme.test"]
    [rule] = found["invoice-*@acme.test"]
    assert (rule.processor, rule.policy) == ("digest", FilingPolicy(spam=Action.QUARANTINE))


def test_processor_of_an_address_can_be_changed(routing_setup: Desk) -> None:
    """By its own tenant's name; another tenant's address of the same spelling is another's."""
    assert routing_setup.directory.set_processor("anna@acme.test", "acme", "webhook")
    assert not routing_setup.directory.set_processor("anna@acme.test", "other", "digest")

    [anna] = routing_setup.directory.lookup(["anna@acme.test"])["anna@acme.test"]

    assert anna.processor == "webhook"


def test_choices_of_a_tenant_are_kept(routing_setup: Desk) -> None:
    """Policy and webhook are the tenant's own; without a choice it has the default policy and no webhook."""
    routing_setup.tenants.set_policy("new", FilingPolicy(unsure=Action.QUARANTINE))
    routing_setup.tenants.set_webhook("new", Webhook("https://new.test/hook", "secret"))

    assert routing_setup.tenants.policy("new") == FilingPolicy(unsure=Action.QUARANTINE)
    assert routing_setup.tenants.webhook("new") == Webhook("https://new.test/hook", "secret")
    assert (routing_setup.tenants.policy("nobody"), routing_setup.tenants.webhook("acme")) == (FilingPolicy(), None)
    routing_setup.tenants.set_webhook("new", None)
    assert routing_setup.tenants.webhook("new") is None


def test_unknown_recipient_goes_to_nobody(routing_setup: Desk) -> None:
    """It is archived by the installation itself and waits for a person."""
    routing = routing_setup.decides(routing_setup.arrives("nobody@else.test"))

    assert routing == RoutingDecision((), (NOBODY,), Reason.NO_ROUTE, recipients=("nobody@else.test",), verdicts=GOOD)


@pytest.mark.parametrize("named", [b"", b"for nobody@else.test"])
def test_mail_from_the_bucket_alone_whose_headers_name_nobody_of_ours_has_unknown_recipients(
    routing_setup: Desk, named: bytes
) -> None:
    """SES's header block names one recipient at most and no Bcc: a missing recipient of ours proves nothing."""
    block = b"Received: from h (h [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com with SMTP id abc123 "
    block += named + b"; Sun, 22 Nov 2026 03:00:00 +0000\r\nX-SES-DKIM-SIGNATURE: a=b\r\n"

    routing = routing_setup.decides(routing_setup.ledger.begin(REF, now=NOW), block + RAW)

    recipients = ("nobody@else.test",) if named else ()
    assert routing == RoutingDecision((), (NOBODY,), Reason.RECIPIENTS_UNKNOWN, recipients=recipients)


def test_mail_of_unknown_recipients_is_filed_once_its_notification_comes(routing_setup: Desk) -> None:
    """The notification came late or again: the closed line is opened, and all three have the mail, with its time."""
    early = routing_setup.ledger.begin(REF, now=NOW + timedelta(hours=1))
    stop = routing_setup.decides(early).stop
    routing_setup.ledger.close(early.id, State.QUARANTINED, now=NOW, reason=stop)

    entry = routing_setup.arrives(*RECIPIENTS)
    items = routing_setup.files(entry, routing_setup.decides(entry))

    assert (stop, entry.id) == (Reason.RECIPIENTS_UNKNOWN, early.id)
    assert len(items) == 3
    assert [one["kind"] for one in routing_setup.ledger.trace(entry.id)["activities"]].count("reopened") == 1
    filed = routing_setup.ledger.find(REF.message_id)
    assert filed is not None
    assert filed.state is State.FILED


def test_late_virus_verdict_withdraws_the_items(routing_setup: Desk) -> None:
    """S3's event may come minutes before SES's: the mail is filed by then, and must not stay accessible."""
    routing_setup.ledger.register(Arrival(REF), now=NOW)
    early = routing_setup.ledger.begin(REF, now=NOW)
    routing_setup.directory.add(Address("in/", "acme", "rest"))
    [item] = routing_setup.files(early, routing_setup.decides(early))
    assert routing_setup.listed("in@prefix.invalid") == [item]

    entry = routing_setup.arrives("anna@acme.test", verdicts=replace(GOOD, virus=Verdict.FAIL))
    routing = routing_setup.decides(entry)
    state = routing_setup.ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=str(routing.stop))

    assert (routing.stop, state) == (Reason.VIRUS, State.QUARANTINED)
    assert routing_setup.listed("in@prefix.invalid") == []
    withdrawn = routing_setup.reader.item(None, item)
    assert withdrawn is not None
    assert withdrawn.withdrawn == "virus"
    assert routing_setup.noted(entry, "withdrawn") == [{"reason": "virus", "items": 1}]
    assert len(routing_setup.archive.contents) == 1


def test_items_stay_when_the_mail_is_processed_again_and_its_object_is_missing(routing_setup: Desk) -> None:
    """One tenant's part of it is released when a lifecycle rule has deleted the object; the others keep what they have."""
    entry = routing_setup.arrives("anna@acme.test", "carla@other.test")
    routing = routing_setup.decides(entry)
    routing_setup.files(entry, replace(routing, held={"acme": Reason.TOO_MANY}))
    with routing_setup.engine.begin() as connection:
        connection.execute(text("update inbound_email set state = 'received'"))

    again = routing_setup.ledger.begin(REF, now=NOW)
    routing_setup.ledger.close(again.id, State.QUARANTINED, now=NOW, reason=Reason.GONE)

    assert len(routing_setup.listed("carla@other.test")) == 1
    assert routing_setup.listed("anna@acme.test") == []


def test_item_that_may_be_filed_after_all_is_shown_again(routing_setup: Desk) -> None:
    """A verdict was wrong, or a policy was changed: a replay files the mail, and the item keeps its id."""
    entry = routing_setup.arrives("anna@acme.test")
    routing = routing_setup.decides(entry)
    [item] = routing_setup.files(entry, replace(routing, held={"acme": Reason.SPAM}))
    assert routing_setup.listed("anna@acme.test") == []

    again = routing_setup.files(entry, routing)

    assert again == [item]
    assert routing_setup.listed("anna@acme.test") == [item]


def test_one_tenants_policy_does_not_stop_anothers_mail(routing_setup: Desk) -> None:
    """Spam for one is mail for the other; a withheld mail is stored, and not shown."""
    routing_setup.tenants.set_policy("other", FilingPolicy(spam=Action.QUARANTINE))
    entry = routing_setup.arrives("anna@acme.test", "carla@other.test", verdicts=replace(GOOD, spam=Verdict.FAIL))

    routing = routing_setup.decides(entry)
    routing_setup.files(entry, routing)

    assert (routing.stop, routing.held) == (None, {"other": Reason.SPAM})
    assert (len(routing_setup.listed("anna@acme.test")), routing_setup.listed("carla@other.test")) == (1, [])
    [decision] = routing_setup.noted(entry, "routed")
    assert decision["held"] == {"other": "spam"}


@pytest.mark.parametrize(("raw", "stop"), [(RAW, None), (RAW + EICAR, Reason.VIRUS)])
def test_scan_is_kept_with_the_mail(routing_setup: Desk, raw: bytes, stop: Reason | None) -> None:
    """The scanner's result is evidence, and shown on the item's page."""
    routing_setup.scanner = MemoryScanner()
    entry = routing_setup.arrives("anna@acme.test")

    routing = routing_setup.decides(entry, raw)

    assert routing.stop is stop
    [decision] = routing_setup.noted(entry, "routed")
    assert isinstance(decision["scan"], dict)
    assert decision["scan"]["finding"] == ("infected" if stop else "clean")


def test_mail_that_was_not_scanned_says_so_on_its_item(routing_setup: Desk) -> None:
    """The scanner is away and the tenant wants its mail all the same: filed, and never called clean."""
    routing_setup.scanner = MemoryScanner()
    routing_setup.scanner.down = True
    entry = routing_setup.arrives("anna@acme.test")

    [item] = routing_setup.files(entry, routing_setup.decides(entry))

    filed = routing_setup.reader.item("acme", item)
    assert filed is not None
    assert filed.scan is not None
    assert (filed.scan.finding, filed.scan.why) == (Finding.UNSCANNED, "down")


def test_mail_from_the_bucket_alone_takes_the_verdicts_of_its_own_block(routing_setup: Desk) -> None:
    """No notification came; SES's own header block names the recipient, and the virus that its scan found."""
    block = (
        b"Received: from h (h [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com with SMTP id abc123"
        b" for anna@acme.test; Sun, 22 Nov 2026 03:00:00 +0000\r\nX-SES-Spam-Verdict: PASS\r\n"
        b"X-SES-Virus-Verdict: FAIL\r\nX-SES-DKIM-SIGNATURE: a=b\r\nX-SES-Virus-Verdict: PASS\r\n"
    )
    entry = routing_setup.ledger.begin(REF, now=NOW + timedelta(seconds=1))

    routing = routing_setup.decides(entry, block + RAW)

    assert ([to.recipient for to in routing.routes], routing.stop) == (["anna@acme.test"], Reason.VIRUS)


def test_address_with_stars_is_an_inbox(routing_setup: Desk) -> None:
    """Its page opens before the first mail came, like any other's."""
    routing_setup.directory.add(Address("invoice-*@acme.test", "acme", "books"))

    assert routing_setup.reader.receives("acme", "invoice-1@acme.test")
    assert not routing_setup.reader.receives("acme", "other-1@acme.test")
    assert not routing_setup.reader.receives("other", "invoice-1@acme.test")
