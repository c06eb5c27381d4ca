"""Manifests: their stored form, and how several are combined."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailroom.adapters.postgres.inbound.rows import envelope_json, envelope_of
from mailroom.archive.mail_manifests import describe
from mailroom.domain.archive.manifests import (
    Manifest,
    Part,
    RetentionClass,
    Source,
    canonical,
    read,
    recalled,
    write,
)
from mailroom.domain.errors import PermanentError, Reason
from mailroom.domain.inbound.filing_policy import Finding, Scan
from mailroom.domain.inbound.received_email import Entry, Envelope, ObjectRef, State
from mailroom.domain.inbound.routing import Address, Route, route
from mailroom.domain.inbound.verdicts import CHECKS, Verdict, Verdicts
from mailroom.inbound.routing import NOBODY, RoutingDecision
from mailroom.testing.retention_rules import MemoryRetentionRules

AT = datetime(2026, 11, 22, 9, 30, 0, 123456, tzinfo=UTC)
REF = ObjectRef("inbound", "in/abc", "v1")
GOOD = Verdicts(*[Verdict.PASS] * 4, Verdict.FAIL, "reject")
ENVELOPE = Envelope(("anna@acme.test", "Bcc+x@acme.test"), "carl@sender.test", AT - timedelta(seconds=3), GOOD)
MANIFEST = Manifest(
    tenant="acme",
    ref=REF,
    received_at=AT,
    envelope=ENVELOPE,
    named_by=Source.SES,
    attempt=1,
    retention=RetentionClass.DOCUMENT,
    routes=(
        Route("anna@acme.test", "acme", "anna", "exact", None, "digest"),
        Route("b@a.test", "acme", "b", "plus", "x"),
    ),
    sha256="0" * 64,
    size=7,
    written_at=AT,
    retain_until=AT + timedelta(days=10),
)
RULE = MemoryRetentionRules().of(RetentionClass.DOCUMENT)


def entry(*recipients: str) -> Entry:
    return Entry("1", REF, State.PROCESSING, replace(ENVELOPE, recipients=recipients), 1, received_at=AT)


def found_for(said: Entry, *addresses: Address) -> RoutingDecision:
    assert said.envelope is not None
    known: dict[str, list[Address]] = {}
    for address in addresses:
        known.setdefault(address.pattern, []).append(address)
    routes = tuple(route(said.envelope.recipients, known, key=REF.key))
    tenants = tuple(sorted({to.tenant for to in routes}))
    return RoutingDecision(routes, tenants, recipients=said.envelope.recipients, verdicts=GOOD)


def test_canonical_json_is_what_rfc_8785_says() -> None:
    """Its digest goes into journals; another implementation must come to the same bytes."""
    value = {"b": ['\u20ac$\u000f\nA\'\u0042"\\"/', 333333333], "a": {"z": "", "é": "\x7f"}}

    assert canonical(value) == '{"a":{"z":"","é":"\x7f"},"b":["€$\\u000f\\nA\'B\\"\\\\\\"/",333333333]}'.encode()


def test_what_is_written_is_read_and_names_no_other_form() -> None:
    """Every fact comes back as it was, to the microsecond."""
    assert read(write(MANIFEST, lock_mode="GOVERNANCE", rule=RULE)) == MANIFEST


def test_a_later_version_with_more_names_is_read() -> None:
    """The form grows: parts, other digests; a worker that is not updated yet must still find envelopes."""
    stored = write(MANIFEST, lock_mode="GOVERNANCE", rule=RULE)

    later = stored.replace(b'"version":2,', b'"parts":[{"sha512":"x"}],"version":3,')
    later = later.replace(b'"class":"document"', b'"class":"a class of later"')

    assert later != stored
    assert read(later) == MANIFEST


def test_a_manifest_of_version_1_is_read() -> None:
    """An archive has them for ten years; they name the raw e-mail alone, and no parts."""
    stored = write(MANIFEST, lock_mode="GOVERNANCE", rule=RULE)

    assert read(stored.replace(b'"version":2,', b'"version":1,')) == MANIFEST


def test_parts_scan_and_salt_are_read_as_they_were_written() -> None:
    """They make up the package: what a rebuild files, and how its items' digests are computed again."""
    mail = Part(number=0, sha256="0" * 64, sha512="0" * 128, size=7, content_type="message/rfc822")
    lease = replace(mail, number=1, content_type="text/plain", detected_type="application/pdf", filename="leäse.pdf")
    scan = Scan(Finding.INFECTED, "ClamAV", "Eicar", AT)
    whole = replace(MANIFEST, parts=(mail, lease), scan=scan, salt="ab" * 32, email_id="1", is_released=True)

    assert read(write(whole, lock_mode="GOVERNANCE", rule=RULE)) == whole


def test_another_attempt_keeps_attachments_and_salt_of_the_first() -> None:
    """It has not parsed the mail yet, and must neither forget the attachments nor change the items' digests."""
    mail = Part(number=0, sha256="0" * 64, sha512="0" * 128, size=7, content_type="message/rfc822")
    whole = replace(MANIFEST, parts=(mail, replace(mail, number=1)), salt="ab" * 32)

    renewed = replace(MANIFEST, attempt=2, parts=(mail,), salt="cd" * 32).renewing([whole])

    assert renewed.says_no_more_than(whole)


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_that_is_not_in_it_is_missing(check: str) -> None:
    """A check that is added later is in no manifest of before, which must still give back its recipients."""
    stored = json.loads(write(MANIFEST, lock_mode="GOVERNANCE", rule=RULE))
    del stored["envelope"]["verdicts"][check]

    assert read(canonical(stored)).envelope == replace(ENVELOPE, verdicts=replace(GOOD, **{check: Verdict.MISSING}))


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_that_is_not_in_a_stored_envelope_is_missing(check: str) -> None:
    """The same in the ledger: an unreadable envelope would stop the mail, and its item would show no verdicts."""
    stored = envelope_json(ENVELOPE)
    del stored["verdicts"][check]

    assert envelope_of(stored) == replace(ENVELOPE, verdicts=replace(GOOD, **{check: Verdict.MISSING}))


@pytest.mark.parametrize("verdicts", [{}, [], "PASS", None, {"dmarc_policy": None, "spam": "GREAT"}])
def test_what_is_no_verdicts_is_no_stored_envelope(verdicts: object) -> None:
    """Only a name may be absent: another shape was not written here."""
    with pytest.raises(PermanentError):
        envelope_of(envelope_json(ENVELOPE) | {"verdicts": verdicts})


@pytest.mark.parametrize("stored", [b"", b"[]", b"{}", b"\xff", b'{"format":"other"}', b"[" * 100_000, b"null"])
def test_what_is_no_manifest_is_refused_as_such(stored: bytes) -> None:
    """Write access to the bucket allows any content there; it must not lose a mail."""
    with pytest.raises(ValueError, match=r"."):
        read(stored)


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"2026-11-22T09:30:00.123456+00:00", b"0001-01-01T00:00:00+14:00"),
        (b"2026-11-22T09:30:00.123456+00:00", b"2026-11-22T09:30:00"),
        (b'"anna@acme.test","Bcc', b'"\\u0000@acme.test","Bcc'),
        (b'"anna@acme.test","Bcc', b'"\\ud800@acme.test","Bcc'),
        (b'["anna@acme.test","Bcc+x@acme.test"]', b"7"),
        (b'"attempt":1', b'"attempt":{}'),
        (b'"named_by":"ses"', b'"named_by":"me"'),
        (b'"PASS"', b'"GREAT"'),
    ],
)
def test_what_the_database_would_refuse_is_no_manifest(there: bytes, instead: bytes) -> None:
    """It would fail the mail again and again, while the earlier versions have all that is needed."""
    stored = write(MANIFEST, lock_mode="GOVERNANCE", rule=RULE)
    assert there in stored

    with pytest.raises(ValueError, match=r"."):
        read(stored.replace(there, instead))


def test_each_tenant_has_its_own_recipients_and_none_of_another() -> None:
    """A Bcc of another tenant is that tenant's secret; recipients without a tenant are the installation's."""
    said = entry("Anna+x@acme.test", "bob@globex.test", "typo@acme.test", "no address", "anna@acme.test")
    routing = found_for(said, Address("anna@acme.test", "acme", "anna"), Address("bob@globex.test", "globex", "bob"))

    described = {one.tenant: one for one in describe(said, routing, b"raw")}

    assert {tenant: one.envelope.recipients for tenant, one in described.items()} == {
        "acme": ("Anna+x@acme.test", "anna@acme.test"),
        "globex": ("bob@globex.test",),
        NOBODY: ("typo@acme.test", "no address"),
    }
    assert {to.tenant for to in described["globex"].routes} == {"globex"}
    assert recalled(described.values()) is not None
    assert set(recalled(described.values()).envelope.recipients) == set(said.envelope.recipients)  # type: ignore[union-attr]


def test_an_address_of_two_tenants_is_in_the_manifests_of_both() -> None:
    """Both have the mail."""
    said = entry("shared@acme.test")
    routing = found_for(said, Address("shared@acme.test", "acme", "a"), Address("shared@acme.test", "globex", "b"))

    assert [(one.tenant, one.envelope.recipients) for one in describe(said, routing, b"raw")] == [
        ("acme", ("shared@acme.test",)),
        ("globex", ("shared@acme.test",)),
    ]


@pytest.mark.parametrize(
    ("routing", "kept"),
    [
        (RoutingDecision((), (NOBODY,), Reason.NO_ROUTE), RetentionClass.UNROUTED),
        (RoutingDecision((), ("acme",), Reason.VIRUS), RetentionClass.VIRUS),
        (RoutingDecision((), ("acme",), Reason.SPAM, {"acme": Reason.SPAM}), RetentionClass.QUARANTINED),
        (RoutingDecision((), ("acme",)), RetentionClass.DOCUMENT),
    ],
)
def test_the_class_of_the_mail_is_the_class_of_its_manifest(routing: RoutingDecision, kept: RetentionClass) -> None:
    """Mail without a recipient here, or that must not be opened, is personal data with no reason to be kept for years."""
    [described] = describe(entry(), routing, b"raw")

    assert described.retention is kept
    assert routing.retention_class(described.tenant) is kept


def test_renewing_never_loses_a_recipient_or_the_class_document() -> None:
    """A late notification may name a virus; its recipients already have the mail."""
    first = replace(MANIFEST, named_by=Source.HEADERS, envelope=replace(ENVELOPE, recipients=("old@acme.test",)))
    late = replace(
        MANIFEST, attempt=2, received_at=AT + timedelta(hours=1), retention=RetentionClass.VIRUS, reason="virus"
    )

    renewed = late.renewing([first])

    assert renewed.envelope.recipients == ("old@acme.test", *ENVELOPE.recipients)
    assert (renewed.named_by, renewed.received_at) == (Source.SES, AT)
    assert (renewed.retention, renewed.reason) == (RetentionClass.WITHDRAWN, "virus")


def test_a_manifest_of_other_bytes_under_the_key_is_ignored() -> None:
    """Somebody overwrote the object: the second mail must not go to the first one's recipients."""
    other = replace(MANIFEST, sha256="1" * 64, ref=replace(REF, version="v2"))

    assert other.renewing([MANIFEST]) == other
    assert not MANIFEST.is_of(REF, "1" * 64)
    assert MANIFEST.is_of(replace(REF, version=""), None)
    assert not MANIFEST.is_of(replace(REF, version="v2"), None)


def test_recipients_from_headers_are_no_envelope() -> None:
    """SES's notification may still come and name more; only the time of receipt is sure."""
    said = recalled([replace(MANIFEST, named_by=Source.HEADERS), replace(MANIFEST, received_at=AT - timedelta(days=1))])
    alone = recalled([replace(MANIFEST, named_by=Source.HEADERS)])

    assert recalled([]) is None
    assert said is not None
    assert (said.received_at, said.envelope) == (AT - timedelta(days=1), ENVELOPE)
    assert alone is not None
    assert alone.envelope is None
