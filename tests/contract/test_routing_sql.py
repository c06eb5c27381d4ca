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
def desk(engine: Engine) -> Desk:
    return Desk(engine)


def test_mail_for_three_users_of_two_tenants_is_three_items_and_a_deposit_for_each_tenant(desk: Desk) -> None:
    """All three are in Bcc: To names none of them. Neither tenant's archive depends on the other's."""
    entry = desk.arrives(*RECIPIENTS)

    routing = desk.decides(entry)
    items = desk.files(entry, routing)

    assert [(to.recipient, to.tenant, to.why, to.plus_token) for to in routing.routes] == [
        ("anna@acme.test", "acme", "exact", None),
        ("bob@acme.test", "acme", "plus", "lease"),
        ("carla@other.test", "other", "domain", None),
    ]
    assert len(set(items)) == 3
    assert sorted(one.partition("/")[0] for one in desk.archive.contents) == ["acme", "other"]


def test_decision_is_stored_with_its_reason_and_token(desk: Desk) -> None:
    """A year later the ledger still says why a mail went where it went; the token is data of the item."""
    entry = desk.arrives("bob+lease@acme.test")

    [item] = desk.files(entry, desk.decides(entry))

    [decision] = desk.noted(entry, "routed")
    assert decision["routes"] == [
        {"recipient": "bob@acme.test", "tenant": "acme", "user": "bob", "why": "plus", "plus": "lease"}
    ]
    filed = desk.reader.item("acme", item)
    assert filed is not None
    assert filed.item.plus_token == "lease"


def test_pattern_prefix_and_policy_come_with_one_query(desk: Desk) -> None:
    """One query of the directory for each mail, whatever kind of rule matches; other domains' patterns do not."""
    desk.directory.add(Address("invoice-*@acme.test", "acme", "books", "digest"))
    desk.directory.add(Address("invoice-*@other.test", "other", "books"))
    desk.directory.add(Address("in/", "acme", "rest"))
    desk.tenants.set_policy("acme", FilingPolicy(spam=Action.QUARANTINE))

    found = desk.directory.lookup(["invoice-7@acme.test", "@acme.test", "in/"])

    assert sorted(found) == ["in/", "invoice-*@acme.test"]
    [rule] = found["invoice-*@acme.test"]
    assert (rule.processor, rule.policy) == ("digest", FilingPolicy(spam=Action.QUARANTINE))


def test_processor_of_an_address_can_be_changed(desk: Desk) -> None:
    """By its own tenant's name; another tenant's address of the same spelling is another's."""
    assert desk.directory.set_processor("anna@acme.test", "acme", "webhook")
    assert not desk.directory.set_processor("anna@acme.test", "other", "digest")

    [anna] = desk.directory.lookup(["anna@acme.test"])["anna@acme.test"]

    assert anna.processor == "webhook"


def test_choices_of_a_tenant_are_kept(desk: Desk) -> None:
    """Policy and webhook are the tenant's own; without a choice it has the default policy and no webhook."""
    desk.tenants.set_policy("new", FilingPolicy(unsure=Action.QUARANTINE))
    desk.tenants.set_webhook("new", Webhook("https://new.test/hook", "secret"))

    assert desk.tenants.policy("new") == FilingPolicy(unsure=Action.QUARANTINE)
    assert desk.tenants.webhook("new") == Webhook("https://new.test/hook", "secret")
    assert (desk.tenants.policy("nobody"), desk.tenants.webhook("acme")) == (FilingPolicy(), None)
    desk.tenants.set_webhook("new", None)
    assert desk.tenants.webhook("new") is None


def test_unknown_recipient_goes_to_nobody(desk: Desk) -> None:
    """It is archived by the installation itself and waits for a person."""
    routing = desk.decides(desk.arrives("nobody@else.test"))

    assert routing == RoutingDecision((), (NOBODY,), Reason.NO_ROUTE, recipients=("nobody@else.test",), verdicts=GOOD)


@pytest.mark.parametrize("named", [b"", b"for nobody@else.test"])
def test_mail_from_the_bucket_alone_whose_headers_name_nobody_of_ours_has_unknown_recipients(
    desk: Desk, named: bytes
) -> None:
    """SES's header block names one recipient at most and no Bcc: a missing recipient of ours proves nothing."""
    block = b"Received: from h (h [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com with SMTP id abc123 "
    block += named + b"; Sun, 22 Nov 2026 03:00:00 +0000\r\nX-SES-DKIM-SIGNATURE: a=b\r\n"

    routing = desk.decides(desk.ledger.begin(REF, now=NOW), block + RAW)

    recipients = ("nobody@else.test",) if named else ()
    assert routing == RoutingDecision((), (NOBODY,), Reason.RECIPIENTS_UNKNOWN, recipients=recipients)


def test_mail_of_unknown_recipients_is_filed_once_its_notification_comes(desk: Desk) -> None:
    """The notification came late or again: the closed line is opened, and all three have the mail, with its time."""
    early = desk.ledger.begin(REF, now=NOW + timedelta(hours=1))
    stop = desk.decides(early).stop
    desk.ledger.close(early.id, State.QUARANTINED, now=NOW, reason=stop)

    entry = desk.arrives(*RECIPIENTS)
    items = desk.files(entry, desk.decides(entry))

    assert (stop, entry.id) == (Reason.RECIPIENTS_UNKNOWN, early.id)
    assert len(items) == 3
    assert [one["kind"] for one in desk.ledger.trace(entry.id)["activities"]].count("reopened") == 1
    filed = desk.ledger.find(REF.message_id)
    assert filed is not None
    assert filed.state is State.FILED


def test_late_virus_verdict_withdraws_the_items(desk: Desk) -> None:
    """S3's event may come minutes before SES's: the mail is filed by then, and must not stay accessible."""
    desk.ledger.register(Arrival(REF), now=NOW)
    early = desk.ledger.begin(REF, now=NOW)
    desk.directory.add(Address("in/", "acme", "rest"))
    [item] = desk.files(early, desk.decides(early))
    assert desk.listed("in@prefix.invalid") == [item]

    entry = desk.arrives("anna@acme.test", verdicts=replace(GOOD, virus=Verdict.FAIL))
    routing = desk.decides(entry)
    state = desk.ledger.close(entry.id, State.QUARANTINED, now=NOW, reason=str(routing.stop))

    assert (routing.stop, state) == (Reason.VIRUS, State.QUARANTINED)
    assert desk.listed("in@prefix.invalid") == []
    withdrawn = desk.reader.item(None, item)
    assert withdrawn is not None
    assert withdrawn.withdrawn == "virus"
    assert desk.noted(entry, "withdrawn") == [{"reason": "virus", "items": 1}]
    assert len(desk.archive.contents) == 1


def test_item_that_may_be_filed_after_all_is_shown_again(desk: Desk) -> None:
    """A verdict was wrong, or a policy was changed: a replay files the mail, and the item keeps its id."""
    entry = desk.arrives("anna@acme.test")
    routing = desk.decides(entry)
    [item] = desk.files(entry, replace(routing, held={"acme": Reason.SPAM}))
    assert desk.listed("anna@acme.test") == []

    again = desk.files(entry, routing)

    assert again == [item]
    assert desk.listed("anna@acme.test") == [item]


def test_one_tenants_policy_does_not_stop_anothers_mail(desk: Desk) -> None:
    """Spam for one is mail for the other; a withheld mail is stored, and not shown."""
    desk.tenants.set_policy("other", FilingPolicy(spam=Action.QUARANTINE))
    entry = desk.arrives("anna@acme.test", "carla@other.test", verdicts=replace(GOOD, spam=Verdict.FAIL))

    routing = desk.decides(entry)
    desk.files(entry, routing)

    assert (routing.stop, routing.held) == (None, {"other": Reason.SPAM})
    assert (len(desk.listed("anna@acme.test")), desk.listed("carla@other.test")) == (1, [])
    [decision] = desk.noted(entry, "routed")
    assert decision["held"] == {"other": "spam"}


@pytest.mark.parametrize(("raw", "stop"), [(RAW, None), (RAW + EICAR, Reason.VIRUS)])
def test_scan_is_kept_with_the_mail(desk: Desk, raw: bytes, stop: Reason | None) -> None:
    """The scanner's result is evidence, and shown on the item's page."""
    desk.scanner = MemoryScanner()
    entry = desk.arrives("anna@acme.test")

    routing = desk.decides(entry, raw)

    assert routing.stop is stop
    [decision] = desk.noted(entry, "routed")
    assert isinstance(decision["scan"], dict)
    assert decision["scan"]["finding"] == ("infected" if stop else "clean")


def test_mail_that_was_not_scanned_says_so_on_its_item(desk: Desk) -> None:
    """The scanner is away and the tenant wants its mail all the same: filed, and never called clean."""
    desk.scanner = MemoryScanner()
    desk.scanner.down = True
    entry = desk.arrives("anna@acme.test")

    [item] = desk.files(entry, desk.decides(entry))

    filed = desk.reader.item("acme", item)
    assert filed is not None
    assert filed.scan is not None
    assert (filed.scan.finding, filed.scan.why) == (Finding.UNSCANNED, "down")


def test_mail_from_the_bucket_alone_takes_the_verdicts_of_its_own_block(desk: Desk) -> None:
    """No notification came; SES's own header block names the recipient, and the virus that its scan found."""
    block = (
        b"Received: from h (h [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com with SMTP id abc123"
        b" for anna@acme.test; Sun, 22 Nov 2026 03:00:00 +0000\r\nX-SES-Spam-Verdict: PASS\r\n"
        b"X-SES-Virus-Verdict: FAIL\r\nX-SES-DKIM-SIGNATURE: a=b\r\nX-SES-Virus-Verdict: PASS\r\n"
    )
    entry = desk.ledger.begin(REF, now=NOW + timedelta(seconds=1))

    routing = desk.decides(entry, block + RAW)

    assert ([to.recipient for to in routing.routes], routing.stop) == (["anna@acme.test"], Reason.VIRUS)


def test_address_with_stars_is_an_inbox(desk: Desk) -> None:
    """Its page opens before the first mail came, like any other's."""
    desk.directory.add(Address("invoice-*@acme.test", "acme", "books"))

    assert desk.reader.receives("acme", "invoice-1@acme.test")
    assert not desk.reader.receives("acme", "other-1@acme.test")
    assert not desk.reader.receives("other", "invoice-1@acme.test")
