"""What a mail carries to its items beside text and files: Reply-To, the thread, header fields, reports, plus tokens."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.adapters.postgres.inbound.rows import routes_json
from mailroom.archive.depositing import DepositReceipts
from mailroom.domain.inbound.received_email import Item
from mailroom.domain.inbound.routing import Address, route
from mailroom.domain.inbox.search_words import words_of
from mailroom.domain.mail.carried import HeaderField
from mailroom.domain.parsing import parse_email
from mailroom.domain.parsing.record import from_record, to_record
from mailroom.inbound import rebuilding
from mailroom.inbound.filing import items_for
from mailroom.inbound.routing import RoutingDecision
from mailroom.testing.api import receipt
from tests.support.calendars import calendar_mail, event

C47 = (
    b"From: Petra Sender <petra@supplier.test>\r\nTo: in@mailroom.test\r\nSubject: c47\r\nReply-To: Kundin <kundin@client.test>\r\n"
    b"In-Reply-To: <vorige@cases.supplier.test>\r\n"
    b"References: <erste@cases.supplier.test> <vorige@cases.supplier.test>\r\nX-Ticket: 55\r\n\r\nBitte um Angebot\r\n"
)
REPORT = (
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\nAuto-Submitted: auto-replied\r\n\r\n"
    b"--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.x.test\r\n\r\n%s--b--\r\n"
)
RECIPIENT = b"Final-Recipient: rfc822; gone%d@customer.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n"


def filed(raw: bytes, *recipients: str) -> Item:
    """Return the item of a mail to Ann."""
    known = {"ann@acme.test": [Address("ann@acme.test", "acme", "ann")]}
    routes = tuple(route(recipients or ("ann@acme.test",), known))
    mail = parse_email(raw)
    receipts: DepositReceipts = Anything()
    [item] = items_for(mail, raw, RoutingDecision(routes, ("acme",)), receipts)
    return item


class Anything(dict[Any, Any]):
    """Deposit receipts for whatever is filed."""

    def __missing__(self, key: tuple[str, str]) -> Any:
        return receipt("/".join(key), 1)


def test_reply_to_and_the_thread_are_carried() -> None:
    """A reply to From would go to the wrong person; a ticket's number is in a field of the sender's program."""
    item = filed(C47)

    assert item.reply_to == ("Kundin <kundin@client.test>",)
    assert item.in_reply_to == ("vorige@cases.supplier.test",)
    assert item.references == ("erste@cases.supplier.test", "vorige@cases.supplier.test")
    assert item.header_fields == (HeaderField("x-ticket", "55"),)
    assert (item.protection, item.reports, item.invitations, item.not_carried) == ((), (), (), {})


@pytest.mark.parametrize(
    ("field", "ids"),
    [
        (b"<a@x> <b@x>\r\n\t<a@x>", ("a@x", "b@x")),
        (b"Your message of Monday <a@x>", ("a@x",)),
        (b"a@x, b@x", ("a@x", "b@x")),
        (b"<long\r\n id@x>", ("longid@x",)),
        (b"Monday", ()),
        (b"<>", ()),
        (b"=?utf-8?q?=3Ca=40x=3E?=", ("a@x",)),
        (b"<a@x", ("a@x",)),
    ],
)
def test_ids_of_a_thread_are_read_as_programs_write_them(field: bytes, ids: tuple[str, ...]) -> None:
    """RFC 5322 section 3.6.4 and its obsolete forms, with words between."""
    parsed = parse_email(b"References: " + field + b"\r\nIn-Reply-To: " + field + b"\r\n\r\nx")

    assert (parsed.references, parsed.in_reply_to) == (ids, ids)


def test_a_long_thread_keeps_its_first_and_its_last_mails() -> None:
    """The first began it, the last are answered; how many are missing is said."""
    parsed = parse_email(b"References: " + b" ".join(b"<%d@x>" % n for n in range(250)) + b"\r\n\r\nx")

    assert (parsed.references[0], parsed.references[1], parsed.references[-1]) == ("0@x", "151@x", "249@x")
    assert (len(parsed.references), parsed.not_carried) == (100, {"references": 150})


def test_fields_that_are_shown_elsewhere_or_written_by_servers_are_left_out() -> None:
    """What remains is what the sender's program says of the mail; the raw mail has the rest."""
    raw = (
        b"Received: from a\r\nReturn-Path: <a@x>\r\nDKIM-Signature: v=1\r\nARC-Seal: i=1\r\nX-SES-Receipt: x\r\nMIME-Version: 1.0\r\n"
        b"Authentication-Results: mx; dmarc=pass\r\nX-MS-Exchange-Organization-SCL: 1\r\nCc: a@x.test\r\nDate: x\r\n"
        b"List-Id: =?utf-8?q?Gr=C3=BC=C3=9Fe?= <l.x.test>\r\nX-Priority: 1\r\nx-priority:\r\n 2\r\nContent-Language: de\r\n\r\nx"
    )

    assert parse_email(raw).header_fields == (
        HeaderField("list-id", "Grüße <l.x.test>"),
        HeaderField("x-priority", "1"),
        HeaderField("x-priority", "2"),
    )


def test_many_and_long_fields_are_bounded_and_counted() -> None:
    """A row is no place for a header block of 256 kB."""
    raw = b"X-Long: " + b"y" * 5_000 + b"\r\n" + b"".join(b"X-%d: z\r\n" % n for n in range(300)) + b"\r\nx"

    parsed = parse_email(raw)

    assert len(parsed.header_fields) == 100
    assert (len(parsed.header_fields[0].value), parsed.header_fields[0].value[-2:]) == (1_000, "y…")
    assert parsed.not_carried == {"header_fields": 202}


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([b"Reply-To", b"References", b"In-Reply-To", b"X-A"]), st.binary(max_size=60)),
        max_size=8,
    )
)
def test_no_header_raises_and_all_of_it_comes_back_from_the_parsers_process(fields: list[tuple[bytes, bytes]]) -> None:
    """The record between the processes has every field of the mail."""
    parsed = parse_email(b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\nx")

    back = from_record(to_record(parsed), [])

    assert back == parsed


def test_the_record_has_invitations_and_counts() -> None:
    """An invitation has times; JSON has none."""
    parsed = parse_email(calendar_mail(*[event("DTSTART:20260101T090000Z", f"UID:{n}") for n in range(60)]))

    assert from_record(to_record(parsed), [one.content for one in parsed.attachments]) == parsed
    assert parsed.not_carried == {"invitations": 10}


def test_reports_are_carried_and_bounded() -> None:
    """A bounce of a thousand recipients is one row; its calendar is an invitation and no report."""
    few, many = filed(REPORT % (RECIPIENT % 1)), filed(REPORT % b"".join(RECIPIENT % n for n in range(150)))
    assert few.reports is not None
    assert many.reports is not None

    assert [(one.kind, one.fields["reporting-mta"]) for one in few.reports] == [("delivery", "dns; mx.x.test")]
    assert few.reports[0].items[0]["final-recipient"] == "rfc822; gone1@customer.test"
    assert (len(many.reports[0].items), many.not_carried) == (100, {"reports": 50})
    assert filed(calendar_mail(event("UID:1"))).reports == ()


def test_recipients_of_a_report_over_the_limit_are_counted() -> None:
    """Nothing is left out in silence: a list that bounced as a whole."""
    parsed = parse_email(REPORT % b"".join(RECIPIENT % number for number in range(1_020)))

    assert len(parsed.reports[0].items) == 1_000
    assert parsed.left_out["too_many_addresses"]["count"] == 20


@pytest.mark.parametrize(
    ("head", "automatic"),
    [
        (b"Auto-Submitted: auto-replied (vacation)", True),
        (b"Subject: Automatic reply: your offer", True),
        (b"Subject: Abwesenheitsnotiz", True),
        (b"X-Autoreply: yes", True),
        (b"Precedence: auto_reply", True),
        (b"Auto-Submitted: auto-generated", False),
        (b"Auto-Submitted: no", False),
        (b"X-Auto-Response-Suppress: All", False),
        (b"Precedence: bulk", False),
        (b"Subject: Out of paper", False),
    ],
)
def test_an_absence_note_is_an_automatic_reply(head: bytes, automatic: bool) -> None:
    """A newsletter is automatic and no reply; a person's mail may ask others not to answer."""
    assert filed(head + b"\r\n\r\nx").automatic_reply is automatic


def test_a_report_of_a_server_is_no_absence_note() -> None:
    """It has the same mark."""
    assert filed(REPORT % (RECIPIENT % 1)).automatic_reply is False


@pytest.mark.parametrize(
    ("recipients", "token", "tokens"),
    [
        (("ann+lease@acme.test", "ann+tax@acme.test"), "lease", ("lease", "tax")),
        (("ann+lease@acme.test", "ann@acme.test", "ANN+LEASE@acme.test"), "lease", ("lease",)),
        (("ann@acme.test", "ann+tax@acme.test"), None, ("tax",)),
        (("ann+a+b@acme.test", "ann+@acme.test"), "a+b", ("a+b",)),
        (("ann@acme.test",), None, ()),
        (tuple(f"ann+{n}@acme.test" for n in range(500)), "0", tuple(str(n) for n in range(101))),
    ],
)
def test_an_item_has_the_tokens_of_all_its_recipients(
    recipients: tuple[str, ...], token: str | None, tokens: Any
) -> None:
    """One mail to two plus addresses of one inbox is one item; a rule for the second token must see it."""
    item = filed(C47, *recipients)

    assert (item.plus_token, item.plus_tokens) == (token, tokens)


def test_what_people_search_for_is_found() -> None:
    """Where a meeting is, who invites, where answers go, which recipient was not reached, and the token."""
    meeting = event(
        "SUMMARY:Abstimmung",
        "LOCATION:Sitzungssaal Rhône",
        "ORGANIZER;CN=Petra:mailto:p@supplier.test",
        "DESCRIPTION:Budget",
    )

    assert {"sitzungssaal", "rhone", "petra", "supplier", "budget", "abstimmung"} <= set(
        words_of(filed(calendar_mail(meeting))).split()
    )
    assert {"kundin", "client", "lease"} <= set(words_of(filed(C47, "ann+lease@acme.test")).split())
    assert "gone1 customer test" in words_of(filed(REPORT % (RECIPIENT % 1)))


def test_a_long_calendar_leaves_room_for_the_text() -> None:
    """A mail is searched by its text first of all."""
    long_calendar = calendar_mail(*[event(f"UID:{n}", f"DESCRIPTION:{'word ' * 700}") for n in range(50)])
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nneedle\r\n--b\r\nContent-Type: text/calendar\r\n\r\n"
        + long_calendar.partition(b"\r\n\r\n")[2]
        + b"--b--\r\n"
    )

    assert "needle" in words_of(filed(raw)).split()


def test_a_processor_gets_all_tokens_after_a_restart_too() -> None:
    """Routes of a filed mail are read again from the ledger, where those without a second token look as before."""
    two, one = (
        route(
            [f"ann+{token}@acme.test" for token in tokens], {"ann@acme.test": [Address("ann@acme.test", "acme", "ann")]}
        )
        for tokens in (("a", "b"), ("a",))
    )
    recorded = [{"kind": "routed", "facts": {"routes": json.loads(json.dumps(routes_json(two)))}}]

    assert rebuilding._last_routing(recorded).routes == tuple(two)
    assert routes_json(one) == [
        {"recipient": "ann@acme.test", "tenant": "acme", "user": "ann", "why": "plus", "plus": "a"}
    ]
