"""Public addresses: the IP addresses that tenants' webhooks may have, by a list of our own.

The list in Python's `ipaddress` differs between releases (CVE-2024-4032) and is not used: what a tenant may reach must not
depend on the Python version. For IPv6 the list names what is allowed, so a network that is reserved tomorrow is refused
today. Globally reachable addresses of the Internet's own machinery (AS112, AMT, anycast of NAT and TURN) are refused too, and
so is every IPv6 address that embeds an IPv4 address: a translator decides where it leads.

Sources: IANA IPv4 Special-Purpose Address Registry, IPv6 Special-Purpose Address Registry (updated 2025-10-09), IPv4 Multicast
Address Space Registry, IPv6 Address Space; read in November 2026. The dates are the registry's dates of allocation.
"""

from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network

NOT_PUBLIC_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network (RFC 791, 1981-09)
        "10.0.0.0/8",  # private use (RFC 1918, 1996-02)
        "100.64.0.0/10",  # shared address space of carriers (RFC 6598, 2012-04); Alibaba's metadata
        "127.0.0.0/8",  # loopback (RFC 1122, 1981-09)
        "168.63.129.16/32",  # no registry's: Azure's platform answers here in each of its networks
        "169.254.0.0/16",  # link-local (RFC 3927, 2005-05); metadata and credentials of AWS, Azure, Google
        "172.16.0.0/12",  # private use (RFC 1918, 1996-02)
        "192.0.0.0/24",  # IETF protocol assignments (RFC 6890, 2010-01); Oracle's metadata
        "192.0.2.0/24",  # documentation (RFC 5737, 2010-01)
        "192.31.196.0/24",  # AS112 (RFC 7535, 2014-12)
        "192.52.193.0/24",  # AMT (RFC 7450, 2014-12)
        "192.88.99.0/24",  # 6to4 relay anycast (RFC 7526, 2001-06), and 6a44 (RFC 6751, 2012-10)
        "192.168.0.0/16",  # private use (RFC 1918, 1996-02)
        "192.175.48.0/24",  # AS112 by delegation (RFC 7534, 1996-01)
        "198.18.0.0/15",  # benchmarking (RFC 2544, 1999-03)
        "198.51.100.0/24",  # documentation (RFC 5737, 2010-01)
        "203.0.113.0/24",  # documentation (RFC 5737, 2010-01)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "240.0.0.0/4",  # reserved (RFC 1112, 1989-08), with the broadcast address (RFC 919, 1984-10)
    )
)

#: All that IANA allocates to the public Internet (RFC 4291). Outside it are loopback, mapped and compatible addresses, NAT64
#: (64:ff9b::/96, 64:ff9b:1::/48), 100::/64, 5f00::/16, unique local, link-local, site-local and multicast addresses.
GLOBAL_V6 = IPv6Network("2000::/3")

#: The networks in `GLOBAL_V6` that are not public.
NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # IETF protocol assignments (RFC 2928, 2000-09): Teredo, benchmarking, ORCHID, AMT, AS112
        "2001:db8::/32",  # documentation (RFC 3849, 2004-07)
        "2002::/16",  # 6to4 (RFC 3056, 2001-02)
        "2620:4f:8000::/48",  # AS112 by delegation (RFC 7534, 2011-05)
        "3fff::/20",  # documentation (RFC 9637, 2024-07)
    )
)


def is_public(address: str) -> bool:
    """Return whether a text is a public IP address in its usual form, without a zone."""
    try:
        if ":" in address:
            v6 = IPv6Address(address)
            return "%" not in address and v6 in GLOBAL_V6 and not any(v6 in network for network in NOT_PUBLIC_V6)
        v4 = IPv4Address(address)
    except AddressValueError:
        return False
    return not any(v4 in network for network in NOT_PUBLIC_V4)
