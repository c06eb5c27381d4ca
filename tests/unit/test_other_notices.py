"""S3 events by EventBridge are read like S3's own; notices without e-mails have a kind; what is neither stays unreadable."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.inbound.notifications import UnreadableNotification, announcement, read_notices, read_notification
from mailroom.domain.inbound.other_notices import OtherNotice
from mailroom.domain.inbound.received_email import Arrival, ObjectRef
from mailroom.testing.notices import s3_notice, ses_notice

REF = ObjectRef("mails", "in/d6iitobk75ur44p8kdnnp7g2n800", "IYV3p45BT0ac8hjHg1houSdS1a.Mro8e")


def created(ref: ObjectRef = REF, **changes: Any) -> dict[str, Any]:
    """Return the event as the S3 user guide shows it."""
    described = {"key": ref.key, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184", "sequencer": "617f08299329d189"}
    described |= {"version-id": ref.version} if ref.version else {}
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": [f"arn:aws:s3:::{ref.bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": ref.bucket},
            "object": described,
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    } | changes


def detail(**changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (created()["detail"] | changes).items() if value is not None}


def in_sns(message: object) -> dict[str, Any]:
    return {"Type": "Notification", "TopicArn": "arn:t", "MessageId": "1", "Message": json.dumps(message)}


def arrivals(message: object) -> list[Arrival]:
    return read_notification(json.dumps(message))


def kinds(message: object) -> list[str]:
    notices = read_notices(json.dumps(message))
    assert notices.arrivals == ()
    return [one.value for one in notices.others]


@pytest.mark.parametrize(
    "message",
    [
        created(),
        detail(),
        detail(reason="CompleteMultipartUpload"),
        {"bucket": {"name": REF.bucket}, "object": {"key": REF.key, "version-id": REF.version}},
        {"bucket": REF.bucket, "key": REF.key, "version-id": REF.version},
        {"bucket": REF.bucket, "key": REF.key, "versionId": REF.version, "when": "2021-11-12T00:00:00Z"},
    ],
    ids=["whole", "detail", "multipart", "template like detail", "template", "template with time"],
)
def test_a_created_object_by_eventbridge_is_the_same_arrival_as_by_s3(message: dict[str, Any]) -> None:
    """Whole, or by a rule with InputPath or an input transformer, to the queue itself or through a topic."""
    assert arrivals(message) == arrivals(in_sns(message)) == read_notification(s3_notice(REF)) == [Arrival(REF)]


@pytest.mark.parametrize("version", [None, "", "null"])
def test_an_object_of_a_bucket_without_versions_has_none(version: str | None) -> None:
    """The field is absent there; emulators write `null`."""
    message = created(ObjectRef(REF.bucket, REF.key))
    if version is not None:
        message["detail"]["object"]["version-id"] = version

    assert arrivals(message) == [Arrival(ObjectRef(REF.bucket, REF.key))]


@given(st.text(alphabet="ab%+2F /é&", min_size=1, max_size=12).filter(lambda key: not key.endswith("/")))
def test_keys_by_eventbridge_are_not_encoded(key: str) -> None:
    """S3's own notifications encode them like a form; decoding these again would name another object."""
    ref = ObjectRef("mails", f"in/{key}", "v1")

    assert arrivals(created(ref)) == read_notification(announcement(ref)) == [Arrival(ref)]


def test_an_event_never_says_that_it_is_ses() -> None:
    """Recipients come from SES alone: fields of a notification inside an event count for nothing."""
    message = created(notes=json.loads(ses_notice(REF, "anna@acme.test")))

    assert arrivals(message) == [Arrival(REF)]


EVENTS = {
    "deleted": created(**{"detail-type": "Object Deleted"}),
    "from elsewhere": created(source="acme.orders"),
    "from SES": created(**{"detail-type": "Email Bounced", "source": "aws.ses", "detail": {}}),
    "scheduled": {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}},
    "deleted, detail": detail(reason="DeleteObject", **{"deletion-type": "Permanently Deleted"}),
    "tagged, detail": detail(reason=None),
    "odd reason, detail": detail(reason=["PutObject"]),
}


@pytest.mark.parametrize("name", EVENTS)
def test_other_events_of_eventbridge_are_no_arrivals(name: str) -> None:
    """A rule that passes on everything of a bucket must neither lose mail nor fill the dead letters."""
    assert kinds(EVENTS[name]) == kinds(in_sns(EVENTS[name])) == ["eventbridge_event"]


def by_action(action: object, **more: Any) -> dict[str, Any]:
    """Return SES's notification of a mail that this action of a receipt rule took."""
    message = json.loads(ses_notice(REF, "anna@acme.test"))
    message["receipt"]["action"] = action
    return message | more


SES_MAIL = {"timestamp": "2017-08-05T00:41:02.669Z", "source": "s@acme.test", "messageId": "EXAMPLE-000000"}
SUBSCRIPTION = {
    "Type": "SubscriptionConfirmation",
    "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
    "Token": "2336412f37",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:mail",
    "Message": "You have chosen to subscribe to the topic. To confirm, visit the SubscribeURL.",
    "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "mails", "RequestId": "R"}, "s3_test"),
        (json.loads(s3_notice(REF).replace("ObjectCreated:Put", "ObjectRemoved:Delete")), "s3_event"),
        (json.loads(s3_notice(REF).replace("ObjectCreated:Put", "s3:ObjectTagging:Put")), "s3_event"),
        (json.loads(s3_notice(ObjectRef("mails", "in/"))), "s3_event"),
        (json.loads(s3_notice(ObjectRef("mails", "in/AMAZON_SES_SETUP_NOTIFICATION"))), "ses_setup"),
        (created(ObjectRef("mails", "in/AMAZON_SES_SETUP_NOTIFICATION")), "ses_setup"),
        (json.loads(ses_notice(ObjectRef("mails", "in/AMAZON_SES_SETUP_NOTIFICATION"), "a@b.test")), "ses_setup"),
        ({"notificationType": "Bounce", "bounce": {"bounceType": "Permanent"}, "mail": SES_MAIL}, "ses_event"),
        ({"eventType": "Rendering Failure", "failure": {}, "mail": SES_MAIL}, "ses_event"),
        ({"eventType": "DeliveryDelay", "deliveryDelay": {}, "mail": SES_MAIL}, "ses_event"),
        ({"notificationType": "AmazonSnsSubscriptionSucceeded", "message": "You have successfully"}, "ses_event"),
        (by_action({"type": "Bounce", "smtpReplyCode": "550"}), "ses_event"),
        (by_action({"type": "Lambda", "functionArn": "arn:f", "invocationType": "Event"}), "ses_event"),
        (SUBSCRIPTION, "sns_subscription"),
        (SUBSCRIPTION | {"Type": "UnsubscribeConfirmation"}, "sns_subscription"),
    ],
)
def test_notices_without_e_mails_have_a_kind(message: dict[str, Any], kind: str) -> None:
    """AWS sends them when it is set up, and whenever a queue is shared; none is a fault."""
    assert kinds(message) == [kind]
    if "Type" not in message:
        assert kinds(in_sns(message)) == [kind]


def test_a_message_may_have_e_mails_and_other_notices() -> None:
    """S3 may put several records into one: the e-mails are filed, the rest is counted."""
    records = json.loads(s3_notice(REF, REF, ObjectRef("mails", "in/")))
    records["Records"][1]["eventName"] = "ObjectRemoved:Delete"

    notices = read_notices(json.dumps(records))

    assert notices.arrivals == (Arrival(REF),)
    assert notices.others == (OtherNotice.S3_EVENT, OtherNotice.S3_EVENT)


@pytest.mark.parametrize(
    "message",
    [
        created(detail={}),
        created(detail={"bucket": {"name": "mails"}, "object": {"key": ""}}),
        created(detail={"bucket": {"name": "mails"}, "object": {"key": "in/a\x00"}}),
        created(detail={"bucket": {"name": 7}, "object": {"key": "in/a"}}),
        created(detail="Object Created"),
        {"bucket": "mails", "key": ""},
        {"bucket": "mails"},
        {"detail-type": "Object Created", "source": "aws.s3"},
        {"notificationType": "Bounce", "bounce": {}},
        {"notificationType": "Bounce", "mail": {}},
        {"eventType": "Invented", "mail": SES_MAIL},
        {"eventType": {"a": 1}, "mail": SES_MAIL},
        {"Type": "SubscriptionConfirmation", "Message": "..."},
        {"Type": "SubscriptionConfirmation", "TopicArn": 7, "Token": "x"},
        {"Event": "s3:Invented"},
        by_action({"type": "SNS", "topicArn": "arn:t"}),
        by_action({"type": "Bounce"}, content="From: a@b.test"),
        by_action({"type": ["Bounce"]}),
        by_action("Bounce"),
        {"AlarmName": "queue too long", "NewStateValue": "ALARM"},
        in_sns("hello"),
        in_sns(in_sns(created())),
    ],
)
def test_what_is_of_no_kind_stays_unreadable(message: dict[str, Any]) -> None:
    """It may be mail in a form that this release does not know: a person must see it, in the dead letters."""
    with pytest.raises(UnreadableNotification):
        read_notices(json.dumps(message))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FORMS = [created(), detail(), SUBSCRIPTION, {"eventType": "Bounce", "bounce": {}, "mail": SES_MAIL}, in_sns(created())]


@given(st.data())
def test_any_form_with_any_member_changed_is_read_or_refused(data: st.DataObject) -> None:
    """No message can stop the listener."""
    body: Any = json.loads(json.dumps(data.draw(st.sampled_from(FORMS))))
    place = body
    while isinstance(place, dict) and place:
        name = data.draw(st.sampled_from(sorted(place)))
        if data.draw(st.booleans()):
            place[name] = data.draw(_json)
            break
        place = place[name]
    try:
        notices = read_notices(json.dumps(body))
    except UnreadableNotification:
        return

    assert all("\x00" not in str(one.ref) for one in notices.arrivals)
