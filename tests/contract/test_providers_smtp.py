"""SMTP with real servers: TLS, login, reuse, pipelining, SMTPUTF8 and DKIM; and Debian's `smtp-sink` as another server."""

import base64
import hashlib
import re
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from mailroom.adapters.providers.dkim_signatures import Dkim
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.domain.errors import ConfigurationError, OutcomeUnknown, Paused, Refused, TransientError
from mailroom.domain.outbound.message import Outgoing, Party
from mailroom.ports.provider import ProviderReceipt
from mailroom.sandbox.stand_ins.behaviours import Behaviour
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.testing.provider import a_mail
from tests.support.loopback_ports import free_port
from tests.support.smtp_sink import SMTP_SINK, smtp_sink


def mail(**changes: Any) -> Outgoing:
    dotted = {"subject": "Ihre Rechnung für März", "text": "Hello Bob\n.\n..\nFrom here on\n"}
    return a_mail(**dotted | changes)


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def certificate(key: rsa.RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key, in one file."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_text(made.public_bytes(serialization.Encoding.PEM).decode() + pem(key))
    return path


def pem(key: rsa.RSAPrivateKey) -> str:
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


def server_context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(
    stack: ExitStack, *, pipelining: bool = True, utf8: bool = True, **settings: Any
) -> tuple[Receiver, Smtp]:
    receiver, port = Receiver(pipelining=pipelining), free_port()
    stack.enter_context(receiving(receiver, port=port, utf8=utf8))
    wanted = {"host": "127.0.0.1", "port": port, "tls": Tls.OFF, "timeout_s": 2, "answer_s": 2} | settings
    return receiver, stack.enter_context(Smtp(**wanted))


def with_tls(stack: ExitStack, certificate: Path, *, implicit: bool = False, **settings: Any) -> tuple[Receiver, Smtp]:
    receiver, port = Receiver(pipelining=True), free_port()
    stack.enter_context(receiving(receiver, port=port, tls=server_context(certificate), implicit=implicit))
    return receiver, stack.enter_context(Smtp(host="127.0.0.1", port=port, timeout_s=2, answer_s=2, **settings))


@pytest.mark.parametrize("pipelining", [True, False])
def test_one_connection_carries_many_mails_unchanged(stack: ExitStack, pipelining: bool) -> None:
    """A connection costs three round trips and a TLS handshake; lines that start with a dot must survive it."""
    receiver, provider = connected(stack, pipelining=pipelining)

    first = provider.send([mail() for _ in range(30)])
    second = provider.send([mail() for _ in range(30)])

    assert all(isinstance(result, ProviderReceipt) for result in first + second)
    assert receiver.connections == 1
    assert all(raw.endswith(b"Hello Bob\r\n=2E\r\n..\r\nFrom here on\r\n") for raw in receiver.raws)


def test_a_connection_is_replaced_after_a_hundred_mails(stack: ExitStack) -> None:
    """Servers limit how many mails a connection carries, and answer the next with an error."""
    receiver, provider = connected(stack)

    results = provider.send([mail() for _ in range(120)])

    assert all(isinstance(result, ProviderReceipt) for result in results)
    assert (len(receiver.accepted), receiver.connections) == (120, 2)


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_refused_recipient_costs_the_other_mails_nothing(stack: ExitStack, pipelining: bool) -> None:
    """In a pipeline the DATA behind a refused recipient is answered too; each response must be matched to its mail."""
    receiver, provider = connected(stack, pipelining=pipelining)
    receiver.behaviours.extend(
        [Behaviour.GOOD, Behaviour.REFUSES, Behaviour.GOOD, Behaviour.TOO_LARGE, Behaviour.SLOW, Behaviour.GOOD]
    )
    mails = [mail() for _ in range(6)]

    results = provider.send(mails)

    kinds = [type(result).__name__ for result in results]
    refused, too_large = "RecipientRefused", "ContentRefused"
    assert kinds == ["ProviderReceipt", refused, "ProviderReceipt", too_large, "Throttled", "ProviderReceipt"]
    assert receiver.accepted == [mails[0].id, mails[2].id, mails[5].id]
    assert isinstance(results[1], Refused)
    codes = {"provider": "smtp", "step": "rcpt", "code": 550, "enhanced": "5.1.1"}
    assert results[1].facts == codes | {"hard": True, "suppress": "hard", "rule": "no_such_recipient"}


def test_the_receipt_is_the_message_id(stack: ExitStack) -> None:
    """A bounce quotes it; the server's own queue id is free text that differs between servers."""
    receiver, provider = connected(stack)

    [receipt] = provider.send([mail()])

    assert isinstance(receipt, ProviderReceipt)
    assert f"\r\nMessage-ID: <{receipt.provider_message_id}>\r\n".encode() in receiver.raws[0]


def test_a_mail_in_utf8_goes_where_the_server_takes_it(stack: ExitStack) -> None:
    """RFC 6531: the envelope says SMTPUTF8, and the header has the address as it is."""
    receiver, provider = connected(stack)
    plain, foreign = mail(), mail(to=Party("zoë@bücher.example"))

    results = provider.send([plain, foreign])

    assert all(isinstance(result, ProviderReceipt) for result in results)
    assert ["SMTPUTF8" in options for options in receiver.options] == [False, True]
    assert receiver.recipients[1] == "zoë@xn--bcher-kva.example"


def test_a_mail_in_utf8_is_refused_where_the_server_does_not_take_it(stack: ExitStack) -> None:
    """Anything else would reach another recipient, or none; the other mails are sent."""
    receiver, provider = connected(stack, utf8=False)
    first, foreign, last = mail(), mail(to=Party("zoë@example.com")), mail()

    results = provider.send([first, foreign, last])

    assert [type(result) for result in results] == [ProviderReceipt, Refused, ProviderReceipt]
    assert receiver.accepted == [first.id, last.id]


def test_bounces_go_where_the_settings_say(stack: ExitStack) -> None:
    """The envelope's sender is not the header's: bounces have their own mailbox."""
    with ExitStack() as inner:
        receiver, provider = connected(inner, bounces="bounces@acme.example")

        [result] = provider.send([mail()])

    assert isinstance(result, ProviderReceipt)
    assert b"bounces@" not in receiver.raws[0]


@pytest.mark.parametrize("implicit", [True, False])
def test_a_login_goes_over_tls_that_is_checked(stack: ExitStack, certificate: Path, implicit: bool) -> None:
    """Both forms: TLS from the first byte, and STARTTLS."""
    tls = Tls.IMPLICIT if implicit else Tls.STARTTLS
    receiver, provider = with_tls(
        stack, certificate, implicit=implicit, tls=tls, ca_file=str(certificate), user="u", password="secret"
    )

    results = provider.send([mail() for _ in range(3)]) + provider.send([mail()])

    assert all(isinstance(result, ProviderReceipt) for result in results), results
    assert receiver.encrypted == [True] * 4
    assert provider.identity.endswith("/u")


def test_an_untrusted_certificate_stops_everything(stack: ExitStack, certificate: Path) -> None:
    """Another server may be answering; it gets no mail, and a person must look."""
    receiver, provider = with_tls(stack, certificate, tls=Tls.STARTTLS)

    [result] = provider.send([mail()])

    assert isinstance(result, Paused)
    assert receiver.accepted == []


def test_without_the_tls_that_is_asked_for_nothing_is_sent(stack: ExitStack) -> None:
    """A man in the middle strips STARTTLS from the greeting."""
    receiver, provider = connected(stack, tls=Tls.STARTTLS)

    [result] = provider.send([mail()])

    assert isinstance(result, Paused)
    assert receiver.options == []


@pytest.mark.parametrize("offered", [True, False])
def test_opportunistic_tls_is_used_where_it_is_offered(stack: ExitStack, certificate: Path, offered: bool) -> None:
    """As between mail servers: better than nothing, and its absence does not prevent sending."""
    settings = {"tls": Tls.OPPORTUNISTIC}
    receiver, provider = with_tls(stack, certificate, **settings) if offered else connected(stack, **settings)

    [result] = provider.send([mail()])

    assert isinstance(result, ProviderReceipt)
    assert receiver.encrypted == [offered]


def test_a_wrong_password_stops_everything(stack: ExitStack, certificate: Path) -> None:
    """The account is wrong, not the mail: no mail may fail for it."""
    receiver, provider = with_tls(
        stack, certificate, tls=Tls.STARTTLS, ca_file=str(certificate), user="u", password="wrong"
    )

    [result] = provider.send([mail()])

    assert isinstance(result, Paused)
    assert result.facts["code"] == 535
    assert receiver.accepted == []


@pytest.mark.parametrize("tls", [Tls.OFF, Tls.OPPORTUNISTIC])
def test_a_login_without_tls_is_a_mistake(tls: Tls) -> None:
    """The password would be readable on the wire."""
    with pytest.raises(ConfigurationError):
        Smtp(host="mail.example.com", port=25, tls=tls, user="u", password="p")


def test_a_dkim_signature_verifies(stack: ExitStack, key: rsa.RSAPrivateKey) -> None:
    """Verified as received from the wire: by the library, and by hand from the RFC, because the library made it."""
    signer = Dkim(domain="acme.example", selector="s1", key_pem=pem(key))
    receiver, provider = connected(stack, dkim=signer)

    provider.send([mail(unsubscribe="https://mail.acme.example/u/1", to=Party("bob@example.com", "Böb"))])

    [raw] = receiver.raws
    assert dkim.verify(
        raw, dnsfunc=lambda name, timeout=5: record(key) if name == b"s1._domainkey.acme.example." else None
    )
    signed = verified_by_hand(raw, key)
    assert {"from", "to", "subject", "date", "list-unsubscribe", "list-unsubscribe-post", "x-correlation-id"} <= signed
    assert not dkim.verify(raw.replace(b"Hello", b"Hallo"), dnsfunc=lambda name, timeout=5: record(key))


def record(key: rsa.RSAPrivateKey) -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(key.public_key().public_bytes(serialization.Encoding.DER, kind))


def verified_by_hand(raw: bytes, key: rsa.RSAPrivateKey) -> set[str]:
    """Return the names of the signed headers; relaxed/relaxed as RFC 6376 sections 3.4.2, 3.4.4 and 3.7 have it."""
    head, body = raw.split(b"\r\n\r\n", 1)
    unfolded = re.sub(rb"\r\n(?=[ \t])", b"", head).split(b"\r\n")
    fields = [
        (name.lower().strip(), re.sub(rb"[ \t]+", b" ", value).strip())
        for name, _, value in (f.partition(b":") for f in unfolded)
    ]
    signature = dict(fields)[b"dkim-signature"]
    tags = {
        name.strip(): re.sub(rb"\s", b"", value)
        for name, _, value in (tag.partition(b"=") for tag in signature.split(b";"))
    }
    lines = [re.sub(rb"[ \t]+", b" ", line).rstrip(b" ") for line in body.split(b"\r\n")]
    canonical = b"\r\n".join(lines).rstrip(b"\r\n") + b"\r\n"
    assert base64.b64decode(tags[b"bh"]) == hashlib.sha256(canonical).digest()
    left, said = list(reversed(fields)), b""
    for name in tags[b"h"].lower().split(b":"):
        found = next((field for field in left if field[0] == name), None)
        if found is not None:
            left.remove(found)
            said += name + b":" + found[1] + b"\r\n"
    said += b"dkim-signature:" + re.sub(rb"(?<=\bb=)[^;]*", b"", signature)
    key.public_key().verify(base64.b64decode(tags[b"b"]), said, padding.PKCS1v15(), hashes.SHA256())
    return {name.decode() for name in tags[b"h"].lower().split(b":")}


@pytest.mark.parametrize("text", ["no key", ""])
def test_an_invalid_dkim_key_is_an_error_at_the_start(text: str) -> None:
    """Found when the first mail is signed, it would be found too late."""
    with pytest.raises(ConfigurationError):
        Dkim(domain="acme.example", selector="s1", key_pem=text)


#: Tests against it are skipped where it is not installed; pytest says so.
another_make = pytest.mark.skipif(
    SMTP_SINK is None, reason="smtp-sink is not here: `apt-get install postfix` brings it"
)


@another_make
def test_a_server_of_another_make_takes_the_same_mails() -> None:
    """Both ends of the other tests are Python; this one was written by the author of Postfix."""
    mails = [mail() for _ in range(150)]
    # Not below the test's own folder: the sink drops root, and only root may enter there.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    try:
        with smtp_sink("-d", f"{folder}/%s.") as port, Smtp(host="127.0.0.1", port=port, tls=Tls.OFF) as provider:
            results = provider.send(mails)
        found = [re.search(rb"X-Correlation-ID: (\S+)", path.read_bytes()) for path in folder.iterdir()]
    finally:
        shutil.rmtree(folder)

    assert all(isinstance(result, ProviderReceipt) for result in results)
    assert sorted(match.group(1).decode() for match in found if match) == [sent.id for sent in mails]


@another_make
@pytest.mark.parametrize(
    ("command", "first"), [("data", TransientError), (".", OutcomeUnknown), ("rcpt", TransientError)]
)
def test_a_server_of_another_make_that_hangs_up(command: str, first: type) -> None:
    """Before the dot nothing is sent; after it, the outcome is unknown."""
    with smtp_sink("-q", command) as port, Smtp(host="127.0.0.1", port=port, tls=Tls.OFF) as provider:
        results = provider.send([mail() for _ in range(3)])

    assert [type(result) for result in results] == [first, TransientError, TransientError]
