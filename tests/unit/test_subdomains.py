"""Patterns of subdomains: `*@*.acme.test` takes mail to every address below acme.test, after everything narrower."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom.domain.errors import Quarantined
from mailroom.domain.inbound.routing import (
    MOST_LABELS,
    Address,
    is_starred,
    normalise_pattern,
    parents,
    route,
    takes,
    unrouted,
    wanted,
)

_LABEL = st.text(alphabet="abx", min_size=1, max_size=3)
_DOMAIN = st.lists(_LABEL, min_size=2, max_size=6).map(".".join)
_LOCAL = st.text(alphabet="ab+", min_size=1, max_size=4).filter(lambda one: not one.startswith("+"))


def known(*patterns: str, tenant: str = "acme") -> dict[str, list[Address]]:
    return {pattern: [Address(pattern, tenant, pattern)] for pattern in map(normalise_pattern, patterns)}


def routed(recipient: str, directory: dict[str, list[Address]], key: str = "") -> tuple[str, str, str] | None:
    """Return user, inbox and type of the route; None without one."""
    try:
        [found] = route([recipient], directory, key=key)
    except Quarantined:
        return None
    return found.user, found.recipient, found.why


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("*@*.acme.test", "@*.acme.test"),
        ("@*.ACME.test", "@*.acme.test"),
        ("@*.acme.test.", "@*.acme.test"),
        ("Invoice-*@*.BÜCHER.test", "invoice-*@*.xn--bcher-kva.test"),
        ("info@*.acme.test", "info@*.acme.test"),
        ('"a*b"@*.acme.test', '"a*b"@*.acme.test'),
    ],
)
def test_a_pattern_of_subdomains_has_one_spelling(written: str, stored: str) -> None:
    """It is looked up as text."""
    assert normalise_pattern(written) == stored
    assert normalise_pattern(stored) == stored
    assert is_starred(stored)


@pytest.mark.parametrize(
    "written",
    [
        "*@*.test", "*@*.", "*@*", "*@**.acme.test", "*@*acme.test", "*@a.*.test", "*@acme.*", "*@*.*.acme.test", "*@.acme.test",
        "*@*." + "a." * MOST_LABELS + "test", "*@*." + "a" * 64 + ".test", "*@\uff0a.acme.test", "*@*.acme\uff0a.test",
    ],
)  # fmt: skip
def test_other_stars_in_a_domain_are_refused(written: str) -> None:
    """They would match nothing, or everybody's mail; a full-width star is a star once the domain is normalised."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is the command's
        normalise_pattern(written)


@pytest.mark.parametrize(
    ("pattern", "address", "taken"),
    [
        ("@*.acme.test", "anna@a.acme.test", True),
        ("@*.acme.test", "anna@a.b.acme.test", True),
        ("@*.acme.test", "anna@acme.test", False),
        ("@*.acme.test", "anna@evilacme.test", False),
        ("@*.acme.test", "anna@.acme.test", False),
        ("@*.acme.test", "anna@a.acme.test.evil.test", False),
        ("@*.acme.test", '"x@b.acme.test"@evil.test', False),
        ("in*@*.acme.test", "invoice@a.acme.test", True),
        ("in*@*.acme.test", "x@in.acme.test", False),
        ("anna@*.acme.test", "anna@a.acme.test", True),
        ("anna@*.acme.test", "bob@a.acme.test", False),
        ('"a*b"@*.acme.test', "axb@a.acme.test", False),
    ],
)
def test_a_star_before_a_domain_is_one_label_or_more(pattern: str, address: str, taken: bool) -> None:
    """Only whole labels count, and only those of the address's own domain."""
    assert takes(pattern, address) is taken


EVERYTHING = (
    "anna@x.acme.test", "in*@x.acme.test", "@x.acme.test", "anna@*.acme.test", "in*@*.acme.test", "@*.acme.test",
    "anna@*.x.acme.test", "@*.x.acme.test", "scans/",
)  # fmt: skip


@pytest.mark.parametrize(
    ("recipient", "pattern"),
    [
        ("anna@x.acme.test", "anna@x.acme.test"),
        ("anna+tax@x.acme.test", "anna@x.acme.test"),
        ("invoice@x.acme.test", "in*@x.acme.test"),
        ("else@x.acme.test", "@x.acme.test"),
        ("anna@deep.x.acme.test", "anna@*.x.acme.test"),
        ("invoice@deep.x.acme.test", "@*.x.acme.test"),
        ("else@deep.x.acme.test", "@*.x.acme.test"),
        ("anna@y.acme.test", "anna@*.acme.test"),
        ("invoice@y.acme.test", "in*@*.acme.test"),
        ("else@y.acme.test", "@*.acme.test"),
        ("else@acme.test", "scans/"),
        ("else@other.test", "scans/"),
    ],
)
def test_the_exact_domain_goes_first_then_the_longest_parent(recipient: str, pattern: str) -> None:
    """With every kind of pattern there; a rule for a key prefix comes last."""
    found = routed(recipient, known(*EVERYTHING), key="scans/abc")

    assert found is not None
    assert found[0] == pattern


def test_the_inbox_is_the_address_and_a_token_is_kept() -> None:
    """One inbox for each address of a subdomain, as for a whole domain."""
    [whole] = route(["Anna+Q3@Lyon.acme.test"], known("@*.acme.test"))
    [named] = route(["anna+q3@lyon.acme.test"], known("anna@*.acme.test"))

    assert (whole.recipient, whole.plus_token, whole.why) == ("anna@lyon.acme.test", "q3", "subdomain")
    assert (named.recipient, named.plus_token, named.why) == ("anna@lyon.acme.test", "q3", "subdomain")


def test_a_token_does_not_lead_to_another_address_than_without_it() -> None:
    """The name itself goes before a pattern, and one with a star keeps one inbox for all tokens, as at the exact domain."""
    directory = known("an*@*.acme.test", "anna@*.acme.test", "bill+q3@*.acme.test", "b*@*.acme.test")
    starred = known("an*@*.acme.test", "*+q3@*.acme.test", "an*@acme.test")

    assert routed("anna+q3@x.acme.test", directory) == ("anna@*.acme.test", "anna@x.acme.test", "subdomain")
    assert routed("bill+q3@x.acme.test", directory) == ("bill+q3@*.acme.test", "bill+q3@x.acme.test", "subdomain")
    assert routed("bob+q3@x.acme.test", starred) == ("*+q3@*.acme.test", "bob+q3@x.acme.test", "subdomain")
    for domain in ("acme.test", "x.acme.test"):
        [found] = route([f"ann+q3@{domain}"], starred)
        assert (found.recipient, found.plus_token) == (f"ann@{domain}", "q3")


def test_a_recipient_that_is_written_like_a_pattern_is_no_address() -> None:
    """No domain has a star; a sender who guesses the pattern gets no inbox of that name."""
    directory = known("@*.acme.test", "info@*.acme.test")

    assert routed("info@*.acme.test", directory) is None
    assert routed("x@*.acme.test", directory) is None


def test_two_tenants_with_one_pattern_both_get_the_mail_and_a_narrower_one_takes_it_alone() -> None:
    """As for exact addresses: each tenant of the best pattern, and no tenant of a wider one."""
    shared = {"@*.acme.test": [Address("@*.acme.test", "acme", "a"), Address("@*.acme.test", "globex", "g")]}
    own = shared | known("@*.x.acme.test", tenant="initech")

    assert [to.tenant for to in route(["u@y.acme.test"], own)] == ["acme", "globex"]
    assert [to.tenant for to in route(["u@deep.x.acme.test"], own)] == ["initech"]


@given(_LOCAL, _DOMAIN, st.lists(st.tuples(st.sampled_from(["", "a*", "b", "ab"]), st.booleans(), _DOMAIN), max_size=8))
def test_what_is_looked_up_is_all_that_routing_may_use(
    local: str, domain: str, patterns: list[tuple[str, bool, str]]
) -> None:
    """The directory returns patterns by name, and those with stars by their domain: both must find whatever matches."""
    directory = known(*(f"{name}@{'*.' if below else ''}{parent}" for name, below, parent in patterns))
    asked = set(wanted([f"{local}@{domain}"], "in/x"))
    domains = {one[1:] for one in asked if one.startswith("@")}
    found = {one: at for one, at in directory.items() if one in asked or one.rpartition("@")[2] in domains}

    assert routed(f"{local}@{domain}", found) == routed(f"{local}@{domain}", directory)


@given(_DOMAIN)
def test_parents_are_the_longest_first_and_each_takes_the_domain(domain: str) -> None:
    """Every parent of two labels or more, and never the domain itself."""
    above = parents(domain)

    assert [len(one) for one in above] == sorted((len(one) for one in above), reverse=True)
    assert all(takes(f"@{one}", f"x@{domain}") for one in above)
    assert len(above) == max(0, domain.count(".") - 1)


def test_a_domain_of_many_labels_is_looked_up_by_few_patterns() -> None:
    """A sender chooses the recipient's subdomain, and 126 labels fit into a name."""
    assert len(wanted(["x@" + "a." * 120 + "acme.test"], "in/x")) < MOST_LABELS + 5


def test_recipients_without_a_route_are_named_as_they_were_written() -> None:
    """Each once; a malformed one too. None where the whole mail has no route: then it is quarantined with all of them."""
    directory = known("anna@acme.test", "@*.acme.test")

    assert unrouted(["Anna@acme.test", "Bob@acme.test", "x@y.acme.test", "no address", "Bob@acme.test"], directory) == (
        "Bob@acme.test",
        "no address",
    )
    assert unrouted(["bob@acme.test"], directory) == ()
    assert unrouted(["bob@acme.test", "anna@acme.test"], known("in/", "anna@acme.test"), key="in/x") == ()
