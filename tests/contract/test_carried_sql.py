"""What an item carries, on a real PostgreSQL: stored, read again, found, and null where an older release filed the item."""

from typing import Any

import pytest
from sqlalchemy import Engine, text

from mailroom.domain.errors import PermanentError
from mailroom.domain.parsing import parse_email
from mailroom.inbound.carried_reports import carried_reports
from mailroom.ports.inbox_reader import FiledItem
from tests.support.calendars import event
from tests.support.inboxes import SqlInstallation

RAW = (
    b"Subject: Einladung\r\nReply-To: Kundin <kundin@client.test>\r\nIn-Reply-To: <a@x>\r\nReferences: <a@x>\r\nX-Ticket: 55\r\n"
    b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\n"
    + event("UID:1", "LOCATION:Sitzungssaal", "DTSTART;TZID=Europe/Berlin:20260101T090000", "ORGANIZER:mailto:petra@supplier.test").encode()
    + b"\r\nEND:VCALENDAR\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.x.test\r\n\r\n"
    b"Final-Recipient: rfc822; gone@x.test\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n"
)  # fmt: skip


@pytest.fixture
def installation(engine: Engine) -> SqlInstallation:
    return SqlInstallation(engine)


def read(installation: SqlInstallation, item_id: str) -> FiledItem:
    found = installation.reader.item("acme", item_id)
    assert found is not None
    return found


def carried() -> dict[str, Any]:
    """Return what RAW gives its items."""
    mail = parse_email(RAW)
    names = ("reply_to", "in_reply_to", "references", "protection", "invitations", "header_fields")
    return {name: getattr(mail, name) for name in names} | carried_reports(mail) | {"plus_tokens": ("lease", "tax")}


def test_what_a_mail_carries_comes_back_as_it_was_filed(installation: SqlInstallation) -> None:
    """Times with their zones, reports, fields and counts: nothing becomes text on its way through JSON."""
    wanted = carried() | {"not_carried": {"reports": 3}}

    found = read(installation, installation.letter(**wanted)).item

    assert {name: getattr(found, name) for name in wanted} == wanted
    assert all(wanted[name] for name in wanted if name != "automatic_reply")


@pytest.mark.parametrize("question", ["sitzungssaal", "petra", "kundin@client.test", "gone@x.test", "tax"])
def test_it_is_found_by_what_it_carries(installation: SqlInstallation, question: str) -> None:
    """The place, the organiser, Reply-To, the recipient that was not reached, and the second plus token."""
    item_id = installation.letter(**carried())
    installation.letter()

    page = installation.reader.items("acme", "ann@acme.test", after=None, limit=10, question=question)

    assert [line.id for line in page.lines] == [item_id]


def test_a_row_of_an_older_release_carries_nothing_known(installation: SqlInstallation) -> None:
    """Its columns are null, and so is every field: the item is shown as before."""
    found = read(installation, installation.file("acme", "ann@acme.test", plus_token="lease")).item

    assert {name: getattr(found, name) for name in carried()} == dict.fromkeys(carried())
    assert found.plus_token == "lease"


def test_a_row_of_a_newer_release_is_read_as_far_as_it_is_known(installation: SqlInstallation, engine: Engine) -> None:
    """Workers of two releases file at the same time: what the newer one adds to an invitation hides nothing here."""
    item_id = installation.letter(**carried())
    with engine.begin() as connection:
        connection.execute(text("update inbox_item set invitations = jsonb_set(invitations, '{0,mood}', '\"good\"')"))

    assert read(installation, item_id).item.invitations == carried()["invitations"]


def test_a_row_that_a_person_damaged_is_an_error_with_its_name(installation: SqlInstallation, engine: Engine) -> None:
    """The page says which row, not what is in it."""
    item_id = installation.letter(**carried())
    for damage in (
        "invitations = '[7]'",
        """invitations = '[{"component": 7}]'""",
        'invitations = jsonb_set(invitations, \'{0,starts}\', \'{"local": "x", "zone": null, "at": "2026-01-01T00:00:00Z"}\')',
        """reports = '{"kind": "delivery"}'""",
        """header_fields = '[{"name": "x-a", "value": null}]'""",
        "not_carried = '[]'",
    ):
        with engine.connect() as connection:
            connection.exec_driver_sql("create temporary table before as select * from inbox_item")
            connection.exec_driver_sql(f"update inbox_item set {damage}")
            connection.commit()
            with pytest.raises(PermanentError) as raised:
                read(installation, item_id)
            assert raised.value.facts["row"] == f"item {item_id}"
            connection.exec_driver_sql(
                "update inbox_item i set invitations = b.invitations, reports = b.reports,"
                " header_fields = b.header_fields, not_carried = b.not_carried from before b where i.id = b.id"
            )
            connection.exec_driver_sql("drop table before")
            connection.commit()

    assert read(installation, item_id)


def test_the_envelopes_sender_stands_in_for_a_missing_from_alone(installation: SqlInstallation) -> None:
    """With a From it is not given to a tenant: a mail may be for several."""
    without, there = installation.letter(from_=None, minutes=1), installation.letter()

    lines = installation.reader.items("acme", "ann@acme.test", after=None, limit=10).lines

    assert [(line.id, line.envelope_sender) for line in lines] == [(there, None), (without, "carl@x.test")]
    assert read(installation, without).envelope_sender == "carl@x.test"
    assert read(installation, there).envelope_sender is None
