"""Which senders the provider serves, and for how long an answer is used."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.outbound.served_senders import KNOWN_S, REFUSED_S, ServedSenders
from mailroom.ports.sender_identities import ServedIdentities, with_parents
from mailroom.testing.clock import Clock


def identities(*names: str) -> ServedIdentities:
    return ServedIdentities(
        provider="SES",
        addresses=frozenset(name for name in names if "@" in name),
        domains=frozenset(name for name in names if "@" not in name),
    )


class Provider:
    """A provider's list, which counts how often it is asked for."""

    def __init__(self, *names: str) -> None:
        self.now: ServedIdentities | None = identities(*names)
        self.asked = 0

    def __call__(self) -> ServedIdentities | None:
        self.asked += 1
        return self.now


@pytest.mark.parametrize(
    ("names", "address", "covering"),
    [
        (("acme.test",), "desk@acme.test", "acme.test"),
        (("acme.test",), "DESK@ACME.test", "acme.test"),
        (("acme.test",), "desk@mail.eu.acme.test", "acme.test"),
        (("mail.acme.test", "acme.test"), "desk@mail.acme.test", "mail.acme.test"),
        (("acme.test",), "desk@notacme.test", None),
        (("mail.acme.test",), "desk@acme.test", None),
        (("desk@acme.test",), "desk@acme.test", "desk@acme.test"),
        (("desk@acme.test",), "ceo@acme.test", None),
        (("desk@acme.test",), "desk@mail.acme.test", None),
        (("test",), "desk@acme.test", None),
        (("xn--bcher-kva.test",), "desk@bücher.test", "xn--bcher-kva.test"),
        ((), "desk@acme.test", None),
    ],
)
def test_a_verified_domain_covers_its_subdomains_and_an_address_only_itself(
    names: tuple[str, ...], address: str, covering: str | None
) -> None:
    """As in SES: a parent is enough, and a name that merely ends alike is another's."""
    assert identities(*names).covering(address) == covering


@settings(deadline=None)
@given(st.lists(st.from_regex(r"[a-z0-9]{1,5}", fullmatch=True), min_size=2, max_size=6))
def test_any_domain_is_covered_by_itself_and_by_each_parent_alone(labels: list[str]) -> None:
    """Parents are whole labels, down to two."""
    domain = ".".join(labels)

    for parent in with_parents(domain):
        assert identities(parent).covering(f"any@{domain}") == parent
        assert identities(f"x{parent}").covering(f"any@{domain}") is None


def test_sender_that_is_not_served_is_refused_with_what_to_do() -> None:
    """Only the caller's response names the domain: what is logged or shown of an error does not."""
    unserved = ServedSenders(Provider("other.test")).unserved("desk@acme.test")

    assert unserved is not None
    assert unserved.fault.named == (
        "SES has not verified the sender domain acme.test: verify it (`mailroom sender verify acme.test`), then send again"
    )
    assert "acme" not in repr(unserved.fault)


def test_what_is_not_known_is_accepted() -> None:
    """A missing permission or an outage is no reason to refuse a batch."""
    provider = Provider()
    provider.now = None

    assert ServedSenders(provider).unserved("desk@acme.test") is None


def test_outage_between_two_answers_refuses_nobody() -> None:
    """The first answer is old, and the second does not come: it may have been verified since."""
    provider, clock = Provider("other.test"), Clock()
    served = ServedSenders(provider, clock=clock)
    assert served.unserved("desk@acme.test")

    provider.now = None
    clock.now += REFUSED_S

    assert served.unserved("desk@acme.test") is None


def test_served_senders_ask_once_in_some_minutes() -> None:
    """A thousand batches of one domain cost one question."""
    provider, clock = Provider("acme.test"), Clock()
    served = ServedSenders(provider, clock=clock)

    for _ in range(100):
        assert served.unserved("desk@acme.test") is None
    assert provider.asked == 1
    clock.now += KNOWN_S
    served.unserved("desk@acme.test")
    assert provider.asked == 2


def test_domain_verified_after_a_refusal_is_accepted_within_seconds() -> None:
    """A person verifies it and sends again at once; others' senders stay cached meanwhile."""
    provider, clock = Provider("other.test"), Clock()
    served = ServedSenders(provider, clock=clock)
    assert served.unserved("desk@acme.test")

    provider.now = identities("acme.test", "other.test")
    clock.now += REFUSED_S

    assert served.unserved("desk@acme.test") is None
    assert served.unserved("desk@other.test") is None


def test_refusals_ask_at_most_once_in_some_seconds() -> None:
    """A caller that repeats a refused batch does not use up SES's one question a second."""
    provider, clock = Provider("other.test"), Clock()
    served = ServedSenders(provider, clock=clock)

    for _ in range(100):
        served.unserved("desk@acme.test")

    assert provider.asked == 2
