"""Which objects a reference may name: decided by its text alone, before any call."""

from datetime import UTC, datetime
from typing import Any

import pytest

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.notifications import read_notification
from mailroom.domain.inbound.received_email import Arrival, Entry, ObjectRef, State
from mailroom.domain.references import ObjectScope, is_under
from mailroom.inbound.fetching import fetch_within
from mailroom.testing.mail_store import MemoryMailStore
from mailroom.testing.notices import s3_notice, ses_notice

SCOPE = ObjectScope("mails", ("in/", "scans"))


@pytest.mark.parametrize(
    "key", ["in/abc", "in/2026/abc", "in/a..b", "in/.hidden", "in//abc", "scans/abc", "in/été 1+1"]
)
def test_object_of_the_bucket_under_a_prefix_is_within(key: str) -> None:
    assert SCOPE.fault("mails", key) is None


@pytest.mark.parametrize(
    ("bucket", "key", "fault"),
    [
        ("other", "in/abc", "bucket"),
        ("Mails", "in/abc", "bucket"),
        ("mails ", "in/abc", "bucket"),
        ("mails.", "in/abc", "bucket"),
        ("", "in/abc", "bucket"),
        ("arn:aws:s3:::mails", "in/abc", "bucket"),
        ("arn:aws-cn:s3:::mails", "in/abc", "bucket"),
        ("arn:aws:s3:eu-west-1:999999999999:accesspoint/mails", "in/abc", "bucket"),
        ("mails/in", "abc", "bucket"),
        ("mails", "out/abc", "prefix"),
        ("mails", "abc", "prefix"),
        ("mails", "/in/abc", "prefix"),
        ("mails", "IN/abc", "prefix"),
        ("mails", "in", "prefix"),
        ("mails", "in%2Fabc", "prefix"),
        ("mails", "inside/abc", "prefix"),
        ("mails", "scansion/abc", "prefix"),
        ("mails", "scans-2/abc", "prefix"),
        ("mails", "scans", "prefix"),
        ("mails", "in/../out/abc", "key"),
        ("mails", "in/./abc", "key"),
        ("mails", "in/..", "key"),
        ("mails", "in/" + "a" * 1022, "key"),
        ("mails", "in/" + "é" * 511, "key"),
    ],
)
def test_object_elsewhere_is_outside(bucket: str, key: str, fault: str) -> None:
    """A key is not a path, but HTTP clients treat it as one; and the name of a folder begins the names of others."""
    assert SCOPE.fault(bucket, key) == fault


def test_longest_key_that_s3_takes_is_within() -> None:
    assert SCOPE.fault("mails", "in/" + "a" * 1021) is None


def test_empty_prefix_is_the_whole_bucket_and_no_prefix_is_nothing() -> None:
    """A receipt rule may have no prefix; that none is configured must not mean that all are."""
    assert ObjectScope("mails", ("",)).fault("mails", "anything") is None
    assert ObjectScope("mails", ("",)).fault("mails", "../other/abc") == "key"
    assert ObjectScope("mails", ()).fault("mails", "in/abc") == "prefix"


def test_nothing_is_within_a_bucket_that_is_not_named() -> None:
    assert ObjectScope("", ("",)).fault("", "in/abc") == "bucket"


@pytest.mark.parametrize(
    ("key", "found"), [("scan-1.eml", True), ("scan-/x", True), ("scan/1", False), ("scan", False)]
)
def test_prefix_that_ends_in_a_sign_is_taken_as_it_is(key: str, found: bool) -> None:
    """S3 knows no folders; what ends in a dash or point was meant to begin names."""
    assert is_under(key, ["scan-"]) is found


def fetched(arrival: Arrival) -> tuple[list[ObjectRef], Quarantined | None]:
    """Return the objects that were requested from S3 for this notification, and why it was refused."""
    mails, entry = MemoryMailStore(), Entry("id", arrival.ref, State.PROCESSING, arrival.envelope, 1)
    mails.put(arrival.ref, b"", at=datetime.now(UTC))
    try:
        fetch_within(entry, mails=mails, scope=SCOPE)
    except Quarantined as refused:
        return mails.asked, refused
    return mails.asked, None


OUTSIDE = [ObjectRef("other", "in/abc", "v1"), ObjectRef("mails", "out/abc"), ObjectRef("mails", "in/../abc")]


@pytest.mark.parametrize("ref", OUTSIDE)
@pytest.mark.parametrize("notice", [s3_notice, lambda ref: ses_notice(ref, "anna@acme.test")], ids=["s3", "ses"])
def test_notice_of_an_object_outside_is_quarantined_without_a_call(ref: ObjectRef, notice: Any) -> None:
    """A forged notification, in the queue or by the topic, must not choose what the worker's credentials read."""
    [arrival] = read_notification(notice(ref))

    asked, refused = fetched(arrival)

    assert asked == []
    assert refused is not None
    assert refused.reason is Reason.FOREIGN_OBJECT


def test_encoded_key_is_compared_once_it_is_decoded() -> None:
    """S3 encodes keys in its notices: a harmless-looking key may leave its folder once it is decoded."""
    [stepping] = read_notification(s3_notice(ObjectRef("mails", "in%2F..%2Fabc")))
    [spaced] = read_notification(s3_notice(ObjectRef("mails", "in%2Fa+b")))

    assert fetched(stepping)[0] == []
    assert fetched(spaced) == ([ObjectRef("mails", "in/a b")], None)


def test_foreign_object_in_a_notice_does_not_affect_the_others() -> None:
    """One message may name several objects; a foreign one does not fail the others."""
    ours, strange = ObjectRef("mails", "in/abc"), ObjectRef("other", "in/abc")

    ends = [fetched(arrival) for arrival in read_notification(s3_notice(ours, strange, ours))]

    assert [asked for asked, _ in ends] == [[ours], [], [ours]]
    assert [refused is None for _, refused in ends] == [True, False, True]
