"""A time stamping authority of this machine (RFC 3161): its own root, a certificate for time stamping, tokens over HTTP.

Its tokens prove nothing to others: anybody who has its key can make one for any time.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_SEQUENCE, _SET, _INTEGER, _OCTETS, _OID = 0x30, 0x31, 0x02, 0x04, 0x06
_SIGNED_DATA, _TST_INFO = "1.2.840.113549.1.7.2", "1.2.840.113549.1.9.16.1.4"
_CONTENT_TYPE, _MESSAGE_DIGEST, _SIGNER = (
    "1.2.840.113549.1.9.3",
    "1.2.840.113549.1.9.4",
    "1.2.840.113549.1.9.16.2.47",
)
_SHA256, _ECDSA_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"

#: The policy that tokens state, from the arc that RFC 5612 and others use for examples.
POLICY = "1.3.6.1.4.1.32473.1"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks for: the imprint (algorithm and digest, as DER) and the nonce (DER, empty without one)."""

    imprint: bytes
    nonce: bytes


class Authority:
    """An authority with a root of its own; `at` is its clock."""

    def __init__(
        self,
        name: str = "Mailroom sandbox",
        *,
        begins: datetime | None = None,
        lasts: timedelta = timedelta(days=3650),
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.TIME_STAMPING,
        at: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        begins = begins or datetime.now(UTC) - timedelta(days=1)
        self.at, self._key, root_key = (
            at,
            ec.generate_private_key(ec.SECP256R1()),
            ec.generate_private_key(ec.SECP256R1()),
        )
        root_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} root")])
        made = _certificate(root_name, root_name, root_key.public_key(), begins, begins + 4 * lasts)
        self.root = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
            root_key, hashes.SHA256()
        )
        own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} time stamping")])
        made = _certificate(own_name, root_name, self._key.public_key(), begins, begins + lasts)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=True)
        self.certificate = made.sign(root_key, hashes.SHA256())
        self.roots = self.root.public_bytes(Encoding.PEM).decode()

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a request: a token for what it asks."""
        asked = read_request(request)
        return self.token(asked.imprint, nonce=asked.nonce, at=self.at())

    def token(
        self,
        imprint: bytes,
        *,
        nonce: bytes,
        at: datetime,
        certificates: Sequence[bytes] | None = None,
        policy: str = POLICY,
    ) -> bytes:
        """Return an answer with a token of this imprint and time."""
        moment = at.astimezone(UTC).strftime("%Y%m%d%H%M%SZ").encode()
        serial = _integer(int.from_bytes(hashlib.sha256(imprint + nonce + moment).digest()[:8], "big"))
        info = _der(_SEQUENCE, _integer(1), _oid(policy), imprint, serial, _der(0x18, moment), nonce)
        return granted(self._signed(info, self._certificates() if certificates is None else certificates))

    def _certificates(self) -> list[bytes]:
        return sorted(one.public_bytes(Encoding.DER) for one in (self.certificate, self.root))

    def _signed(self, info: bytes, certificates: Sequence[bytes]) -> bytes:
        own = self.certificate.public_bytes(Encoding.DER)
        issuer = _der(_SEQUENCE, self.certificate.issuer.public_bytes(), _integer(self.certificate.serial_number))
        named = _der(_SEQUENCE, _der(_SEQUENCE, _der(_SEQUENCE, _der(_OCTETS, hashlib.sha256(own).digest()))))
        attributes = sorted(
            [
                _attribute(_CONTENT_TYPE, _oid(_TST_INFO)),
                _attribute(_MESSAGE_DIGEST, _der(_OCTETS, hashlib.sha256(info).digest())),
                _attribute(_SIGNER, named),
            ]
        )
        signature = self._key.sign(_der(_SET, *attributes), ec.ECDSA(hashes.SHA256()))
        sha256 = _der(_SEQUENCE, _oid(_SHA256))
        signer = _der(
            _SEQUENCE,
            _integer(1),
            issuer,
            sha256,
            _der(0xA0, *attributes),
            _der(_SEQUENCE, _oid(_ECDSA_SHA256)),
            _der(_OCTETS, signature),
        )
        content = _der(_SEQUENCE, _oid(_TST_INFO), _der(0xA0, _der(_OCTETS, info)))
        parts = [_integer(3), _der(_SET, sha256), content, _der(0xA0, *certificates), _der(_SET, signer)]
        return _der(_SEQUENCE, _oid(_SIGNED_DATA), _der(0xA0, _der(_SEQUENCE, *parts)))


def granted(token: bytes) -> bytes:
    """Return the answer that grants this token."""
    return _der(_SEQUENCE, _der(_SEQUENCE, _integer(0)), token)


def read_request(request: bytes) -> Asked:
    """Return what a request asks for.

    Raises:
        ValueError: it is no request.
    """
    fields = _children(_children(request)[0][1])
    if len(fields) < 2 or fields[1][0] != _SEQUENCE:
        raise ValueError("no request of RFC 3161")
    nonce = next((whole for tag, _, whole in fields[2:] if tag == _INTEGER), b"")
    return Asked(fields[1][2], nonce)


@contextmanager
def serving(answer: Callable[[bytes], bytes], *, port: int = 0) -> Iterator[str]:
    """Serve answers to POSTs on loopback while the block runs; yields the URL. A `ValueError` is answered with 400."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), 1 << 16))
            try:
                body, status = answer(request), 200
            except (ValueError, IndexError):
                body, status = b"", 400
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return made.serial_number(x509.random_serial_number()).not_valid_before(begins).not_valid_after(ends)


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes([tag, len(content)]) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    encoded = b""
    for number in (first * 40 + second, *rest):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(number & 0x7F | 0x80)
        encoded += bytes(reversed(groups))
    return _der(_OID, encoded)


def _attribute(oid: str, value: bytes) -> bytes:
    return _der(_SEQUENCE, _oid(oid), _der(_SET, value))


def _children(data: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the values in `data` as tag, content and whole."""
    found = []
    while data:
        length, start = data[1], 2
        if length & 0x80:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        found.append((data[0], data[start : start + length], data[: start + length]))
        data = data[start + length :]
    return found
