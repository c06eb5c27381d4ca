"""What comes back by mail, in the forms of well-known servers: which event each is."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.support.mail_reports as samples
from mailroom.domain.delivery.events import Kind
from mailroom.domain.delivery.mail_reports import MailReport, read_report
from mailroom.domain.inbound.auto_replies import headers_of
from mailroom.domain.parsing import parse_email

PATH = "b+aaaaaaaaaaaaaaaa@bounces.acme.test"


def read(sample: str, *, is_null_sender: bool = True, to: str = samples.TO) -> MailReport | None:
    raw = samples.filled(sample, path=PATH)
    return read_report(parse_email(raw), headers_of(raw) or {}, is_null_sender=is_null_sender, recipient=to)


@pytest.mark.parametrize(
    ("sample", "kind"),
    [
        (samples.POSTFIX, Kind.BOUNCED_HARD),
        (samples.POSTFIX_DELAY, Kind.DELAYED),
        (samples.POSTFIX_GAVE_UP, Kind.BOUNCED_SOFT),
        (samples.EXIM, Kind.BOUNCED_HARD),
        (samples.EXCHANGE, Kind.BOUNCED_HARD),
        (samples.EXCHANGE_FULL, Kind.BOUNCED_SOFT),
        (samples.GMAIL, Kind.BOUNCED_HARD),
        (samples.GMAIL_DELAY, Kind.DELAYED),
        (samples.BLOCKED, Kind.BOUNCED_SOFT),
        (samples.NO_DOMAIN, Kind.BOUNCED_HARD),
        (samples.DELIVERED, Kind.DELIVERED),
        (samples.RELAYED, Kind.OTHER),
        (samples.EXPANDED, Kind.OTHER),
        (samples.FORWARDED, Kind.BOUNCED_HARD),
        (samples.GLOBAL, Kind.BOUNCED_HARD),
        (samples.OF_AN_ALIAS, Kind.DELIVERED),
        (samples.OURS_AMONG_OTHERS, Kind.BOUNCED_HARD),
        (samples.QMAIL, Kind.BOUNCED_SOFT),
        (samples.OLD_EXIM, Kind.BOUNCED_SOFT),
        (samples.complaint("abuse"), Kind.COMPLAINED),
        (samples.complaint("fraud"), Kind.COMPLAINED),
        (samples.complaint("something-new"), Kind.COMPLAINED),
        (samples.complaint("not-spam"), Kind.OTHER),
        (samples.complaint("auth-failure"), Kind.OTHER),
        (samples.READ_RECEIPT, Kind.OTHER),
        (samples.OUT_OF_OFFICE, Kind.AUTORESPONDED),
    ],
)
def test_reports_of_well_known_servers(sample: str, kind: Kind) -> None:
    """Each server has its own form; a delay is no bounce, and only a dead address is suppressed for good."""
    found = read(sample)

    assert found is not None
    assert found.kind is kind


def test_a_report_does_not_need_a_null_sender() -> None:
    """Some servers send their reports from postmaster; the part for programs says what it is."""
    assert read(samples.POSTFIX, is_null_sender=False) == read(samples.POSTFIX)


@pytest.mark.parametrize("sample", [samples.QMAIL, samples.PERSON])
def test_a_text_without_a_null_sender_is_a_persons(sample: str) -> None:
    """People quote refusals; without the null sender a text proves nothing."""
    assert read(sample, is_null_sender=False) is None


@pytest.mark.parametrize(
    "subject",
    ["Out of office: holidays", "Abwesenheitsnotiz: Rechnung", "Réponse automatique : facture", "AutoReply: x"],
)
def test_automatic_replies_without_a_mark_are_recognised_by_their_subject(subject: str) -> None:
    """Older servers set no Auto-Submitted."""
    assert read(f"From: a@users.test\nSubject: {subject}\n\nI am away.\n") == MailReport(
        Kind.AUTORESPONDED, {"report": "automatic_reply"}
    )


def test_a_wish_for_no_answers_is_no_mark_of_an_answer() -> None:
    """People's programs set X-Auto-Response-Suppress as well."""
    assert read(f"X-Auto-Response-Suppress: All\n{samples.PERSON}", is_null_sender=False) is None
    assert (
        read("From: a@users.test\nAuto-Submitted: no\nSubject: Out of stock\n\nhello\n", is_null_sender=False) is None
    )


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ("Action: failed\nStatus: 5.1.1\n", Kind.BOUNCED_HARD),
        ("Action: FAILED.\nStatus: 5.1.1 (bad destination)\n", Kind.BOUNCED_HARD),
        ("Action: failed\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 5.0.0\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.7.1 rejected\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 blocked for spam\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 5.1.2\nDiagnostic-Code: x-unix; mail loop\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 4.4.7\nDiagnostic-Code: smtp; 550 4.4.7 queue expired\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 5.2.1\nDiagnostic-Code: smtp; 550 5.2.1 too many messages\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nStatus: 55.1.1\n", Kind.BOUNCED_SOFT),
        ("Action: failed\nDiagnostic-Code: smtp; 550 from 5.1.1.1 said no\n", Kind.BOUNCED_SOFT),
    ],
)
def test_an_address_is_dead_only_where_all_that_is_said_agrees(fields: str, kind: Kind) -> None:
    """A hard bounce suppresses for good: a refusal for other reasons, or a status that contradicts, must not."""
    found = read(samples.report(f"Final-Recipient: rfc822; {samples.TO}\n{fields}"))

    assert found is not None
    assert found.kind is kind


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ("Action: failed\nStatus: 5.2.2\n", "recipient"),
        ("Action: failed\nStatus: 5.3.4\n", "content"),
        ("Action: failed\nStatus: 5.7.26\n", "account"),
        ("Action: failed\nStatus: 5.7.1\nDiagnostic-Code: smtp; 554 5.7.1 blocked\n", "policy"),
        ("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.7.1 rejected\n", "policy"),
        ("Action: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 blocked for spam\n", "policy"),
        ("Action: failed\nStatus: 5.6.1\nDiagnostic-Code: smtp; 550 5.1.1 unknown\n", "content"),
        ("Action: failed\nDiagnostic-Code: smtp; 550 no\n", "recipient"),
        ("Action: failed\n", "unknown"),
        ("Action: delayed\nStatus: 4.7.1\n", "policy"),
        ("Action: delivered\nStatus: 2.0.0\n", None),
        ("Action: relayed\n", None),
    ],
)
def test_a_report_says_whose_fault_it_is(fields: str, fault: str | None) -> None:
    """As a provider's event does: a soft bounce of content or policy says nothing of the address, and is not counted."""
    found = read(samples.report(f"Final-Recipient: rfc822; {samples.TO}\n{fields}"))

    assert found is not None
    assert found.facts.get("fault") == fault


@pytest.mark.parametrize(("said", "fault"), [("550 5.1.1 unknown", "recipient"), ("554 5.7.1 spam", "policy")])
def test_a_text_says_whose_fault_it_is(said: str, fault: str) -> None:
    """A text is a soft bounce at most; only its codes and words are read."""
    found = read(samples.QMAIL.replace("550 5.1.1 unknown", said))

    assert found is not None
    assert (found.kind, found.facts["fault"]) == (Kind.BOUNCED_SOFT, fault)


@pytest.mark.parametrize("fields", ["Action: unheard-of\nStatus: 5.1.1\n", "", "Action:\n"])
def test_a_report_without_an_action_reports_nothing(fields: str) -> None:
    """RFC 3464 has five actions; what names none of them proves none."""
    found = read(
        samples.report(f"Final-Recipient: rfc822; {samples.TO}\n{fields}", text="Hello."), is_null_sender=False
    )

    assert found is None


def test_fields_of_a_recipient_may_follow_those_of_the_whole_without_a_blank_line() -> None:
    """Seen from appliances; the first block then has both."""
    joined = samples.POSTFIX.replace("+0000\n\nFinal-Recipient", "+0000\nFinal-Recipient")

    assert joined != samples.POSTFIX
    assert read(joined) == read(samples.POSTFIX)


def test_a_gateway_may_wrap_and_encode_a_report() -> None:
    """Virus scanners add a disclaimer around it, and some servers write the part for programs in base64."""
    fields = (
        "Reporting-MTA: dns; mx.relay.test\n\nFinal-Recipient: rfc822; anna@users.test\nAction: failed\nStatus: 5.1.1\n"
    )
    encoded = base64.encodebytes(fields.encode()).decode()
    inner = (
        "Content-Type: multipart/report; report-type=delivery-status; boundary=inner\n\n--inner\nContent-Type: text/plain\n\n"
        "Not delivered.\n--inner\nContent-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n"
        f"{encoded}\n--inner--\n"
    )
    outer = "From: a@b.test\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=outer\n\n"

    found = read(f"{outer}--outer\n{inner}\n--outer\nContent-Type: text/plain\n\nScanned.\n--outer--\n")

    facts = {"report": "delivery", "action": "failed", "fault": "recipient", "status": "5.1.1"}
    assert found == MailReport(Kind.BOUNCED_HARD, facts)


def test_a_report_that_a_person_forwards_is_no_report() -> None:
    """An attached mail is what somebody else got: it says nothing of the message that the return path was made for."""
    outer = "From: a@users.test\nSubject: look\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=outer\n\n"
    forwarded = f"{outer}--outer\nContent-Type: text/plain\n\nsee below\n--outer\nContent-Type: message/rfc822\n\n"

    assert read(f"{forwarded}{samples.POSTFIX}\n--outer--\n", is_null_sender=False) is None
    assert read(f"{forwarded}{samples.complaint('abuse')}\n--outer--\n", is_null_sender=False) is None


def test_a_report_on_very_many_recipients_is_read_within_limits() -> None:
    """One message had one recipient; a report with thousands is hostile or a list's, and ends in some event or none."""
    groups = "Final-Recipient: rfc822; x@elsewhere.test\nAction: failed\nStatus: 5.1.1\n\n" * 20_000

    assert read(samples.report(groups)) is not None


def test_facts_are_codes() -> None:
    """They are stored and posted to tenants' endpoints: no text of the server, for it names the recipient."""
    found = read(samples.POSTFIX)

    assert found is not None
    codes = {"status": "5.1.1", "smtp_code": "550", "fault": "recipient"}
    assert found.facts == {"report": "delivery", "action": "failed"} | codes


@settings(deadline=None)
@given(st.text(max_size=60), st.text(max_size=200), st.booleans())
def test_whatever_a_report_says_is_an_event_or_nothing(action: str, said: str, is_null_sender: bool) -> None:
    """Every field is the sender's; no value raises, and no fact has more than codes and known words."""
    sample = samples.report(f"Action: {action}\nStatus: {said}\nDiagnostic-Code: smtp; {said}\n")
    raw = sample.encode("utf-8", "replace")

    found = read_report(parse_email(raw), headers_of(raw) or {}, is_null_sender=is_null_sender, recipient=samples.TO)

    assert found is None or all(len(value) <= 20 and value.isascii() for value in found.facts.values())
