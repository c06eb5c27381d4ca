"""The DNS records of a sender domain, and what the provider and DNS say of each."""

import json

import pytest

from mailroom.outbound.sender_records import (
    RecordState,
    SenderRecord,
    asked_of_dns,
    of_another,
    of_ses,
    of_smtp,
    sender_domain,
)
from mailroom.ports.dns import RecordType
from mailroom.ports.sender_identities import IdentityState, SenderIdentity
from mailroom.testing.dns import MemoryDns, Records

TOKENS = ("aaa", "bbb", "ccc")
IDENTITY = SenderIdentity(
    domain="acme.org",
    state=IdentityState.VERIFIED,
    dkim=IdentityState.VERIFIED,
    dkim_tokens=TOKENS,
    dkim_zone="dkim.amazonses.com",
    mail_from="bounces.acme.org",
    mail_from_state=IdentityState.VERIFIED,
    region="eu-west-1",
)


COMPLETE: Records = {
    **{(f"{token}._domainkey.acme.org", RecordType.CNAME): (f"{token}.dkim.amazonses.com",) for token in TOKENS},
    ("bounces.acme.org", RecordType.MX): ("10 feedback-smtp.eu-west-1.amazonses.com",),
    ("bounces.acme.org", RecordType.TXT): ("some-site-verification=1", "v=spf1 include:amazonses.com ~all"),
    ("_dmarc.acme.org", RecordType.TXT): ("v=DMARC1; p=reject; rua=mailto:x@acme.org",),
}


def states(zone: MemoryDns, identity: SenderIdentity = IDENTITY) -> dict[str, RecordState]:
    return {f"{one.purpose} {one.type}": one.dns for one in asked_of_dns(of_ses("acme.org", identity), zone).records}


def test_records_of_ses_are_those_of_its_guide() -> None:
    """Copied into DNS as they are printed, they verify the domain."""
    report = of_ses("acme.org", IDENTITY)

    assert [(one.purpose, one.type, one.name, one.value) for one in report.records] == [
        *[("DKIM", "CNAME", f"{token}._domainkey.acme.org", f"{token}.dkim.amazonses.com") for token in TOKENS],
        ("MAIL FROM", "MX", "bounces.acme.org", "10 feedback-smtp.eu-west-1.amazonses.com"),
        ("SPF", "TXT", "bounces.acme.org", "v=spf1 include:amazonses.com ~all"),
        ("DMARC", "TXT", "_dmarc.acme.org", "v=DMARC1; p=none"),
    ]


def test_everything_in_dns_is_complete() -> None:
    """Exit code 0."""
    report = asked_of_dns(of_ses("acme.org", IDENTITY), MemoryDns(COMPLETE))

    assert {one.dns for one in report.records} == {RecordState.FOUND}
    assert report.is_complete


@pytest.mark.parametrize(
    ("name", "values", "where", "state"),
    [
        (("bbb._domainkey.acme.org", RecordType.CNAME), (), "DKIM CNAME", RecordState.MISSING),
        (("bbb._domainkey.acme.org", RecordType.CNAME), ("bbb.dkim.amazonses.com.acme.org",), "DKIM CNAME", RecordState.DIFFERENT),
        (("bounces.acme.org", RecordType.MX), ("10 mail.acme.org",), "MAIL FROM MX", RecordState.DIFFERENT),
        (("bounces.acme.org", RecordType.TXT), ("v=spf1 -all",), "SPF TXT", RecordState.DIFFERENT),
        (("bounces.acme.org", RecordType.TXT), ("v=spf1 include:amazonses.com ~all", "v=spf1 mx -all"), "SPF TXT", RecordState.DIFFERENT),
        (("bounces.acme.org", RecordType.TXT), ("v=spf10 x",), "SPF TXT", RecordState.MISSING),
        (("_dmarc.acme.org", RecordType.TXT), ("p=none",), "DMARC TXT", RecordState.MISSING),
    ],
)  # fmt: skip
def test_a_wrong_record_is_named(
    name: tuple[str, RecordType], values: tuple[str, ...], where: str, state: RecordState
) -> None:
    """A zone appended to a target, another's mail server, two SPF policies: each is seen, and the exit code is 1."""
    zone = MemoryDns(COMPLETE | {name: values})
    report = asked_of_dns(of_ses("acme.org", IDENTITY), zone)

    wrong = [f"{one.purpose} {one.type}" for one in report.records if one.dns is state]

    assert wrong == [where]
    assert not report.is_complete


def test_where_dns_does_not_answer_the_provider_decides() -> None:
    """A laptop without a network: SES says verified, and nothing is called missing."""
    silent = MemoryDns({}, silent=frozenset({name for name, _ in COMPLETE}))
    pending = SenderIdentity(
        domain="acme.org", state=IdentityState.PENDING, dkim=IdentityState.PENDING, dkim_tokens=TOKENS
    )

    assert asked_of_dns(of_ses("acme.org", IDENTITY), silent).is_complete
    assert not asked_of_dns(of_ses("acme.org", pending), silent).is_complete
    assert not of_ses("acme.org", pending).is_complete


def test_policy_of_the_organisation_counts_for_its_subdomain() -> None:
    """Receivers look there too (RFC 7489 section 6.6.3)."""
    zone = MemoryDns({("_dmarc.acme.org", RecordType.TXT): ("v=DMARC1; p=none",)})

    [record] = asked_of_dns(of_another("mail.acme.org", "postmark"), zone).records

    assert record.dns is RecordState.FOUND


def test_identity_that_is_not_there_says_how_to_create_it() -> None:
    """Nothing is created without being asked for."""
    report = of_ses("acme.org", None)

    assert (report.state, report.is_complete) == (IdentityState.MISSING, False)
    assert "`mailroom sender verify acme.org --create`" in report.advice[0]


def test_subdomain_is_covered_by_its_parents_identity() -> None:
    """The records to check are the parent's."""
    report = of_ses("mail.acme.org", IDENTITY)

    assert (report.identity, report.state) == ("acme.org", IdentityState.VERIFIED)
    assert report.records[0].name == "aaa._domainkey.acme.org"


def test_own_key_is_a_text_record_whose_value_only_its_owner_knows() -> None:
    """SES returns the selector of a key that it was given, not the key."""
    own = SenderIdentity(
        domain="acme.org", state=IdentityState.VERIFIED, dkim_tokens=("mine",), own_key=True, region="eu-west-1"
    )
    record = of_ses("acme.org", own).records[0]

    assert (record.name, record.type) == ("mine._domainkey.acme.org", RecordType.TXT)
    assert (
        states(MemoryDns({("mine._domainkey.acme.org", RecordType.TXT): ("v=DKIM1; p=MIIB IjAN",)}), own)["DKIM TXT"]
        is RecordState.FOUND
    )
    assert (
        states(MemoryDns({("mine._domainkey.acme.org", RecordType.TXT): ("v=DKIM1; p=",)}), own)["DKIM TXT"]
        is RecordState.MISSING
    )


def test_key_of_a_relay_is_compared_with_dns() -> None:
    """Blanks and other tags do not matter, another key does."""
    report = of_smtp(
        "acme.org", host="relay.test", dkim=("acme.org", "m._domainkey.acme.org", "v=DKIM1; k=rsa; p=MIIB")
    )

    def state(*values: str) -> RecordState:
        return asked_of_dns(report, MemoryDns({("m._domainkey.acme.org", RecordType.TXT): values})).records[0].dns

    assert state("v=DKIM1; t=s; p=MI IB") is RecordState.FOUND
    assert state("v=DKIM1; p=MIIC") is RecordState.DIFFERENT
    assert state("v=spf1 -all") is state() is RecordState.MISSING


def test_relay_without_a_key_or_with_anothers_says_so() -> None:
    """A signature of another domain passes DKIM and fails DMARC."""
    assert any("no DKIM key" in line for line in of_smtp("acme.org", host="relay.test", dkim=None).advice)
    other = of_smtp("acme.org", host="relay.test", dkim=("other.org", "m._domainkey.other.org", "p=x"))
    assert any("does not align" in line for line in other.advice)


@pytest.mark.parametrize(("provider", "words"), [("sendgrid", "Sender Authentication"), ("postmark", "DNS Settings")])
def test_providers_that_are_not_asked_say_where_their_console_shows_it(provider: str, words: str) -> None:
    """Plainly, and with the DMARC record that every sender needs."""
    report = of_another("acme.org", provider)

    assert words in report.advice[0]
    assert [one.purpose for one in report.records] == ["DMARC"]
    assert of_another("acme.org", "file").records == ()


@pytest.mark.parametrize("domain", ["acme.test", "acme.example", "a.b.invalid"])
def test_names_that_are_in_no_dns_are_not_asked(domain: str) -> None:
    """The sandbox's domains would be called missing for ever."""
    identity = SenderIdentity(domain=domain, state=IdentityState.VERIFIED, dkim_tokens=TOKENS)

    report = asked_of_dns(of_ses(domain, identity), MemoryDns({}))

    assert report.is_complete
    assert {one.dns for one in report.records} == {RecordState.UNKNOWN}
    assert "RFC 2606" in report.advice[-1]


def test_json_has_stable_words() -> None:
    """Programs read them."""
    values = json.loads(json.dumps(asked_of_dns(of_ses("acme.org", IDENTITY), MemoryDns(COMPLETE)).as_json()))

    assert {"domain", "provider", "state", "identity", "records", "advice", "complete"} == values.keys()
    assert values["records"][0] == {
        "purpose": "DKIM",
        "name": "aaa._domainkey.acme.org",
        "type": "CNAME",
        "value": "aaa.dkim.amazonses.com",
        "needed": True,
        "provider": "verified",
        "dns": "found",
        "missing": False,
    }


@pytest.mark.parametrize(
    "written", ["", "acme", "a b.test", "desk@acme.test", "acme.test/x", "a\r\nb.test", "x" * 300 + ".test"]
)
def test_what_is_no_domain_is_refused(written: str) -> None:
    """An address is no domain: `mailroom sender verify desk@acme.test` says so."""
    with pytest.raises(ValueError, match=r"."):
        sender_domain(written)


def test_domains_are_written_in_many_ways() -> None:
    """Capitals, a final dot, letters."""
    assert {sender_domain(one) for one in ("Bücher.test", "bücher.test.", " XN--bcher-kva.TEST ")} == {
        "xn--bcher-kva.test"
    }


def test_advised_record_is_never_missing() -> None:
    """SPF of a relay is its operator's word; it does not fail the command."""
    record = SenderRecord(
        purpose="SPF", name="a.org", type=RecordType.TXT, value="x", needed=False, dns=RecordState.MISSING
    )

    assert not record.is_missing
