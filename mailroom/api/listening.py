"""Sockets of the service: one port for everything, or one for each face; and the rule for plain http."""

import errno
import ipaddress
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from mailroom.api.faces import Face
from mailroom.domain.errors import ConfigurationError
from mailroom.settings import Settings

log = logging.getLogger(__name__)

_BACKLOG = 2048
_SHOWN = {Face.BOTH: "for everything", Face.PUBLIC: "for public paths", Face.PRIVATE: "for all that is not public"}
_LOOPBACK = ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128")


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and port with the face that is served there; `option` is the command's option for the port."""

    face: Face
    host: str
    port: int
    option: str = "--port"


def listen_addresses(
    settings: Settings, *, host: str, port: int, public_host: str, public_port: int
) -> list[ListenAddress]:
    """Return the addresses to listen on; without a `public_port` one address serves both faces.

    Raises:
        ConfigurationError: both faces have one port, or links in mails would lead to the private one.
    """
    if not public_port:
        return [ListenAddress(Face.BOTH, host, port)]
    if public_port == port:
        raise ConfigurationError(
            f"--port and --public-port are both {port}; choose two ports, or leave out --public-port "
            "(MAILROOM_PUBLIC_PORT) to serve everything on one"
        )
    if settings.unsubscribe_key and not settings.public_url:
        raise ConfigurationError(
            "links in mails would point to MAILROOM_API_URL, but the public port serves them; set "
            "MAILROOM_PUBLIC_URL to the https URL at which recipients reach the public port"
        )
    return [
        ListenAddress(Face.PRIVATE, host, port),
        ListenAddress(Face.PUBLIC, public_host or host, public_port, "--public-port"),
    ]


def refuse_plain_http(hosts: Sequence[str], *, behind_tls_proxy: bool) -> None:
    """Return if plain http on these addresses stays on this machine, or a TLS proxy is in front.

    Raises:
        ConfigurationError: keys, mails and links could be read in transit.
    """
    seen = [host for host in hosts if not is_loopback(host)]
    if seen and not behind_tls_proxy:
        raise ConfigurationError(
            f"plain http on {seen[0] or 'every address'} would expose keys and mails. Put a TLS proxy in front and "
            'set MAILROOM_BEHIND_TLS_PROXY=true or --behind-tls-proxy (docs/operations.md, "What faces the '
            'internet"), or listen on --host 127.0.0.1'
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches `host`. `localhost` is the only name accepted: others depend on a resolver."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    return any(address in network for network in _LOOPBACK)


def bind(place: ListenAddress) -> list[socket.socket]:
    """Return a socket for each IP address of the host, bound to its port and not listening yet.

    Raises:
        ConfigurationError: the port is in use, or the host is not an address of this machine.
    """
    sockets: list[socket.socket] = []
    absent = None
    for family, kind, protocol, address in _addresses(place):
        try:
            sockets.append(_bound(family, kind, protocol, address))
        except OSError as error:
            # /etc/hosts may give `localhost` an IPv6 address on a machine without IPv6.
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise _refusal(place, error) from None
            absent = error
    if absent is not None and not sockets:
        raise _refusal(place, absent) from None
    return sockets


def listen(place: ListenAddress, sockets: Sequence[socket.socket]) -> None:
    """Make the sockets listen; connections wait until the service accepts them.

    Raises:
        ConfigurationError: another program, started at the same moment, took the port.
    """
    for one in sockets:
        try:
            one.listen(_BACKLOG)
        except OSError as error:
            raise _refusal(place, error) from None
        address, port = one.getsockname()[:2]
        shown = f"[{address}]" if ":" in address else address
        log.info("listening on http://%s:%d, %s", shown, port, _SHOWN[place.face])


def _addresses(place: ListenAddress) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, tuple[object, ...]]]:
    try:
        address_infos = socket.getaddrinfo(
            place.host or None, place.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError):
        raise ConfigurationError(f"{place.host!r} is not an IP address, and the name cannot be resolved") from None
    return list(
        dict.fromkeys((family, kind, protocol, address) for family, kind, protocol, _, address in address_infos)
    )


def _bound(
    family: socket.AddressFamily, kind: socket.SocketKind, protocol: int, address: tuple[object, ...]
) -> socket.socket:
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # `::` is IPv6 only, as in asyncio's servers; as dual stack, 0.0.0.0 could not be bound beside it.
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        with suppress(OSError):
            made.close()
        raise
    return made


def _refusal(place: ListenAddress, error: OSError) -> ConfigurationError:
    where = f"port {place.port} on {place.host or 'every address'}"
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(
            f"{where} is in use: stop the process that listens there, or choose another with {place.option}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ConfigurationError(f"{place.host} is not an address of this machine")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(f"this user may not listen on {where}; choose a port from 1024 with {place.option}")
    return ConfigurationError(f"cannot listen on {where}: {error.strerror}")
