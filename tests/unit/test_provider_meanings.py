"""What each row of the providers' own tables of events means: the kind, and whose fault it is."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.delivery.provider_events import postmark, sendgrid, ses
from mailroom.domain.delivery.bounce_status import BounceFault, BounceMeaning, meaning_of_bounce
from mailroom.domain.delivery.events import DeliveryEvent, Kind, advance
from mailroom.domain.delivery.suppression import cause_of, is_counted
from mailroom.domain.outbound.message import Status
from mailroom.testing.notices import an_event

NOW = datetime(2026, 11, 29, 10, 0, tzinfo=UTC)
HARD, SOFT = Kind.BOUNCED_HARD, Kind.BOUNCED_SOFT
RECIPIENT, CONTENT, POLICY = BounceFault.RECIPIENT, BounceFault.CONTENT, BounceFault.POLICY
ACCOUNT, QUOTA, UNKNOWN = BounceFault.ACCOUNT, BounceFault.QUOTA, BounceFault.UNKNOWN


def of_ses(word: str, part: dict[str, Any]) -> DeliveryEvent:
    name = {"DeliveryDelay": "deliveryDelay", "Rendering Failure": "failure"}.get(word, word.lower())
    [event] = ses.read(json.dumps({"eventType": word, name: part, "mail": {"messageId": "m"}}), received_at=NOW)
    return event


def bounce(kind: str | None, subkind: str | None, **recipient: str | None) -> DeliveryEvent:
    about = {"emailAddress": "ada@users.test"} | recipient
    return of_ses("Bounce", {"bounceType": kind, "bounceSubType": subkind, "bouncedRecipients": [about]})


def meant(event: DeliveryEvent) -> tuple[Kind, str | None]:
    return event.kind, event.facts.get("fault")


@pytest.mark.parametrize(
    ("kind", "subkind", "status", "answer", "meaning"),
    [
        ("Permanent", "NoEmail", "5.1.1", "smtp; 550 5.1.1 user unknown", (HARD, RECIPIENT)),
        ("Permanent", "NoEmail", None, None, (HARD, RECIPIENT)),
        ("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown", (HARD, RECIPIENT)),
        ("Permanent", "General", "5.4.1", "smtp; 550 5.4.1 Recipient address rejected", (HARD, RECIPIENT)),
        ("Permanent", "General", "5.0.0", "smtp; 554 delivery error", (HARD, RECIPIENT)),
        ("Permanent", "General", None, None, (HARD, RECIPIENT)),
        ("Permanent", None, None, None, (HARD, RECIPIENT)),
        ("Permanent", "General", "5.7.1", "smtp; 550 5.7.1 blocked by policy", (SOFT, POLICY)),
        ("Permanent", "General", "5.7.26", "smtp; 550 5.7.26 unauthenticated", (SOFT, ACCOUNT)),
        ("Permanent", "General", "5.6.0", "smtp; 554 5.6.0 message not accepted", (SOFT, CONTENT)),
        ("Permanent", "General", "5.0.0", "smtp; 554 5.7.1 rejected as spam", (SOFT, POLICY)),
        ("Permanent", "General", "5.2.2", "smtp; 552 5.2.2 over quota", (SOFT, RECIPIENT)),
        ("Permanent", "General", "5.3.4", "smtp; 552 5.3.4 too large", (SOFT, CONTENT)),
        ("Permanent", "Suppressed", "5.1.1", "not sent", (Kind.SUPPRESSED, None)),
        ("Permanent", "OnAccountSuppressionList", "5.1.1", "not sent", (Kind.SUPPRESSED, None)),
        ("Permanent", "Newer", None, None, (SOFT, UNKNOWN)),
        ("Transient", "General", None, None, (Kind.AUTORESPONDED, None)),
        ("Transient", None, None, None, (Kind.AUTORESPONDED, None)),
        ("TRANSIENT", "GENERAL", "", "", (Kind.AUTORESPONDED, None)),
        ("Transient", "General", "5.1.1", "smtp; 550 5.1.1 unknown", (HARD, RECIPIENT)),
        ("Transient", "General", "5.1.10", "smtp; 556 5.1.10 null MX", (HARD, RECIPIENT)),
        ("Transient", "General", "5.4.4", "smtp; 550 5.4.4 Invalid domain", (HARD, RECIPIENT)),
        ("Transient", "General", "5.1.2", "smtp; 550 5.1.2 NXDOMAIN", (HARD, RECIPIENT)),
        ("Transient", "General", "5.1.2", "smtp; 550 5.1.2 Host or domain name not found", (HARD, RECIPIENT)),
        ("Transient", "General", "5.4.4", "smtp; 554 5.4.4 unable to route", (SOFT, RECIPIENT)),
        ("Transient", "General", "5.2.1", "smtp; 550 5.2.1 account is disabled", (HARD, RECIPIENT)),
        ("Transient", "General", "5.2.1", "smtp; 550 5.2.1 at a rate that prevents", (SOFT, RECIPIENT)),
        ("Transient", "General", "5.7.1", "smtp; 550-5.7.1 Unauthenticated\n550 5.7.1 DMARC", (SOFT, POLICY)),
        ("Transient", "General", "4.4.7", "smtp; 550 4.4.7 Message expired <421 4.4.1 no>", (SOFT, RECIPIENT)),
        ("Transient", "General", "4.1.1", "smtp; 450 4.1.1 unknown for now", (SOFT, RECIPIENT)),
        ("Transient", "General", None, "smtp; 550 mailbox unavailable", (SOFT, RECIPIENT)),
        ("Transient", "General", None, "something went wrong", (SOFT, UNKNOWN)),
        ("Transient", "MailboxFull", "5.2.2", "smtp; 552 5.2.2 over quota", (SOFT, RECIPIENT)),
        ("Transient", "MailboxFull", None, None, (SOFT, RECIPIENT)),
        ("Transient", "MailboxFull", "5.1.1", "smtp; 550 5.1.1 unknown", (HARD, RECIPIENT)),
        ("Transient", "MessageTooLarge", "5.3.4", None, (SOFT, CONTENT)),
        ("Transient", "ContentRejected", None, None, (SOFT, CONTENT)),
        ("Transient", "AttachmentRejected", "5.7.1", None, (SOFT, CONTENT)),
        ("Transient", "Newer", None, None, (SOFT, UNKNOWN)),
        ("Undetermined", "Undetermined", None, None, (SOFT, UNKNOWN)),
        ("Undetermined", "Undetermined", "5.1.1", None, (HARD, RECIPIENT)),
        ("Newer", "General", None, None, (SOFT, UNKNOWN)),
        (None, None, None, None, (SOFT, UNKNOWN)),
    ],
)
def test_bounces_of_ses(
    kind: str | None, subkind: str | None, status: str | None, answer: str | None, meaning: tuple[Kind, str | None]
) -> None:
    """The status outranks the type, and a bounce without a notification's fields is an automatic reply."""
    assert meant(bounce(kind, subkind, status=status, diagnosticCode=answer)) == meaning


@pytest.mark.parametrize(
    ("action", "answer", "kind"),
    [
        ("failed", None, SOFT),
        ("delayed", "x; still trying", Kind.DELAYED),
        ("delayed", "smtp; 4.4.7 Message expired", SOFT),
        ("relayed", None, Kind.OTHER),
        ("expanded", None, Kind.OTHER),
        ("delivered", None, Kind.OTHER),
    ],
)
def test_another_servers_notice_that_is_no_failure_is_no_bounce(action: str, answer: str | None, kind: Kind) -> None:
    """Gmail and Exchange report a delay after a day and go on; SES's own last word is that the mail expired."""
    assert bounce("Transient", "General", action=action, status="4.4.7", diagnosticCode=answer).kind is kind


@pytest.mark.parametrize(
    ("word", "part", "meaning"),
    [
        ("Reject", {"reason": "Bad content"}, (Kind.REJECTED, CONTENT)),
        ("Rendering Failure", {"errorMessage": "x"}, (Kind.REJECTED, CONTENT)),
        *[
            ("DeliveryDelay", {"delayType": name}, (Kind.DELAYED, RECIPIENT))
            for name in ("MailboxFull", "RecipientServerError", "General", "TransientCommunicationFailure")
        ],
        *[
            ("DeliveryDelay", {"delayType": name}, (Kind.DELAYED, ACCOUNT))
            for name in ("SpamDetected", "IPFailure", "SendingDeferral", "InternalFailure")
        ],
        ("DeliveryDelay", {"delayType": "BYOIPHostNameLookupUnavailable"}, (Kind.DELAYED, ACCOUNT)),
        ("DeliveryDelay", {"delayType": "Undetermined"}, (Kind.DELAYED, UNKNOWN)),
        ("DeliveryDelay", {"delayType": ["x"]}, (Kind.DELAYED, UNKNOWN)),
        *[
            ("Complaint", {"complaintFeedbackType": name}, (Kind.COMPLAINED, None))
            for name in ("abuse", "fraud", "virus", "other", "auth-failure", None)
        ],
        ("Complaint", {"complaintFeedbackType": "not-spam"}, (Kind.OTHER, None)),
        ("Complaint", {"complaintSubType": "OnAccountSuppressionList"}, (Kind.SUPPRESSED, None)),
    ],
)
def test_other_events_of_ses(word: str, part: dict[str, Any], meaning: tuple[Kind, str | None]) -> None:
    """A delay by the account's fault has that fact: a person must look."""
    assert meant(of_ses(word, part)) == meaning


IN, OUT = "OptIn", "OptOut"  # codespell:ignore


def preferences(every: bool, **topics: str) -> dict[str, Any]:
    rows = [{"topicName": name, "subscriptionStatus": status} for name, status in topics.items()]
    return {"unsubscribeAll": every, "topicSubscriptionStatus": rows}


@pytest.mark.parametrize(
    ("new", "old", "kind", "facts"),
    [
        (preferences(True), preferences(False), Kind.UNSUBSCRIBED, {"scope": "not_transactional"}),
        (
            preferences(False, News=OUT),
            preferences(False, News=IN),
            Kind.UNSUBSCRIBED,
            {"topic": "News"},
        ),
        (preferences(False, News=OUT), None, Kind.UNSUBSCRIBED, {"topic": "News"}),
        (preferences(False, A=OUT, B=OUT), preferences(False), Kind.UNSUBSCRIBED, {"topic": "A B"}),
        (
            preferences(False, News=IN),
            preferences(False, News=OUT),
            Kind.OTHER,
            {"topic": "News"},
        ),
        (preferences(False, News=OUT), preferences(False, News=OUT), Kind.OTHER, {}),
        (None, None, Kind.OTHER, {}),
    ],
)
def test_subscriptions_of_ses(new: Any, old: Any, kind: Kind, facts: dict[str, str]) -> None:
    """Leaving one topic is leaving one stream; what was left before is not left again."""
    event = of_ses("Subscription", {"newTopicPreferences": new, "oldTopicPreferences": old})

    assert (event.kind, dict(event.facts)) == (kind, facts)


def of_sendgrid(**values: Any) -> DeliveryEvent:
    [event] = sendgrid.read(json.dumps([values]).encode(), received_at=NOW)
    return event


@pytest.mark.parametrize(
    ("classification", "status", "meaning"),
    [
        ("Invalid Address", "5.1.1", (HARD, RECIPIENT)),
        ("Invalid Address", "", (HARD, RECIPIENT)),
        ("Mailbox Unavailable", "5.2.2", (SOFT, RECIPIENT)),
        ("Content", "5.7.1", (SOFT, CONTENT)),
        ("Technical Failure", "5.4.0", (SOFT, UNKNOWN)),
        ("Reputation", "5.7.1", (SOFT, POLICY)),
        ("Frequency or Volume Too High", "4.7.0", (SOFT, POLICY)),
        ("Unclassified", "5.0.0", (SOFT, UNKNOWN)),
        ("Newer", "5.0.0", (SOFT, UNKNOWN)),
        *[("Unclassified", status, (HARD, RECIPIENT)) for status in ("5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10")],
        (None, "5.0.0", (HARD, RECIPIENT)),
        (None, "5.7.1", (SOFT, POLICY)),
        (None, None, (HARD, RECIPIENT)),
    ],
)
def test_bounces_of_sendgrid(classification: str | None, status: str | None, meaning: tuple[Kind, str]) -> None:
    """SendGrid's type `bounce` lists the address there; a mail refused for its content does not suppress it here."""
    event = of_sendgrid(event="bounce", type="bounce", bounce_classification=classification, status=status)

    assert meant(event) == meaning


@pytest.mark.parametrize(
    ("kind", "classification", "meaning"),
    [
        ("blocked", "Reputation", (SOFT, POLICY)),
        ("blocked", "Content", (SOFT, CONTENT)),
        ("blocked", "Mailbox Unavailable", (SOFT, UNKNOWN)),
        ("blocked", None, (SOFT, UNKNOWN)),
        ("expired", "Unclassified", (SOFT, RECIPIENT)),
        ("newer", "Invalid Address", (SOFT, UNKNOWN)),
        (["x"], None, (SOFT, UNKNOWN)),
    ],
)
def test_what_sendgrid_gave_up(kind: Any, classification: str | None, meaning: tuple[Kind, str]) -> None:
    """A block counts for nothing, an expired mail towards the soft bounces."""
    assert meant(of_sendgrid(event="bounce", type=kind, bounce_classification=classification)) == meaning


@pytest.mark.parametrize(
    ("reason", "kind", "facts"),
    [
        ("Bounced Address", Kind.SUPPRESSED, {}),
        ("Spam Reporting Address", Kind.SUPPRESSED, {}),
        ("Unsubscribed Address", Kind.SUPPRESSED, {}),
        ("Invalid", Kind.SUPPRESSED, {}),
        ("Recipient List over Package Quota", Kind.REJECTED, {"fault": "quota", "send_again": "yes"}),
        ("Spam Content", Kind.REJECTED, {"fault": "content"}),
        ("Invalid SMTPAPI header", Kind.REJECTED, {"fault": "content"}),
        ("Something newer about ada@users.test", Kind.REJECTED, {"fault": "unknown"}),
        (None, Kind.REJECTED, {"fault": "unknown"}),
    ],
)
def test_what_sendgrid_drops(reason: str | None, kind: Kind, facts: dict[str, str]) -> None:
    """A mail that is dropped for a quota is as good as before; the fact says that it can be sent again."""
    event = of_sendgrid(event="dropped", reason=reason)

    known = {"drop_reason": reason.lower()} if reason and "newer" not in reason else {}
    assert (event.kind, dict(event.facts)) == (kind, {"event": "dropped"} | facts | known)


@pytest.mark.parametrize(
    ("word", "kind", "facts"),
    [
        ("unsubscribe", Kind.UNSUBSCRIBED, {"scope": "not_transactional"}),
        ("group_unsubscribe", Kind.UNSUBSCRIBED, {"group": "10"}),
        ("group_resubscribe", Kind.OTHER, {"group": "10"}),
        ("spamreport", Kind.COMPLAINED, {}),
        ("deferred", Kind.DELAYED, {}),
    ],
)
def test_leaving_by_sendgrid(word: str, kind: Kind, facts: dict[str, str]) -> None:
    """An unsubscribe covers all mail there, one of a group its group."""
    event = of_sendgrid(event=word, asm_group_id=10)

    assert (event.kind, dict(event.facts)) == (kind, {"event": word} | facts)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("HardBounce", (HARD, RECIPIENT)),
        ("BadEmailAddress", (HARD, RECIPIENT)),
        ("SoftBounce", (SOFT, RECIPIENT)),
        ("DnsError", (SOFT, RECIPIENT)),
        ("Blocked", (SOFT, POLICY)),
        ("SpamNotification", (SOFT, CONTENT)),
        ("Transient", (Kind.DELAYED, RECIPIENT)),
        ("ManuallyDeactivated", (Kind.SUPPRESSED, None)),
        ("SpamComplaint", (Kind.COMPLAINED, None)),
        ("Unsubscribe", (Kind.UNSUBSCRIBED, None)),
        ("Subscribe", (Kind.OTHER, None)),
        ("AutoResponder", (Kind.AUTORESPONDED, None)),
        ("ChallengeVerification", (Kind.AUTORESPONDED, None)),
        ("AddressChange", (Kind.AUTORESPONDED, None)),
        ("VirusNotification", (Kind.REJECTED, CONTENT)),
        ("TemplateRenderingFailed", (Kind.REJECTED, CONTENT)),
        ("DMARCPolicy", (Kind.REJECTED, ACCOUNT)),
        ("SMTPApiError", (Kind.REJECTED, ACCOUNT)),
        ("Unconfirmed", (Kind.REJECTED, ACCOUNT)),
        ("OpenRelayTest", (Kind.OTHER, UNKNOWN)),
        ("Unknown", (Kind.OTHER, UNKNOWN)),
        ("InboundError", (Kind.OTHER, UNKNOWN)),
        ("SomethingNewer", (Kind.OTHER, UNKNOWN)),
    ],
)
def test_bounces_of_postmark(word: str, meaning: tuple[Kind, str | None]) -> None:
    """All types that Postmark documents; what it refused for settings can be sent again once they are right."""
    payload = {"RecordType": "Bounce", "Type": word, "ID": 1, "MessageID": "m", "Email": "ada@users.test"}

    [event] = postmark.read(json.dumps(payload).encode(), received_at=NOW)

    assert meant(event) == meaning
    assert ("send_again" in event.facts) == (word in ("DMARCPolicy", "SMTPApiError"))


@pytest.mark.parametrize("status", Status)
def test_automatic_reply_never_overrides_what_is_known(status: Status) -> None:
    """An out-of-office reply comes before or after `delivered`, and is no proof of it: it proves that the mail was sent."""
    after = advance(status, Kind.AUTORESPONDED)

    assert after in (status, Status.DISPATCHED)
    assert advance(after, Kind.DELIVERED) is advance(status, Kind.DELIVERED)


def test_automatic_reply_suppresses_nothing() -> None:
    """Five holidays are no reason to stop writing."""
    assert cause_of(Kind.AUTORESPONDED) is None
    assert not is_counted(an_event(Kind.AUTORESPONDED))


@pytest.mark.parametrize("fault", [None, *BounceFault])
def test_only_the_recipients_own_fault_counts(fault: BounceFault | None) -> None:
    """A mail refused for its content says nothing of the address; events stored before have no fault, and count."""
    event = an_event(Kind.BOUNCED_SOFT, facts={} if fault is None else {"fault": fault})

    assert is_counted(event) is (fault in (None, BounceFault.RECIPIENT))


@settings(deadline=None)
@given(st.from_regex(r"[45]\.[0-9]{1,3}\.[0-9]{1,3}", fullmatch=True), st.text(max_size=60), st.booleans())
def test_policy_content_and_temporary_statuses_are_never_a_hard_transient_bounce(
    status: str, words: str, permanent: bool
) -> None:
    """Only an address that takes no mail is suppressed for good; no words of a server change that for 4.x.x, 5.6.x and 5.7.x."""
    meaning = meaning_of_bounce(status, f"smtp; 550 {words}", permanent=permanent, otherwise=BounceFault.UNKNOWN)

    if status.startswith("4.") and not permanent:
        assert meaning.kind is SOFT
    if status.startswith(("5.6.", "5.7.")):
        assert meaning.kind is SOFT
        assert meaning.fault is not BounceFault.QUOTA


@pytest.mark.parametrize(
    ("status", "answer", "meaning"),
    [
        (None, "x 550 host 192.5.1.1 refused", BounceMeaning(SOFT, RECIPIENT)),
        (None, "550 5.1.1.4 is no status", BounceMeaning(SOFT, RECIPIENT)),
        ("5.1.1 (bad destination mailbox address)", None, BounceMeaning(HARD, RECIPIENT)),
        (["5.1.1"], {"a": 1}, BounceMeaning(SOFT, UNKNOWN)),
        ("5.4.4", "Domain name not found, try again later", BounceMeaning(SOFT, RECIPIENT)),
        ("5.1.1" * 10_000, "5.1.1 " * 10_000, BounceMeaning(HARD, RECIPIENT)),
        ("0.0.0", "", BounceMeaning(SOFT, UNKNOWN)),
    ],
)
def test_odd_statuses_and_answers(status: object, answer: object, meaning: BounceMeaning) -> None:
    """An address of a host is no status, and nothing that a server writes raises an error."""
    assert meaning_of_bounce(status, answer, permanent=False, otherwise=BounceFault.UNKNOWN) == meaning
