"""The port `Dns` by dnspython, with the resolvers of this machine."""

from collections.abc import Callable
from typing import Any

from dns.exception import DNSException
from dns.resolver import NXDOMAIN, NoAnswer, Resolver

from mailroom.ports.dns import RecordType

#: Seconds for one question, with all its tries.
_LIFETIME_S = 3.0
_MOST_RECORDS = 50


class SystemDns:
    """A resolver with the servers in /etc/resolv.conf, or with `servers`: (address, port)."""

    def __init__(self, servers: tuple[str, int] | None = None) -> None:
        self._servers = servers

    def records(self, name: str, kind: RecordType) -> tuple[str, ...] | None:
        """Return the values of the records, or None where no server answers in time."""
        try:
            answer = self._resolver().resolve(name, str(kind), lifetime=_LIFETIME_S, search=False)
        except (NXDOMAIN, NoAnswer):
            return ()
        except (DNSException, OSError, ValueError):
            return None
        return tuple(_VALUES[kind](record) for record in list(answer)[:_MOST_RECORDS])

    def _resolver(self) -> Resolver:
        if self._servers is None:
            return Resolver()
        resolver = Resolver(configure=False)
        resolver.nameservers, resolver.port = [self._servers[0]], self._servers[1]
        return resolver


def _name(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower()


_VALUES: dict[RecordType, Callable[[Any], str]] = {
    RecordType.CNAME: lambda record: _name(record.target),
    RecordType.MX: lambda record: f"{record.preference} {_name(record.exchange)}",
    # Long texts are several strings, which count as one (RFC 7208 3.3, RFC 6376 3.6.2.2).
    RecordType.TXT: lambda record: b"".join(record.strings).decode("ascii", "replace"),
}
