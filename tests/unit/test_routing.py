"""From envelope recipients to inboxes: one spelling, the best pattern, every tenant that has it."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.errors import Quarantined, Reason
from mailroom.domain.inbound.routing import (
    Address,
    Route,
    candidates,
    normalise,
    normalise_domain,
    normalise_pattern,
    route,
    takes,
    wanted,
)


def known(*addresses: Address) -> dict[str, list[Address]]:
    """Return what a directory with these addresses answers."""
    found: dict[str, list[Address]] = {}
    for address in addresses:
        found.setdefault(address.pattern, []).append(address)
    return found


ANNA = Address("anna@acme.test", "acme", "anna")
ANNA_TAX = Address("anna+tax@acme.test", "acme", "tax-desk")
ALL_OF_ACME = Address("@acme.test", "acme", "front-desk")


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Anna@ACME.test", "anna@acme.test"),
        ("  anna@acme.test\r\n", "anna@acme.test"),
        ("anna@acme.test.", "anna@acme.test"),
        ("anna+Tax@acme.test", "anna+tax@acme.test"),
        ("anna@bücher.test", "anna@xn--bcher-kva.test"),
        ("anna@BÜCHER.test", "anna@xn--bcher-kva.test"),
        ("anna@xn--bcher-kva.test", "anna@xn--bcher-kva.test"),
        ("anna@XN--BCHER-KVA.test", "anna@xn--bcher-kva.test"),
        ("anna@bu\u0308cher.test", "anna@xn--bcher-kva.test"),
        ("ju\u0308rgen@acme.test", "j\u00fcrgen@acme.test"),
        ("J\u00dcRGEN@acme.test", "j\u00fcrgen@acme.test"),
        ('"Anna Smith"@acme.test', '"anna smith"@acme.test'),
        ('"a@b"@acme.test', '"a@b"@acme.test'),
        (r'"a\"b"@acme.test', r'"a\"b"@acme.test'),
        ('"anna"@acme.test', "anna@acme.test"),
        ('"Anna.Smith"@acme.test', "anna.smith@acme.test"),
        (r'"an\na"@acme.test', "anna@acme.test"),
        (r'"a\ b"@acme.test', '"a b"@acme.test'),
        ('"anna+tax"@acme.test', '"anna+tax"@acme.test'),
        ('"a*b"@acme.test', '"a*b"@acme.test'),
        ('".anna"@acme.test', '".anna"@acme.test'),
        ('""@acme.test', '""@acme.test'),
        ("anna@straße.test", "anna@xn--strae-oqa.test"),
        ("anna@STRASSE.test", "anna@strasse.test"),
        ("anna@mail_out.acme.test", "anna@mail_out.acme.test"),
        ("用户@例子.测试", "用户@xn--fsqu00a.xn--0zwm56d"),
        ("anna@[192.0.2.1]", "anna@[192.0.2.1]"),
    ],
)
def test_every_way_of_writing_an_address_is_one_spelling(written: str, stored: str) -> None:
    """Addresses are compared as text by the database; two spellings of one address would be two inboxes."""
    assert normalise(written) == stored


def test_composed_and_decomposed_capitals_are_one_spelling() -> None:
    """Unicode has a small j with caron and no capital one, so lower case may come out decomposed."""
    assert normalise("J\u030cana@acme.test") == normalise("\u01f0ana@acme.test")


@pytest.mark.parametrize(
    "written",
    [
        "",
        "anna",
        "@acme.test",
        "anna@",
        "anna@b@acme.test",
        "anna smith@acme.test",
        "anna@acme test",
        "anna@acme..test",
        "anna@.test",
        "anna@.",
        f"anna@{'x' * 64}.test",
        f"{'x' * 320}@acme.test",
        "a@x.test, b@x.test",
        "anna@xn--a",
        f"anna@{'.'.join(['x' * 60] * 5)}",
        "an\x00na@acme.test",
        '"an\x00na"@acme.test',
        "an\ud800na@acme.test",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    """RFC 5321 section 4.1.2; the directory must not accept an address that no mail can reach."""
    with pytest.raises(ValueError):  # noqa: PT011 - which of them is the sender's affair
        normalise(written)


@pytest.mark.parametrize("domain", ["ACME.test", "acme.test.", "acme\u3002test", "\uff41cme.test"])
def test_a_domain_is_its_a_label_in_lower_case(domain: str) -> None:
    """RFC 5891 section 4: full stops and letters of other widths are the same name."""
    assert normalise_domain(domain) == "acme.test"


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("Invoice-*@BÜCHER.test", "invoice-*@xn--bcher-kva.test"),
        ("*@acme.test", "@acme.test"),
        ("**@acme.test", "@acme.test"),
        ("@ACME.test", "@acme.test"),
        ("scans/", "scans/"),
        ("scans/2026/", "scans/2026/"),
        ("Anna@acme.test", "anna@acme.test"),
    ],
)
def test_every_kind_of_pattern_has_one_spelling(written: str, stored: str) -> None:
    """They are looked up as text; a rule that is not found receives nothing."""
    assert normalise_pattern(written) == stored


@pytest.mark.parametrize("written", ["", "scans", "/", "/scans/", "scans//", "in /", "a*b", "anna@*.test", "anna@"])
def test_what_is_no_pattern_is_refused(written: str) -> None:
    """A rule without its slash, or a domain with a star, would silently match nothing."""
    with pytest.raises(ValueError):  # noqa: PT011 - which of them is the operator's affair
        normalise_pattern(written)


@pytest.mark.parametrize(
    ("pattern", "address", "taken"),
    [
        ("invoice-*@acme.test", "invoice-42@acme.test", True),
        ("invoice-*@acme.test", "invoice-@acme.test", True),
        ("invoice-*@acme.test", "invoice-42@acme.test.evil.test", False),
        ("invoice-*@acme.test", "my-invoice-42@acme.test", False),
        ("*-tax@acme.test", "anna-tax@acme.test", True),
        ("a*b*c@acme.test", "a-b-c@acme.test", True),
        ("a*b*c@acme.test", "a-c-b@acme.test", False),
        ("ab*ba@acme.test", "aba@acme.test", False),
        ('"a*b"@acme.test', "axb@acme.test", False),
        ("anna@acme.test", "anna@acme.test", False),
    ],
)
def test_a_star_is_any_letters(pattern: str, address: str, taken: bool) -> None:
    """Matched piece by piece: no pattern of any tenant makes a search that is slow."""
    assert takes(pattern, address) is taken


@given(st.text(alphabet="ab*", max_size=12), st.text(alphabet="ab", max_size=12))
def test_stars_match_as_the_shell_does(pattern: str, local: str) -> None:
    """Compared with `fnmatch`, on patterns with no other wildcards than stars."""
    mine = takes(f"{pattern}@x.test", f"{local}@x.test")

    assert mine == ("*" in pattern and fnmatchcase(local, pattern))


INVOICES = Address("invoice-*@acme.test", "acme", "books", "digest")
ALL_INVOICES = Address("in*@acme.test", "acme", "front")
SCANS = Address("scans/", "acme", "scan-desk")


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("Invoice-42@acme.test", Route("invoice-42@acme.test", "acme", "books", "pattern", None, "digest")),
        ("invoice-42+q3@acme.test", Route("invoice-42@acme.test", "acme", "books", "pattern", "q3", "digest")),
        ("inbox@acme.test", Route("inbox@acme.test", "acme", "front", "pattern")),
        ("anna@acme.test", Route("anna@acme.test", "acme", "anna", "exact")),
        ("else@acme.test", Route("else@acme.test", "acme", "front-desk", "domain")),
        ("x+7@else.test", Route("x@else.test", "acme", "scan-desk", "prefix", "7")),
    ],
)
def test_patterns_go_before_the_domain_and_prefix_rules_last(recipient: str, expected: Route) -> None:
    """Of several patterns the one with the most letters; a rule for the prefix takes mail that no other takes."""
    directory = known(ANNA, INVOICES, ALL_INVOICES, ALL_OF_ACME, SCANS)

    assert route([recipient], directory, key="scans/2026/abc") == [expected]


def test_a_prefix_rule_takes_a_mail_of_unknown_recipients() -> None:
    """Where only S3 announced a mail for several, its inbox has a name that is no valid address."""
    [found] = route([], known(SCANS), key="scans/abc")

    assert (found.recipient, found.user, found.why) == ("scans@prefix.invalid", "scan-desk", "prefix")


def test_the_longest_prefix_rule_wins_and_others_take_nothing() -> None:
    """A rule is for a folder, not for every key that begins with the same letters."""
    deep = Address("scans/2026/", "acme", "year")

    [found] = route(["x@y.test"], known(SCANS, deep), key="scans/2026/abc")

    assert found.user == "year"
    with pytest.raises(Quarantined):
        route(["x@y.test"], known(SCANS), key="scansabc")


def test_a_directory_is_asked_for_everything_at_once() -> None:
    """One query for a mail with any number of recipients."""
    assert wanted(["a+1@x.test", "no address", "b@x.test"], "in/2026/abc") == [
        "a+1@x.test",
        "a@x.test",
        "@x.test",
        "b@x.test",
        "in/2026/",
        "in/",
    ]


@given(st.text(max_size=30), st.sampled_from(["acme.test", "Bücher.test", "x.TEST."]))
def test_a_stored_spelling_is_stored_as_it_is(local: str, domain: str) -> None:
    """The directory normalises what it is given and the router what it reads; doing both must change nothing more."""
    try:
        once = normalise(f"{local}@{domain}")
    except ValueError:
        return

    assert normalise(once) == once


def test_patterns_go_from_narrow_to_wide() -> None:
    """The first that is known takes the mail."""
    assert candidates("Anna+Tax@Acme.test") == ["anna+tax@acme.test", "anna@acme.test", "@acme.test"]
    assert candidates("anna@acme.test") == ["anna@acme.test", "@acme.test"]


def test_a_plus_in_a_quoted_local_part_is_no_token() -> None:
    """A quoted local part is meant literally."""
    assert candidates('"anna+tax"@acme.test') == ['"anna+tax"@acme.test', "@acme.test"]


@pytest.mark.parametrize("recipient", ["+anna@acme.test", "+anna+tax@acme.test"])
def test_a_leading_plus_belongs_to_the_name(recipient: str) -> None:
    """Nothing stands before it, so cutting there would leave an address without a name, one for all such recipients."""
    [found] = route([recipient], known(ALL_OF_ACME))

    assert found.why == "domain"
    assert found.recipient.startswith("+anna@")


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        ("Anna@acme.test", Route("anna@acme.test", "acme", "anna", "exact")),
        ("anna+tax@acme.test", Route("anna+tax@acme.test", "acme", "tax-desk", "exact")),
        ("anna+Lease@acme.test", Route("anna@acme.test", "acme", "anna", "plus", "lease")),
        ("anna+a+b@acme.test", Route("anna@acme.test", "acme", "anna", "plus", "a+b")),
        ("anna+@acme.test", Route("anna@acme.test", "acme", "anna", "plus")),
        ("nobody@acme.test", Route("nobody@acme.test", "acme", "front-desk", "domain")),
        ("nobody+tax@acme.test", Route("nobody@acme.test", "acme", "front-desk", "domain", "tax")),
    ],
)
def test_exact_goes_before_plus_and_plus_before_domain(recipient: str, expected: Route) -> None:
    """An address of its own wins over the rest; the token is kept, for it may say which file the mail belongs to."""
    assert route([recipient], known(ANNA, ANNA_TAX, ALL_OF_ACME)) == [expected]


def test_an_internationalised_domain_finds_its_inbox() -> None:
    """SES passes on what the sender typed: Unicode or A-label."""
    directory = known(Address("anna@xn--bcher-kva.test", "books", "anna"))

    [found] = route(["Anna@BÜCHER.test"], directory)

    assert (found.tenant, found.why) == ("books", "exact")


def test_every_tenant_with_the_address_gets_the_mail() -> None:
    """Two tenants may share a mailbox; neither may miss a mail."""
    directory = known(ANNA, Address("anna@acme.test", "auditors", "carl"))

    found = route(["anna@acme.test"], directory)

    assert [(one.tenant, one.user) for one in found] == [("acme", "anna"), ("auditors", "carl")]


def test_one_inbox_gets_a_mail_once() -> None:
    """A sender may write to an address and to its token; the first one gives the reason."""
    found = route(["anna+lease@acme.test", "anna@acme.test", "ANNA@acme.test"], known(ANNA))

    assert found == [Route("anna@acme.test", "acme", "anna", "plus", "lease")]


def test_recipients_keep_their_order_and_foreign_ones_are_skipped() -> None:
    """SES lists every recipient of the mail that a rule took, some of them not ours or no address at all."""
    found = route(["nobody@else.test", "zoe@acme.test", "no address", "anna@acme.test"], known(ANNA, ALL_OF_ACME))

    assert [one.recipient for one in found] == ["zoe@acme.test", "anna@acme.test"]


@pytest.mark.parametrize("recipients", [[], ["nobody@else.test"], ["no address", "anna@sub.acme.test"]])
def test_a_mail_without_a_route_is_quarantined(recipients: list[str]) -> None:
    """It is kept, and a person adds the address or dismisses it; a domain's pattern does not take its subdomains."""
    with pytest.raises(Quarantined) as caught:
        route(recipients, known(ANNA, ALL_OF_ACME))

    assert caught.value.reason is Reason.NO_ROUTE
    assert caught.value.facts == {}
