"""The reading side on a real PostgreSQL: order, paging, and above all one tenant's walls."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, event
from sqlmodel import Session, SQLModel

from mailroom.adapters.postgres.inbox.reading import SqlApiKeys, SqlReader
from mailroom.adapters.postgres.models import (
    AddressRow,
    ApiKeyRow,
    AttachmentRow,
    DepositRow,
    InboundEmailRow,
    InboxItemRow,
    TenantRow,
)
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.domain.inbound.received_email import State, Verdict
from mailroom.ports.api_keys import Holder
from mailroom.ports.reader import WorkerLine

NOW = datetime(2026, 3, 14, 9, 30, tzinfo=UTC)
VERDICTS = dict.fromkeys(("spam", "virus", "spf", "dkim"), "PASS") | {"dmarc": "FAIL", "dmarc_policy": "none"}
ENVELOPE = {
    "recipients": ["ann@acme.test", "bob@other.test"],
    "sender": "carl@x.test",
    "received_at": NOW.isoformat(),
    "verdicts": VERDICTS,
}


@pytest.fixture
def reader(engine: Engine) -> SqlReader:
    """A reader on a database with two tenants, acme and other."""
    save(engine, TenantRow(id="acme", created_at=NOW), TenantRow(id="other", created_at=NOW))
    return SqlReader(engine)


def save(engine: Engine, *rows: SQLModel) -> None:
    with Session(engine, expire_on_commit=False) as session:
        for row in rows:
            session.add(row)
            session.flush()
        session.commit()


def an_email(state: State = State.FILED, *, minutes: int = 0, **changes: object) -> InboundEmailRow:
    """Return a line of the ledger, received `minutes` before NOW."""
    values = {
        "bucket": "inbound",
        "key": f"in/{uuid4()}",
        "message_id": "m-1",
        "envelope": ENVELOPE,
        "state": state.value,
        "received_at": NOW - timedelta(minutes=minutes),
    }
    return InboundEmailRow(**values | changes)


def file(engine: Engine, tenant: str, recipient: str, *, minutes: int = 0, files: int = 0, **changes: object) -> UUID:
    """File an item with `files` attachments and one inline picture where there are any; return its id."""
    email = an_email(minutes=minutes, tenants=[tenant])
    digest = uuid4().hex * 2
    deposit = DepositRow(
        archive_id=f"{tenant}/{digest}",
        tenant=tenant,
        sha256=digest,
        size=5,
        bucket="archive",
        key=digest,
        version="v1",
        lock_mode="GOVERNANCE",
        retain_until=NOW,
        deposited_at=NOW,
    )
    values = {"subject": "Hello", "from_": "Carl <carl@x.test>", "to": [recipient], "text": "Hi"}
    item = InboxItemRow(
        email_id=email.id,
        tenant=tenant,
        recipient=recipient,
        user_name=recipient.partition("@")[0],
        raw_archive_id=deposit.archive_id,
        received_at=email.received_at,
        filed_at=NOW,
        **values | changes,
    )
    parts = [
        AttachmentRow(
            item_id=item.id,
            number=number,
            filename=f"{number}.pdf",
            content_type="application/pdf",
            size=5,
            sha256=digest,
            inline=number > files,
            archive_id=deposit.archive_id,
        )
        for number in range(1, files + 2 if files else 1)
    ]
    save(engine, email, deposit, item, *parts)
    return item.id


def test_inboxes_are_addresses_and_what_they_hold(reader: SqlReader, engine: Engine) -> None:
    """An address shows before its first mail, and an inbox of a domain shows after it, though no address names it."""
    patterns = [
        ("acme", "ann@acme.test"),
        ("acme", "new@acme.test"),
        ("acme", "@catch.test"),
        ("other", "bob@other.test"),
    ]
    save(engine, *[AddressRow(tenant=tenant, pattern=it, user_name="user", created_at=NOW) for tenant, it in patterns])
    file(engine, "acme", "ann@acme.test", minutes=5)
    file(engine, "acme", "ann@acme.test", minutes=9)
    file(engine, "acme", "any@catch.test")

    of_acme = reader.inboxes("acme", limit=10)

    assert [(line.address, line.items) for line in of_acme] == [
        ("any@catch.test", 1),
        ("ann@acme.test", 2),
        ("@catch.test", 0),
        ("new@acme.test", 0),
    ]
    assert (of_acme[1].newest, of_acme[1].user) == (NOW - timedelta(minutes=5), "user")
    assert {line.tenant for line in reader.inboxes(None, limit=10)} == {"acme", "other"}
    assert len(reader.inboxes(None, limit=2)) == 2


def test_receives_knows_addresses_domains_and_filled_inboxes(reader: SqlReader, engine: Engine) -> None:
    """What another tenant receives is as unknown as what nobody does."""
    save(engine, AddressRow(tenant="acme", pattern="ann@acme.test", user_name="ann", created_at=NOW))
    save(engine, AddressRow(tenant="acme", pattern="@catch.test", user_name="any", created_at=NOW))
    file(engine, "acme", "old@acme.test")

    for address in ("ann@acme.test", "any@catch.test", "old@acme.test"):
        assert [reader.receives(tenant, address) for tenant in ("acme", None, "other")] == [True, True, False]
    assert not reader.receives(None, "nobody@acme.test")
    assert not reader.receives(None, "%@acme.test")


def test_items_come_newest_first_in_pages_that_join(reader: SqlReader, engine: Engine) -> None:
    """Also among items of the same moment: there the id decides, and nothing is skipped or told twice."""
    same_moment = {file(engine, "acme", "ann@acme.test", minutes=3) for _ in range(4)}
    newest = file(engine, "acme", "ann@acme.test", files=2)
    file(engine, "acme", "zoe@acme.test")

    seen, after = [], None
    while True:
        page = reader.items("acme", "ann@acme.test", after=after, limit=2)
        seen += page.lines
        after = page.next
        if after is None:
            break

    assert seen[0].id == str(newest)
    assert {line.id for line in seen[1:]} == {str(item) for item in same_moment}
    assert len(seen) == 5
    assert seen[0].attachments == 2
    assert seen[0].verdicts
    assert (seen[0].verdicts.dmarc, seen[0].from_) == (Verdict.FAIL, "Carl <carl@x.test>")
    assert reader.items(None, "ann@acme.test", after=None, limit=9).lines == tuple(seen)


def test_an_item_comes_with_its_attachments_and_receipts(reader: SqlReader, engine: Engine) -> None:
    """One answer holds all that a page shows."""
    item_id = file(engine, "acme", "ann@acme.test", files=1, html="<p>x", cc=["b@x.test"], defects=["odd"])

    filed = reader.item("acme", str(item_id))

    assert filed
    assert [(part.number, part.inline) for part in filed.item.attachments] == [(1, False), (2, True)]
    assert filed.deposits[filed.item.raw_archive_id].lock_mode == "GOVERNANCE"
    assert (filed.item.cc, filed.item.defects, filed.item.html) == (("b@x.test",), ("odd",), "<p>x")
    found = reader.attachment("acme", str(item_id), 1)
    assert found == filed.item.attachments[0]


def test_nothing_of_another_tenant_is_found_by_its_id(reader: SqlReader, engine: Engine) -> None:
    """Ids leak (links, logs, mails); they must open nothing."""
    item_id = str(file(engine, "acme", "ann@acme.test", files=1))
    filed = reader.item("acme", item_id)
    assert filed

    assert reader.item("other", item_id) is None
    assert reader.attachment("other", item_id, 1) is None
    assert reader.email("other", filed.email_id) is None
    assert reader.items("other", "ann@acme.test", after=None, limit=9).lines == ()
    assert reader.emails("other", states=[], reason=None, since=None, after=None, limit=9).lines == ()


@pytest.mark.parametrize("no_id", ["", "1", "nope", "' or 1=1 --", str(uuid4()), "\x00", "0" * 5000])
def test_what_is_no_id_finds_nothing(reader: SqlReader, no_id: str) -> None:
    """Ids come from URLs and may be anything."""
    assert reader.item(None, no_id) is None
    assert reader.attachment(None, no_id, 1) is None
    assert reader.email(None, no_id) is None


@pytest.mark.parametrize("number", [0, -1, 3, 2**31, 10**30])
def test_an_attachment_number_out_of_range_finds_nothing(reader: SqlReader, engine: Engine, number: int) -> None:
    """A number beyond the column's type would be an error of the database."""
    item_id = file(engine, "acme", "ann@acme.test", files=1)

    assert reader.attachment("acme", str(item_id), number) is None


def test_the_ledger_is_filtered_and_paged(reader: SqlReader, engine: Engine) -> None:
    """Quarantine is this list with two states."""
    rows = [
        an_email(State.QUARANTINED, reason="no_route", minutes=1),
        an_email(State.QUARANTINED, reason="virus", minutes=2, facts={"step": "scan"}),
        an_email(State.FAILED, minutes=3),
        an_email(State.FILED, minutes=4),
        an_email(State.QUARANTINED, reason="no_route", minutes=5000),
    ]
    ids = [str(row.id) for row in rows]
    save(engine, *rows)

    def found(states: list[State], reason: str | None = None, since: datetime | None = None) -> list[str]:
        page = reader.emails(None, states=states, reason=reason, since=since, after=None, limit=9)
        return [line.id for line in page.lines]

    assert found([]) == ids
    assert found([State.QUARANTINED, State.FAILED]) == [ids[0], ids[1], ids[2], ids[4]]
    assert found([State.QUARANTINED], "no_route", NOW - timedelta(days=1)) == [ids[0]]
    first = reader.emails(None, states=[], reason=None, since=None, after=None, limit=3)
    rest = reader.emails(None, states=[], reason=None, since=None, after=first.next, limit=3)
    assert [line.id for line in first.lines + rest.lines] == ids
    assert first.lines[1].facts == {"step": "scan"}


def test_a_tenant_sees_only_what_was_routed_to_it_and_no_envelope(reader: SqlReader, engine: Engine) -> None:
    """An e-mail for two tenants names both in its envelope; one without a route is the administrator's alone."""
    shared, unrouted = an_email(tenants=["acme", "other"]), an_email(State.QUARANTINED, reason="no_route")
    save(engine, shared, unrouted)

    [seen] = reader.emails("acme", states=[], reason=None, since=None, after=None, limit=9).lines
    whole = reader.email(None, str(shared.id))

    assert (seen.id, seen.sender, seen.recipients) == (str(shared.id), None, ())
    assert whole
    assert whole.recipients == ("ann@acme.test", "bob@other.test")
    assert reader.email("acme", str(unrouted.id)) is None


def test_the_census_counts_by_state_and_reason(reader: SqlReader, engine: Engine) -> None:
    """Metrics come from one statement, also on an empty database."""
    assert (reader.census().tallies, reader.census().items) == ((), 0)

    file(engine, "acme", "ann@acme.test", minutes=1)
    save(engine, *[an_email(State.QUARANTINED, reason="virus", minutes=minutes) for minutes in (7, 3)])

    census = reader.census()
    assert [(tally.state, tally.reason, tally.emails) for tally in census.tallies] == [
        (State.FILED, None, 1),
        (State.QUARANTINED, "virus", 2),
    ]
    assert census.tallies[1].oldest == NOW - timedelta(minutes=7)
    assert census.items == 1


def test_the_census_knows_how_long_filing_took_and_who_works(reader: SqlReader, engine: Engine) -> None:
    """A slow hour shows in the histogram, a paused worker in its own line."""
    for took_s in (0.2, 0.7, 0.9, 40, 100_000):
        email = an_email(State.FILED, route="exact")
        email.closed_at = email.received_at + timedelta(seconds=took_s)
        save(engine, email)
    SqlRoster(engine).sign("one", now=NOW, in_hand=3, paused_by="S3")

    census = reader.census()

    assert census.times.counts == (1, 2, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1)
    assert census.times.sum_s == pytest.approx(100_041.8)
    assert [(tally.route, tally.emails) for tally in census.tallies] == [("exact", 5)]
    assert census.workers == (WorkerLine("one", NOW, 3, "S3"),)


@pytest.mark.parametrize("tenant", ["acme", None])
def test_an_inbox_is_read_along_its_index(reader: SqlReader, engine: Engine, tenant: str | None) -> None:
    """Without it every inbox would be as slow to open as all inboxes together."""
    for minutes in range(3):
        file(engine, "acme", "ann@acme.test", minutes=minutes)
    plans: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "inbox_item" in statement:
            cursor.execute("set local enable_seqscan = off")
            plans.extend(line for (line,) in cursor.execute(f"explain {statement}", parameters).fetchall())

    reader.items(tenant, "ann@acme.test", after=None, limit=9)

    assert any("Index" in line and "ix_inbox_item_recipient" in line for line in plans), plans


def test_a_key_is_found_by_its_digest_only(reader: SqlReader, engine: Engine) -> None:
    """The table holds no key, so that a leaked backup opens nothing."""
    save(engine, ApiKeyRow(sha256="a" * 64, name="app", tenant="acme", created_at=NOW))
    save(engine, ApiKeyRow(sha256="b" * 64, name="root", tenant=None, created_at=NOW))

    keys = SqlApiKeys(engine)

    assert keys.holder("a" * 64) == Holder("app", "acme")
    assert keys.holder("b" * 64) == Holder("root", None)
    assert keys.holder("c" * 64) is None


def test_ping_answers(reader: SqlReader) -> None:
    """Readiness asks this and nothing more."""
    reader.ping()
