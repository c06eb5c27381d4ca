"""Every type of event of each provider, as documented or recorded, becomes one event in our own vocabulary."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.delivery.provider_events import postmark, sendgrid, ses
from mailroom.delivery.provider_events.fields import MOST_EVENTS, Unreadable
from mailroom.domain.delivery.engagement import actor_of
from mailroom.domain.delivery.events import Actor, DeliveryEvent, Kind

HOOKS = Path(__file__).resolve().parents[1] / "data" / "hooks"
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
OUR_ID = "0190a1b2-0000-7000-8000-00000000000a"
READ = {"ses": ses.read, "sendgrid": sendgrid.read, "postmark": postmark.read}
THEIR_ID = {
    "ses": "0102018f7c191be45-e9aedb9a-02f9-4d12-a87d-dd0099a07f8a-000000",
    "sendgrid": "Q8Bq5u3ASdGpj2Q7EMoAcg",
    "postmark": "883953f4-6105-42a2-a16a-77a8eac79483",
}
KINDS = {
    "ses/send": Kind.SENT,
    "ses/delivery": Kind.DELIVERED,
    "ses/delivery-delay": Kind.DELAYED,
    "ses/bounce-permanent": Kind.BOUNCED_HARD,
    "ses/bounce-transient": Kind.BOUNCED_SOFT,
    "ses/bounce-undetermined": Kind.BOUNCED_SOFT,
    "ses/bounce-account-list": Kind.SUPPRESSED,
    "ses/complaint": Kind.COMPLAINED,
    "ses/complaint-account-list": Kind.SUPPRESSED,
    "ses/complaint-not-spam": Kind.OTHER,
    "ses/reject": Kind.REJECTED,
    "ses/rendering-failure": Kind.REJECTED,
    "ses/open": Kind.OPENED,
    "ses/click": Kind.CLICKED,
    "ses/subscription": Kind.UNSUBSCRIBED,
    "ses/notification-bounce": Kind.BOUNCED_HARD,
    "ses/notification-complaint": Kind.COMPLAINED,
    "ses/notification-delivery": Kind.DELIVERED,
    "sendgrid/processed": Kind.SENT,
    "sendgrid/deferred": Kind.DELAYED,
    "sendgrid/delivered": Kind.DELIVERED,
    "sendgrid/bounce": Kind.BOUNCED_HARD,
    "sendgrid/blocked": Kind.BOUNCED_SOFT,
    "sendgrid/expired": Kind.BOUNCED_SOFT,
    "sendgrid/dropped-listed": Kind.SUPPRESSED,
    "sendgrid/dropped": Kind.REJECTED,
    "sendgrid/open": Kind.OPENED,
    "sendgrid/machine-open": Kind.OPENED,
    "sendgrid/click": Kind.CLICKED,
    "sendgrid/spamreport": Kind.COMPLAINED,
    "sendgrid/unsubscribe": Kind.UNSUBSCRIBED,
    "sendgrid/group-unsubscribe": Kind.UNSUBSCRIBED,
    "sendgrid/group-resubscribe": Kind.OTHER,
    "postmark/delivery": Kind.DELIVERED,
    "postmark/bounce-hard": Kind.BOUNCED_HARD,
    "postmark/bounce-transient": Kind.DELAYED,
    "postmark/bounce-soft": Kind.BOUNCED_SOFT,
    "postmark/bounce-autoresponder": Kind.AUTORESPONDED,
    "postmark/bounce-deactivated": Kind.SUPPRESSED,
    "postmark/bounce-virus": Kind.REJECTED,
    "postmark/bounce-unknown": Kind.OTHER,
    "postmark/spam-complaint": Kind.COMPLAINED,
    "postmark/open": Kind.OPENED,
    "postmark/click": Kind.CLICKED,
    "postmark/subscription-change": Kind.UNSUBSCRIBED,
    "postmark/subscription-bounce": Kind.OTHER,
}
ABOUT_NO_MAIL = {
    "ses/subscription-succeeded",
    "sendgrid/account-status-change",
    "postmark/subscription-again",
    "postmark/inbound",
}


def payload(name: str) -> bytes:
    return (HOOKS / f"{name}.json").read_bytes()


def read(name: str) -> list[DeliveryEvent]:
    return READ[name.partition("/")[0]](payload(name), received_at=NOW)


def changed(name: str, **changes: Any) -> bytes:
    return json.dumps(json.loads(payload(name)) | changes).encode()


def test_every_recorded_payload_is_tested() -> None:
    """A file that no test reads proves nothing."""
    there = {str(path.relative_to(HOOKS).with_suffix("")) for path in HOOKS.rglob("*.json")}

    assert there == KINDS.keys() | ABOUT_NO_MAIL


@pytest.mark.parametrize("name", KINDS)
def test_payload_is_one_event_of_our_message(name: str) -> None:
    """Both ids are found, so that it matches before and after the send's own answer; the time is the provider's."""
    provider = name.partition("/")[0]

    [event] = read(name)

    assert (event.provider, event.kind) == (provider, KINDS[name])
    assert (event.message_id, event.provider_message_id) == (OUR_ID, THEIR_ID[provider])
    assert abs(event.at - datetime(2026, 11, 22, 9, 30, tzinfo=UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("name", KINDS)
def test_nobody_is_named_in_what_is_kept(name: str) -> None:
    """Servers quote the recipient in their answers, and opens come with networks and places: none of it stays."""
    [event] = read(name)

    kept = f"{event.event_id} {dict(event.facts)}"
    assert not any(output in kept for output in ("ada", "users.test", "192.0.2", "Mozilla", "acme.test"))


def test_what_is_not_about_a_sent_mail_is_no_event_of_one() -> None:
    """SES greets a new topic, Postmark reports received mail, and lists change by themselves."""
    output = [event for name in ABOUT_NO_MAIL for event in read(name)]

    assert {(event.provider_message_id, event.message_id) for event in output if event.provider != "postmark"} == {
        (None, None)
    }
    assert {event.kind for event in output} <= {Kind.OTHER}


def test_ses_families_give_the_same_event_the_same_id() -> None:
    """With both switched on each bounce comes twice; it is one bounce."""
    for word in ("complaint",):
        assert read(f"ses/{word}")[0].event_id == read(f"ses/notification-{word}")[0].event_id
    assert read("ses/bounce-permanent")[0].event_id == read("ses/notification-bounce")[0].event_id
    assert read("ses/delivery")[0].event_id == read("ses/notification-delivery")[0].event_id


def test_ids_differ_where_things_differ() -> None:
    """Two opens of one mail are two events; two links clicked at once too."""
    names = [name for name in KINDS if "notification" not in name]
    ids = [(name.partition("/")[0], read(name)[0].event_id) for name in names]
    click = json.loads(payload("ses/click"))
    other = click | {"click": click["click"] | {"link": "https://acme.test/other"}}

    assert len(set(ids)) == len(ids)
    assert ses.read(json.dumps(other), received_at=NOW)[0].event_id != read("ses/click")[0].event_id


@pytest.mark.parametrize("name", KINDS)
def test_the_same_call_again_has_the_same_id(name: str) -> None:
    """Providers send again what was not answered in time."""
    assert read(name)[0].event_id == read(name)[0].event_id


@pytest.mark.parametrize(
    ("name", "actor"),
    [
        ("ses/open", Actor.HUMAN),
        ("ses/click", Actor.HUMAN),
        ("ses/delivery", Actor.UNKNOWN),
        ("sendgrid/open", Actor.HUMAN),
        ("sendgrid/machine-open", Actor.MACHINE),
        ("postmark/open", Actor.HUMAN),
        ("postmark/click", Actor.MACHINE),
    ],
)
def test_who_looked(name: str, actor: Actor) -> None:
    """By the provider's own field where it has one, else by the User-Agent."""
    assert read(name)[0].actor is actor


@pytest.mark.parametrize(
    ("said", "actor"),
    [
        ("Mozilla/5.0", Actor.MACHINE),
        ("Mozilla/5.0 (compatible; Googlebot/2.1)", Actor.MACHINE),
        ("python-requests/2.31", Actor.MACHINE),
        ("Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", Actor.HUMAN),
        ("Microsoft Outlook 16.0", Actor.HUMAN),
        ("", Actor.UNKNOWN),
        (None, Actor.UNKNOWN),
        ("something new", Actor.UNKNOWN),
        ("x" * 1_000_000, Actor.UNKNOWN),
    ],
)
def test_a_program_is_recognised_by_its_user_agent(said: str | None, actor: Actor) -> None:
    """An unrecognised program is unknown and not guessed."""
    assert actor_of(said) is actor


def test_an_open_within_a_second_is_a_machines() -> None:
    """Scanners use the names of browsers; they are quicker than any reader."""
    browser = "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15"

    assert actor_of(browser, after=timedelta(seconds=1)) is Actor.MACHINE
    assert actor_of(browser, after=timedelta(seconds=30)) is Actor.HUMAN
    assert actor_of(browser, after=timedelta(seconds=-30)) is Actor.HUMAN


def test_codes_are_kept_of_a_servers_answer_and_not_its_words() -> None:
    """`550 5.1.1 <ada@...> unknown` is a code and a person."""
    assert read("ses/bounce-permanent")[0].facts["smtp_code"] == "550"
    assert read("sendgrid/bounce")[0].facts["status"] == "5.1.1"
    assert read("postmark/bounce-hard")[0].facts["bounce_type"] == "HardBounce"


def test_header_is_enough_where_tags_do_not_come_back() -> None:
    """Identity notifications have no tags; our id stands in the original headers where these are included."""
    assert read("ses/notification-bounce")[0].message_id == OUR_ID


def test_envelope_of_a_topic_is_taken_off() -> None:
    """The tracking queue takes SES's text in an SNS envelope or as it is."""
    inner = payload("ses/open").decode()
    outer = json.dumps({"Type": "Notification", "MessageId": "1", "TopicArn": "t", "Message": inner})

    assert ses.unwrapped(outer) == ses.unwrapped(inner) == inner


@pytest.mark.parametrize("provider", READ)
@pytest.mark.parametrize("body", [b"", b"\xff", b"nothing", b"[" * 100_000])
def test_what_is_no_json_is_unreadable(provider: str, body: bytes) -> None:
    """One kind of error, whatever the bytes; the call is then looked at by a person."""
    with pytest.raises(Unreadable):
        READ[provider](body, received_at=NOW)


def test_more_than_a_thousand_events_are_refused() -> None:
    """SendGrid's largest calls are far below; who sends more is no provider."""
    one = json.loads(payload("sendgrid/open"))
    bounce = json.loads(payload("ses/bounce-permanent"))
    bounce["bounce"]["bouncedRecipients"] *= MOST_EVENTS + 1

    assert len(sendgrid.read(json.dumps(one * MOST_EVENTS).encode(), received_at=NOW)) == MOST_EVENTS
    with pytest.raises(Unreadable):
        sendgrid.read(json.dumps(one * (MOST_EVENTS + 1)).encode(), received_at=NOW)
    with pytest.raises(Unreadable):
        ses.read(json.dumps(bounce), received_at=NOW)


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def test_reason_that_is_no_text_is_no_list_of_suppressed_addresses() -> None:
    """A lookup in a set needs a hashable value, and a list is not."""
    output = json.loads(payload("sendgrid/dropped"))
    (output[0] if isinstance(output, list) else output)["reason"] = []

    (event,) = READ["sendgrid"](json.dumps(output).encode(), received_at=NOW)

    assert event.kind is Kind.REJECTED


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_odd_values_never_raise_and_never_get_through(name: str, data: st.DataObject) -> None:
    """Providers change their payloads: readable events are read, and every value can be stored."""
    output = json.loads(payload(name))
    one = output[0] if isinstance(output, list) else output
    for target in [one, *(value for value in one.values() if isinstance(value, dict))]:
        keys = sorted(key for key in target if key not in ("eventType", "RecordType"))
        if keys:
            target[data.draw(st.sampled_from(keys))] = data.draw(_values)

    try:
        events = READ[name.partition("/")[0]](json.dumps(output).encode(), received_at=NOW)
    except Unreadable:
        return

    for event in events:
        assert event.at.tzinfo is not None
        kept = json.dumps([event.event_id, event.provider_message_id, event.message_id, dict(event.facts)])
        assert "\\u" not in kept
        assert len(kept) < 4000
