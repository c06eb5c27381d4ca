"""The resolver, against a server that answers as DNS does: one packet for one question."""

import socket
import threading
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from mailroom.adapters.dns import SystemDns
from mailroom.ports.dns import Dns, RecordType
from mailroom.testing.dns import MemoryDns, Records

KNOWN: Records = {
    ("key._domainkey.acme.org", RecordType.CNAME): ("key.dkim.amazonses.com",),
    ("bounces.acme.org", RecordType.MX): ("10 feedback-smtp.eu-west-1.amazonses.com",),
    ("long.acme.org", RecordType.TXT): ("v=DKIM1; p=MIIBIjAN", "other"),
}
#: The same as a server sends them.
RECORDS = {
    ("key._domainkey.acme.org.", "CNAME"): ["Key.DKIM.amazonses.com."],
    ("bounces.acme.org.", "MX"): ["10 Feedback-SMTP.eu-west-1.amazonses.com."],
    ("long.acme.org.", "TXT"): ['"v=DKIM1; p=MIIB" "IjAN"', '"other"'],
}
EMPTY, BROKEN, SILENT = "empty.acme.org.", "broken.acme.org.", "silent.acme.org."


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=[listening], daemon=True)
    thread.start()
    yield listening.getsockname()
    listening.sendto(b"stop", listening.getsockname())
    thread.join()
    listening.close()


@pytest.fixture(params=["memory", "system"])
def resolver(request: pytest.FixtureRequest, server: tuple[str, int]) -> Dns:
    if request.param == "memory":
        return MemoryDns(KNOWN, silent=frozenset({"silent.acme.org", "broken.acme.org"}))
    return SystemDns(server)


def serve(listening: socket.socket) -> None:
    while (received := listening.recvfrom(4096))[0] != b"stop":
        asked = dns.message.from_wire(received[0])
        name, kind = asked.question[0].name.to_text(), dns.rdatatype.to_text(asked.question[0].rdtype)
        if name == SILENT:
            continue
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        if (name, kind) in RECORDS:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *RECORDS[name, kind]))
        elif name == BROKEN:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif name != EMPTY:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        listening.sendto(answer.to_wire(), received[1])


@pytest.mark.parametrize(
    ("name", "kind", "values"),
    [
        ("key._domainkey.acme.org", RecordType.CNAME, ("key.dkim.amazonses.com",)),
        ("bounces.acme.org", RecordType.MX, ("10 feedback-smtp.eu-west-1.amazonses.com",)),
        ("long.acme.org", RecordType.TXT, ("v=DKIM1; p=MIIBIjAN", "other")),
        ("nothing.acme.org", RecordType.TXT, ()),
        ("empty.acme.org", RecordType.TXT, ()),
    ],
)
def test_records_as_they_are_compared(resolver: Dns, name: str, kind: RecordType, values: tuple[str, ...]) -> None:
    """Names in lower case without a final dot, texts in one piece; no record is an answer, a name that is none is not."""
    assert sorted(resolver.records(name, kind) or ()) == sorted(values)


@pytest.mark.parametrize("name", ["a..b", "x" * 64 + ".org", "x." * 200 + "org", ""])
def test_what_is_no_name_is_not_known(server: tuple[str, int], name: str) -> None:
    """An error of the resolver's own is no answer."""
    assert SystemDns(server).records(name, RecordType.TXT) in (None, ())


def test_server_that_fails_or_is_silent_is_not_known(resolver: Dns, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within bounded time: the command goes on with what the provider reports."""
    monkeypatch.setattr("mailroom.adapters.dns._LIFETIME_S", 0.5)

    assert resolver.records("broken.acme.org", RecordType.TXT) is None
    assert resolver.records("silent.acme.org", RecordType.TXT) is None
