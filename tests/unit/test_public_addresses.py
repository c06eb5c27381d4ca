"""The list of public addresses: each network of IANA's registries its first address, its last, and their neighbours.

The ranges here are written down a second time, by first and last address and read by arithmetic of this file's own, so that
neither a slip in a prefix length nor a change in Python's `ipaddress` moves both sides.
"""

import ast
import socket
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailroom.domain.delivery.public_addresses import is_public

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = [
    path for name in ("mailroom", "flows", "tasks", "blocks", "deployments") for path in (ROOT / name).rglob("*.py")
]
#: What another Python answers otherwise: its lists grew in 3.11.10, 3.12.4 and 3.13 (CVE-2024-4032, mapped addresses).
LISTS_OF_PYTHON = {
    "is_private", "is_global", "is_reserved", "is_link_local", "is_site_local", "is_multicast", "is_unspecified",
    "ipv4_mapped", "sixtofour", "teredo",
}  # fmt: skip

NOT_PUBLIC_V4 = [
    ("0.0.0.0", "0.255.255.255"), ("10.0.0.0", "10.255.255.255"), ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"), ("168.63.129.16", "168.63.129.16"), ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"), ("192.0.0.0", "192.0.0.255"), ("192.0.2.0", "192.0.2.255"),
    ("192.31.196.0", "192.31.196.255"), ("192.52.193.0", "192.52.193.255"), ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"), ("192.175.48.0", "192.175.48.255"), ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"), ("203.0.113.0", "203.0.113.255"), ("224.0.0.0", "239.255.255.255"),
    ("240.0.0.0", "255.255.255.255"),
]  # fmt: skip
PUBLIC_V6 = [
    ("2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"), ("2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2003::", "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff"), ("2620:4f:8001::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("2000::", "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]  # fmt: skip
#: Networks that must be refused, by name: those that a list of public ones would never mention.
REFUSED_V6 = [
    ("::", "::"), ("::1", "::1"), ("::", "::ffff:ffff"), ("::ffff:0.0.0.0", "::ffff:255.255.255.255"),
    ("::ffff:0:0:0", "::ffff:0:ffff:ffff"), ("64:ff9b::", "64:ff9b::ffff:ffff"),
    ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"), ("100::", "100::ffff:ffff:ffff:ffff"),
    ("100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff"), ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"), ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("fe00::", "fe7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
]  # fmt: skip


def number(address: str) -> int:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return int.from_bytes(socket.inet_pton(family, address), "big")


def v4(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET, value.to_bytes(4, "big"))


def v6(value: int) -> str:
    return socket.inet_ntop(socket.AF_INET6, value.to_bytes(16, "big"))


RANGES_V4 = [(number(first), number(last)) for first, last in NOT_PUBLIC_V4]
RANGES_V6 = [(number(first), number(last)) for first, last in PUBLIC_V6]
EDGES_V4 = sorted(
    {edge + step for pair in RANGES_V4 for edge in pair for step in (-1, 0, 1) if 0 <= edge + step < 2**32}
)
EDGES_V6 = sorted(
    {
        edge + step
        for pair in (*RANGES_V6, *((number(first), number(last)) for first, last in REFUSED_V6))
        for edge in pair
        for step in (-1, 0, 1)
        if 0 <= edge + step < 2**128
    }
)


def is_public_v4(value: int) -> bool:
    return not any(first <= value <= last for first, last in RANGES_V4)


def is_public_v6(value: int) -> bool:
    return any(first <= value <= last for first, last in RANGES_V6)


@pytest.mark.parametrize(("first", "last"), NOT_PUBLIC_V4 + REFUSED_V6)
def test_no_address_of_a_special_network_is_public(first: str, last: str) -> None:
    """The first, the last, and 500 between, the same at each run."""
    low, high, form = number(first), number(last), v6 if ":" in first else v4
    dice = Random(first)

    walked = [low, high, *(dice.randint(low, high) for _ in range(500))]

    assert [form(value) for value in walked if is_public(form(value))] == []


def test_the_neighbours_of_every_network_are_what_they_are() -> None:
    """A prefix that is one bit too short refuses customers, one that is too long admits private addresses."""
    wrong = [v4(value) for value in EDGES_V4 if is_public(v4(value)) is not is_public_v4(value)]
    wrong += [v6(value) for value in EDGES_V6 if is_public(v6(value)) is not is_public_v6(value)]

    assert wrong == []
    for neighbour in ("9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "192.0.1.0",
                      "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0",
                      "198.17.255.255", "198.20.0.0", "223.255.255.255", "1.0.0.0", "168.63.129.15", "168.63.129.17",
                      "2001:200::", "2001:db7:ffff::", "2001:db9::", "2003::", "3fff:1000::", "2a00:1450:4001:80b::200e"):  # fmt: skip
        assert is_public(neighbour), neighbour


@given(st.integers(0, 2**32 - 1))
@example(number("169.254.169.254"))
def test_any_ipv4_address_is_judged_as_the_ranges_say(value: int) -> None:
    """And the same address embedded in IPv6 is never public: it is unknown which host unwraps it."""
    assert is_public(v4(value)) is is_public_v4(value)
    for wrapped in (value, 0xFFFF << 32 | value, number("64:ff9b::") | value, number("2002::") | value << 80):
        assert not is_public(v6(wrapped))


@given(st.integers(0, 2**128 - 1) | st.integers(0x2000 << 112, (0x4000 << 112) - 1))
@example(number("fd00:ec2::254"))
def test_any_ipv6_address_is_judged_as_the_ranges_say(value: int) -> None:
    """Only named ranges are public, so future reservations of IANA are refused too."""
    assert is_public(v6(value)) is is_public_v6(value)


@pytest.mark.parametrize(
    "text",
    ["", "8.8.8", "134744072", "0x8080808", "010.8.8.8", "8.8.8.8.", " 8.8.8.8", "8.8.8.8/32", "a.b.c.d", ":", "2a00::1%eth0", "2a00::1%",
     "[2a00::1]", "2a00::1/64", "::ffff:8.8.8.8", "٨.٨.٨.٨"],
)  # fmt: skip
def test_what_is_no_address_in_its_usual_form_is_not_public(text: str) -> None:
    """Other forms are read differently by each reader; a zone names one of our own interfaces."""
    assert not is_public(text)


def test_nothing_asks_the_list_of_python() -> None:
    """Python's list differs by release (CVE-2024-4032); the rule must not change with an upgrade."""
    asked = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.attr}"
        for path in SHIPPED
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in LISTS_OF_PYTHON
    ]

    assert len(SHIPPED) > 200
    assert asked == []
