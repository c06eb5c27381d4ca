"""Return paths: what is a token of ours, and what only looks like one."""

import string
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.domain.delivery.return_paths import (
    TOKEN_BYTES,
    is_return_path,
    return_path,
    return_path_domain,
    token_in,
    token_of,
)
from mailroom.testing.return_paths import MemoryReturnPaths

NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
DOMAIN = "bounces.acme.test"
SOME_BYTES = st.binary(min_size=TOKEN_BYTES, max_size=TOKEN_BYTES)


@settings(deadline=None)
@given(SOME_BYTES)
def test_a_return_path_is_18_octets_and_says_its_token(random: bytes) -> None:
    """Lower case, for some receivers write all in lower case; a local part has at most 64 octets."""
    token = token_of(random)
    local, _, domain = return_path(token, DOMAIN).partition("@")

    assert (len(local), domain, local) == (18, DOMAIN, local.lower())
    assert token_in(f"{local}@{domain}", DOMAIN) == token


@settings(deadline=None)
@given(SOME_BYTES, st.integers(min_value=0))
def test_case_is_not_compared(random: bytes, mask: int) -> None:
    """The local part passes through programs that write it in capitals, or some of it."""
    token = token_of(random)
    path = return_path(token, DOMAIN)
    mixed = "".join(letter.upper() if mask >> at & 1 else letter for at, letter in enumerate(path))

    assert token_in(mixed, DOMAIN) == token


@settings(deadline=None)
@given(SOME_BYTES)
def test_a_forwarder_with_srs_has_room_for_it(random: bytes) -> None:
    """SRS0=HASH=TT=DOMAIN=LOCAL in 64 octets (RFC 5321 section 4.5.3.1.1), with a domain of ours of 32."""
    domain = "b" * 27 + ".test"
    local = return_path(token_of(random), domain).partition("@")[0]

    assert len(domain) == 32
    assert len(f"SRS0=aB3d=XY={domain}={local}") <= 64


@settings(deadline=None)
@given(st.text(alphabet=string.ascii_lowercase + "234567", min_size=16, max_size=16))
def test_no_token_that_we_did_not_issue_is_valid(guess: str) -> None:
    """Whatever a forger writes in the form of a token, it is nobody's; 80 bits are not guessed."""
    paths = MemoryReturnPaths({"m-1": ("acme", "anna@users.test", "smtp")})
    [issued] = paths.issue([("m-1", 1)], now=NOW)

    assert (paths.find(guess, received_at=NOW) is not None) == (guess == issued)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_in_place_of_an_address_is_no_token_or_has_the_form_of_one(text: str) -> None:
    """Recipients come from outside: nothing raises."""
    for address in (text, f"{text}@{DOMAIN}", f"b+{text}@{DOMAIN}"):
        token = token_in(address, DOMAIN)
        assert token is None or (len(token) == 16 and set(token) <= set(string.ascii_lowercase + "234567"))


@pytest.mark.parametrize(
    "address",
    [
        "b+aaaaaaaaaaaaaaaa@acme.test",
        "b+aaaaaaaaaaaaaaaa@x.bounces.acme.test",
        "b+aaaaaaaaaaaaaaa@bounces.acme.test",
        "b+aaaaaaaaaaaaaaaaa@bounces.acme.test",
        "b+aaaaaaaaaaaaaaa1@bounces.acme.test",
        "b+aaaaaaaaaaaaaaaa+b@bounces.acme.test",
        "bb+aaaaaaaaaaaaaaaa@bounces.acme.test",
        "b@bounces.acme.test",
        '"b+aaaaaaaaaaaaaaaa"@bounces.acme.test',
        "<b+aaaaaaaaaaaaaaaa@bounces.acme.test>",
        "b+aaaaaaaaaaaaaaaa",
        "",
    ],
)
def test_addresses_that_are_none_of_ours(address: str) -> None:
    """Another domain, another length, another name, a digit that base32 does not have."""
    assert token_in(address, DOMAIN) is None


def test_mail_for_any_token_is_meant_for_a_return_path() -> None:
    """Forged ones are counted; people's addresses at the same domain are not."""
    assert is_return_path("b+x@bounces.acme.test", DOMAIN)
    assert not is_return_path("b@bounces.acme.test", DOMAIN)
    assert not is_return_path("bob+x@bounces.acme.test", DOMAIN)
    assert not is_return_path("b+x@acme.test", DOMAIN)


@pytest.mark.parametrize(
    ("setting", "domain"),
    [
        ("", ""),
        (" ", ""),
        ("Bounces.ACME.test.", DOMAIN),
        (f" {DOMAIN} ", DOMAIN),
        ("bücher.test", "xn--bcher-kva.test"),
    ],
)
def test_the_domain_is_compared_in_its_stored_spelling(setting: str, domain: str) -> None:
    """An operator's spelling must not make every report backscatter."""
    assert return_path_domain(setting) == domain


@pytest.mark.parametrize(
    "setting", ["a b", "b@acme.test", "@acme.test", ".", "a..b", "acme", "a>b.test", "x" * 64, ".".join(["x" * 47] * 5)]
)
def test_a_setting_that_is_no_domain_for_return_paths_stops_the_start(setting: str) -> None:
    """Mail would leave with an envelope's sender that no server accepts."""
    with pytest.raises(ValueError, match="not a domain name"):
        return_path_domain(setting)


@pytest.mark.parametrize("length", [0, TOKEN_BYTES - 1, TOKEN_BYTES + 1])
def test_a_token_has_80_bits(length: int) -> None:
    """Fewer could be guessed, more would not fit behind SRS."""
    with pytest.raises(ValueError, match="10 random bytes"):
        token_of(bytes(length))


def test_a_token_is_valid_for_14_days_from_sending() -> None:
    """By when the report came, so that a report that is processed late counts as well."""
    paths = MemoryReturnPaths({"m-1": ("acme", "anna@users.test", "smtp")})
    [token] = paths.issue([("m-1", 1)], now=NOW)

    assert paths.find(token, received_at=NOW + timedelta(days=14)) is not None
    assert paths.find(token, received_at=NOW + timedelta(days=14, seconds=1)) is None
