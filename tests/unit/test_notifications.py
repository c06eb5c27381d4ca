"""Messages of the inbound queue read as arrivals; anything else is refused without quoting its content."""

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.inbound.notifications import (
    UnreadableNotification,
    read_notification,
    received_recipients,
    received_verdicts,
)
from mailroom.domain.inbound.received_email import Arrival, ObjectRef
from mailroom.domain.inbound.verdicts import Verdict, Verdicts

ID = "d6iitobk75ur44p8kdnnp7g2n800"


def s3_record(key: str, *, event: str = "ObjectCreated:Put", version: str | None = None) -> dict[str, Any]:
    described = {"key": key, "size": 7} | ({"versionId": version} if version else {})
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": event,
        "s3": {"bucket": {"name": "mails"}, "object": described},
    }


def s3_event(*records: dict[str, Any]) -> str:
    return json.dumps({"Records": list(records)})


def ses_notification(**changes: Any) -> dict[str, Any]:
    receipt = {
        "timestamp": "2015-09-11T20:32:33.936Z",
        "processingTimeMillis": 406,
        "recipients": ["hidden@mailroom.test"],
        "spamVerdict": {"status": "PASS"},
        "virusVerdict": {"status": "GRAY"},
        "spfVerdict": {"status": "PROCESSING_FAILED"},
        "dkimVerdict": {"status": "DISABLED"},
        "dmarcVerdict": {"status": "FAIL"},
        "dmarcPolicy": "reject",
        "action": {"type": "S3", "bucketName": "mails", "objectKeyPrefix": "in/", "objectKey": f"in/{ID}"},
    }
    mail = {
        "timestamp": "2015-09-11T20:32:33.936Z",
        "source": "alice@sender.test",
        "messageId": ID,
        "destination": ["somebody-else@mailroom.test"],
    }
    return {"notificationType": "Received", "receipt": receipt | changes, "mail": mail}


def in_sns(message: str) -> str:
    return json.dumps({"Type": "Notification", "MessageId": "1", "TopicArn": "arn:t", "Message": message})


def test_bucket_event_names_the_object_alone() -> None:
    """S3 knows neither recipients nor verdicts; the ledger must not store empty ones."""
    assert read_notification(s3_event(s3_record(f"in/{ID}"))) == [Arrival(ObjectRef("mails", f"in/{ID}"))]


@pytest.mark.parametrize("key", ["in%2Fa+b", "in/a+b", "in/a%20b"])
def test_keys_are_form_decoded(key: str) -> None:
    """S3 encodes keys as a form does, and emulators differ in how much of it they do."""
    [arrival] = read_notification(s3_event(s3_record(key)))

    assert arrival.ref.key == "in/a b"


def test_every_record_of_an_event_is_read() -> None:
    """S3 promises no single record: dropping the rest would lose mail."""
    body = s3_event(s3_record("in/one", version="v1"), s3_record("in/two"))

    assert [arrival.ref for arrival in read_notification(body)] == [
        ObjectRef("mails", "in/one", "v1"),
        ObjectRef("mails", "in/two"),
    ]


@pytest.mark.parametrize("event", ["ObjectRemoved:Delete", "ObjectRestore:Completed", "ObjectTagging:Put"])
def test_events_other_than_creation_are_no_arrivals(event: str) -> None:
    """A deletion read as an arrival would file a mail that is gone."""
    assert read_notification(s3_event(s3_record(f"in/{ID}", event=event))) == []


def test_folders_and_setup_objects_are_no_arrivals() -> None:
    """SES writes a small fake mail for each changed rule, and the S3 console makes folders as empty objects."""
    assert read_notification(s3_event(s3_record("in/AMAZON_SES_SETUP_NOTIFICATION"), s3_record("in/"))) == []


def test_ses_notification_has_recipients_and_verdicts() -> None:
    """Recipients are those of the envelope: To and Cc are written by the sender and lack Bcc."""
    [arrival] = read_notification(json.dumps(ses_notification()))

    assert arrival.ref == ObjectRef("mails", f"in/{ID}")
    assert arrival.envelope is not None
    assert arrival.envelope.recipients == ("hidden@mailroom.test",)
    assert arrival.envelope.sender == "alice@sender.test"
    assert arrival.envelope.received_at == datetime(2015, 9, 11, 20, 32, 33, 936000, tzinfo=UTC)
    assert arrival.envelope.verdicts == Verdicts(
        Verdict.PASS, Verdict.GRAY, Verdict.PROCESSING_FAILED, Verdict.DISABLED, Verdict.FAIL, "reject"
    )


def test_sns_envelope_changes_nothing() -> None:
    """The message comes raw or wrapped, depending on the queue's subscription."""
    for body in (json.dumps(ses_notification()), s3_event(s3_record("in/one"))):
        assert read_notification(in_sns(body)) == read_notification(body)


def test_lambda_shape_with_its_object_is_read() -> None:
    """SES hands Lambda the same mail and receipt inside a record."""
    body = json.dumps({"Records": [{"eventSource": "aws:ses", "eventVersion": "1.0", "ses": ses_notification()}]})

    assert read_notification(body) == read_notification(json.dumps(ses_notification()))


def as_ses_wrote(
    *, checks: str, spam: str = "PASS", virus: str = "PASS", message_id: str = ID, helo: str = "h"
) -> bytes:
    received = f"from {helo} ({helo} [192.0.2.1]) by inbound-smtp.eu-west-1.amazonaws.com with SMTP id {message_id};"
    return (
        f"Return-Path: <a@x.test>\r\nReceived: {received} Sun, 22 Nov 2026 03:00:00 +0000\r\n"
        f"X-SES-Spam-Verdict: {spam}\r\nX-SES-Virus-Verdict: {virus}\r\n"
        f"Authentication-Results: amazonses.com;\r\n {checks}\r\nX-SES-DKIM-SIGNATURE: a=rsa-sha256\r\n"
    ).encode()


ALL_PASS = (
    "spf=pass (spfCheck: domain of x.test) client-ip=192.0.2.1; dkim=pass header.i=@x.test; dmarc=pass header.from=x;"
)


def test_verdicts_are_read_from_the_block_that_ses_wrote() -> None:
    """Where only S3 announced a mail, its first header block is the only source."""
    raw = as_ses_wrote(checks=ALL_PASS, virus="FAIL") + b"X-SES-Virus-Verdict: PASS\r\nSubject: s\r\n\r\nhello"

    read = received_verdicts(raw, message_id=ID)

    assert read == Verdicts(Verdict.PASS, Verdict.FAIL, Verdict.PASS, Verdict.PASS, Verdict.PASS)


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ("spf=softfail; dkim=none; dmarc=fail;", (Verdict.GRAY, Verdict.GRAY, Verdict.FAIL)),
        ("spf=fail; dkim=pass; dkim=fail; dmarc=temperror;", (Verdict.FAIL, Verdict.MISSING, Verdict.GRAY)),
        ("spf=fail helo=x;spf=pass; dmarc=fail;", (Verdict.MISSING, Verdict.MISSING, Verdict.FAIL)),
        ("", (Verdict.MISSING,) * 3),
    ],
)
def test_words_of_authentication_results_are_no_pass_but_pass(
    checks: str, expected: tuple[Verdict, Verdict, Verdict]
) -> None:
    """SES quotes the sender's HELO there, which may contain a forged check: a check that occurs twice does not count."""
    read = received_verdicts(as_ses_wrote(checks=checks), message_id=ID)

    assert (read.spf, read.dkim, read.dmarc) == expected


@pytest.mark.parametrize(
    "raw",
    [
        as_ses_wrote(checks=ALL_PASS, message_id="another"),
        as_ses_wrote(checks=ALL_PASS).replace(b"X-SES-DKIM-SIGNATURE", b"X-Other"),
        b"X-SES-DKIM-SIGNATURE: a=b\r\n" + as_ses_wrote(checks=ALL_PASS),
        as_ses_wrote(checks=ALL_PASS).replace(b"Received:", b"X-Received:"),
        b"",
        b"\r\n" + as_ses_wrote(checks=ALL_PASS),
    ],
    ids=["another message", "no signature", "below the signature", "not received", "empty", "in the body"],
)
def test_verdicts_that_a_sender_could_have_written_are_missing(raw: bytes) -> None:
    """Any sender can write these headers; they are SES's only above SES's own signature."""
    assert received_verdicts(raw, message_id=ID) == Verdicts()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="a/@.\x00é%+", max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet="ab", max_size=2), inner, max_size=3),
    max_leaves=4,
)


@given(st.data())
def test_any_body_is_read_or_refused(data: st.DataObject) -> None:
    """No message can stop the listener: members of any shape and type are read or refused."""
    body = data.draw(st.sampled_from([ses_notification(), json.loads(s3_event(s3_record("in/a")))]))
    place: Any = body
    while isinstance(place, (dict, list)) and place:
        names = list(place) if isinstance(place, dict) else list(range(len(place)))
        name = data.draw(st.sampled_from(names))
        if data.draw(st.booleans()):
            place[name] = data.draw(_json)
            break
        place = place[name]

    try:
        arrivals = read_notification(json.dumps(body))
    except UnreadableNotification:
        arrivals = []

    assert all("\x00" not in f"{one.ref}{one.envelope}" for one in arrivals)


@given(st.binary(max_size=300))
def test_any_bytes_have_recipients_and_verdicts_or_none(noise: bytes) -> None:
    """The header block is read before anything else of the mail."""
    raw = as_ses_wrote(checks=ALL_PASS)[:-2] + noise

    assert received_verdicts(raw, message_id="x") == Verdicts()
    assert received_recipients(raw, message_id="x") == ()


@pytest.mark.parametrize("verdict", [None, {}, {"status": "MAYBE"}, {"status": 1}, "PASS"])
def test_unknown_verdict_is_missing(verdict: object) -> None:
    """An unknown word must never count as a pass."""
    [arrival] = read_notification(json.dumps(ses_notification(virusVerdict=verdict)))

    assert arrival.envelope is not None
    assert arrival.envelope.verdicts.virus is Verdict.MISSING


def test_policy_counts_only_where_dmarc_failed() -> None:
    """SES gives the policy for failures; a stale one beside a pass must not quarantine a good mail."""
    [arrival] = read_notification(json.dumps(ses_notification(dmarcVerdict={"status": "PASS"})))

    assert arrival.envelope is not None
    assert arrival.envelope.verdicts.dmarc_policy is None


@pytest.mark.parametrize(
    "text", ["2015-09-11T22:32:33+02:00", "2015-09-11T20:32:33Z", "2015-09-11T20:32:33"], ids=["zone", "Z", "none"]
)
def test_times_are_utc(text: str) -> None:
    """The ledger compares times; a naive one would not compare at all."""
    [arrival] = read_notification(json.dumps(ses_notification(timestamp=text)))

    assert arrival.envelope is not None
    assert arrival.envelope.received_at == datetime(2015, 9, 11, 20, 32, 33, tzinfo=UTC)
    assert arrival.envelope.received_at.tzinfo is UTC


def test_repeated_recipient_counts_once() -> None:
    """One inbox gets one item."""
    [arrival] = read_notification(json.dumps(ses_notification(recipients=["a@x.test", "b@x.test", "a@x.test"])))

    assert arrival.envelope is not None
    assert arrival.envelope.recipients == ("a@x.test", "b@x.test")


def test_unprintable_recipient_does_not_affect_the_others() -> None:
    """The database stores no NUL and no lone surrogate; such a recipient must not hide the mail from the others."""
    [arrival] = read_notification(json.dumps(ses_notification(recipients=["a\x00\ud800@x.test", "b@x.test"])))

    assert arrival.envelope is not None
    assert arrival.envelope.recipients == ("a\ufffd\ufffd@x.test", "b@x.test")


@pytest.mark.parametrize(
    "body",
    [
        '{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"mails"}',
        json.dumps(
            {"notificationType": "Received", "receipt": {}, "mail": {"messageId": "AMAZON_SES_SETUP_NOTIFICATION"}}
        ),
    ],
    ids=["S3", "SES"],
)
def test_test_events_are_no_arrivals(body: str) -> None:
    """Both services send one when they are set up; neither is a mail nor a fault."""
    assert read_notification(body) == []
    assert read_notification(in_sns(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "null",
        "[]",
        "{}",
        "{",
        "[" * 200_000,
        '{"Records":[]}',
        '{"Records":[1]}',
        '{"Records":[{"eventSource":"aws:dynamodb"}]}',
        '{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put"}]}',
        '{"Type":"Notification","Message":"hello"}',
        '{"Type":"Notification","Message":7}',
        '{"Type":"SubscriptionConfirmation","Message":"..."}',
        '{"notificationType":"Bounce","bounce":{}}',
        json.dumps(ses_notification(action={"type": "SNS", "topicArn": "arn:t"})),
        json.dumps(ses_notification(action={"bucketName": "mails", "objectKey": "in/another-mail"})),
        json.dumps(ses_notification(recipients="a@x.test")),
        json.dumps(ses_notification(recipients=[None])),
        json.dumps(ses_notification(recipients=[f"{n}@x.test" for n in range(1001)])),
        json.dumps(ses_notification(timestamp="yesterday")),
        json.dumps(ses_notification(timestamp="0001-01-01T00:00:00+12:00")),
        s3_event(s3_record("in/a%00b")),
        s3_event(s3_record("")),
        json.dumps(ses_notification(padding="x" * 1024 * 1024)),
        '{"Records":[{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"\\ud800"},"object":{"key":"k"}}}]}',
    ],
)
def test_anything_else_is_refused(body: str) -> None:
    """The listener turns this one error into a visible message; any other exception would stop it."""
    with pytest.raises(UnreadableNotification):
        read_notification(body)


def test_refusal_quotes_nothing_of_the_body() -> None:
    """Errors appear in logs and in Prefect; bodies contain addresses and subjects."""
    with pytest.raises(UnreadableNotification) as caught:
        read_notification(json.dumps(ses_notification(recipients=["secret@x.test", None])))

    assert "secret" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own bytes


def mail(received: str, *, above: str = "Return-Path: <a@sender.test>\r\n") -> bytes:
    signature = "X-SES-DKIM-SIGNATURE: a=rsa-sha256;\r\n"
    return f"{above}Received: {received}\r\nX-SES-RECEIPT: x\r\n{signature}Subject: hi\r\n\r\nbody\r\n".encode()


GOOD = (
    f"from mx.sender.test (mx.sender.test [192.0.2.7])\r\n by inbound-smtp.eu-west-1.amazonaws.com with SMTP id {ID}"
    "\r\n for RCPT;\r\n Fri, 11 Sep 2015 20:32:33 +0000 (UTC)"
)


@pytest.mark.parametrize("spelling", ["hidden@mailroom.test", "<hidden@mailroom.test>"])
def test_recipient_in_the_header_of_ses_replaces_a_lost_notification(spelling: str) -> None:
    """Without it a mail whose notification got lost could only be quarantined."""
    assert received_recipients(mail(GOOD.replace("RCPT", spelling)), message_id=ID) == ("hidden@mailroom.test",)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\r\n" + mail(GOOD.replace("RCPT", "victim@mailroom.test")),
        b"Subject: hi\r\n\r\n" + mail(GOOD.replace("RCPT", "victim@mailroom.test")),
        b"X-SES-DKIM-SIGNATURE: x\r\n" + mail(GOOD.replace("RCPT", "victim@mailroom.test")),
        mail(GOOD.replace("RCPT", "victim@mailroom.test"), above="Received: from a by b; today\r\n"),
        mail(GOOD.replace("RCPT", "victim@mailroom.test").replace(ID, "another")),
        mail(GOOD.replace("RCPT", "victim@mailroom.test").replace("amazonaws.com", "amazonaws.com.evil.test")),
        mail(GOOD.replace("\r\n for RCPT", "")),
        mail(GOOD.replace("RCPT", "victim")),
        mail(GOOD.replace("RCPT", "victim@mailroom.test")).replace(b"X-SES-DKIM-SIGNATURE", b"X-Other"),
    ],
    ids=["empty", "body", "text", "below", "second", "id", "host", "none", "no address", "unsigned"],
)
def test_what_a_sender_could_have_written_names_no_recipient(raw: bytes) -> None:
    """A sender may write any Received header, but not above SES's own, nor with the id that SES chooses later."""
    assert received_recipients(raw, message_id=ID) == ()


def test_sender_cannot_name_a_recipient_through_helo() -> None:
    """HELO is sender-controlled text in SES's own header; the id behind it reveals the forgery."""
    forged = "from x by inbound-smtp.eu-west-1.amazonaws.com with SMTP id guess for victim@mailroom.test; ("
    received = GOOD.replace("RCPT", "real@mailroom.test").replace("from mx.sender.test (", forged)

    assert received_recipients(mail(received), message_id=ID) == ("real@mailroom.test",)
