"""Tokens of authorities: what a hostile or broken one answers is refused, and the next one is asked."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given, settings
from hypothesis import strategies as st

from mailroom.adapters import time_stamping
from mailroom.adapters.time_stamping import Authority, Rfc3161Authorities, post_request
from mailroom.audit.tokens import TokenError, check_token
from mailroom.domain.archive.seals import Token
from mailroom.domain.errors import ConfigurationError, TransientError
from mailroom.sandbox.stand_ins.time_stamping import POLICY, Asked, granted, read_request, serving
from mailroom.sandbox.stand_ins.time_stamping import Authority as StampingAuthority

SEAL = b"the document of a seal"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
BEGINS = NOW - timedelta(days=100)


def made(**how: object) -> StampingAuthority:
    return StampingAuthority(begins=BEGINS, at=lambda: NOW, **how)  # type: ignore[arg-type]


GOOD, OTHER = made(), made(name="Other")
EXPIRED = made(name="Expired", lasts=timedelta(days=50))
WRONG_USE = made(name="Wrong", usage=ExtendedKeyUsageOID.CODE_SIGNING)


def stamp(*answers: Callable[[bytes], bytes], policy: str = "") -> Token:
    """Return the token from authorities that answer so, all of which are trusted by the root of `GOOD`."""
    by_url = {f"http://{number}": answer for number, answer in enumerate(answers)}
    roots = GOOD.roots + EXPIRED.roots + WRONG_USE.roots
    authorities = Rfc3161Authorities(
        [Authority(url, roots, policy) for url in by_url], post=lambda url, request: by_url[url](request)
    )
    return authorities.stamp(SEAL, not_before=NOW - timedelta(minutes=1), now=NOW)


def asked(request: bytes) -> Asked:
    return read_request(request)


#: An earlier answer for the same seal, which an authority in the middle could send again.
_OLD: list[bytes] = []
stamp(lambda request: _OLD.append(GOOD.answer(request)) or _OLD[0])


def of_other_data(request: bytes) -> bytes:
    other = bytearray(asked(request).imprint)
    other[-1] ^= 1
    return GOOD.token(bytes(other), nonce=asked(request).nonce, at=NOW)


def at(moment: datetime) -> Callable[[bytes], bytes]:
    return lambda request: GOOD.token(asked(request).imprint, nonce=asked(request).nonce, at=moment)


def unsorted(request: bytes) -> bytes:
    ders = sorted((one.public_bytes(Encoding.DER) for one in (GOOD.certificate, GOOD.root)), reverse=True)
    return GOOD.token(asked(request).imprint, nonce=asked(request).nonce, at=NOW, certificates=ders)


def without_certificates(request: bytes) -> bytes:
    return GOOD.token(asked(request).imprint, nonce=asked(request).nonce, at=NOW, certificates=[])


def with_another_signature(request: bytes) -> bytes:
    answer = bytearray(GOOD.answer(request))
    answer[-1] ^= 1
    return bytes(answer)


def fails(_request: bytes) -> bytes:
    raise ValueError("the authority answers with status 500")


HOSTILE = {
    "other data": of_other_data,
    "replayed nonce": lambda _request: _OLD[0],
    "no nonce": lambda request: GOOD.token(asked(request).imprint, nonce=b"", at=NOW),
    "unknown authority": OTHER.answer,
    "expired certificate": EXPIRED.answer,
    "wrong purpose": WRONG_USE.answer,
    "before the entries": at(NOW - timedelta(hours=1)),
    "before the certificate": at(BEGINS - timedelta(days=1)),
    "from the future": at(NOW + timedelta(hours=1)),
    "unsorted certificates": unsorted,
    "no certificates": without_certificates,
    "another signature": with_another_signature,
    "truncated": lambda request: GOOD.answer(request)[:-40],
    "a refusal": lambda _request: bytes.fromhex("30053003020102"),
    "empty": lambda _request: b"",
    "no DER": lambda _request: b"<html>",
    "bytes behind it": lambda request: GOOD.answer(request) + b"\x00",
    "not a token": lambda _request: granted(bytes.fromhex("0500")),
    "an error": fails,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_token_that_proves_nothing_is_refused_and_the_next_authority_is_asked(kind: str) -> None:
    """Mutation 92. The token that is kept is the good authority's."""
    with pytest.raises(TransientError, match="no time stamping authority"):
        stamp(HOSTILE[kind])

    assert stamp(HOSTILE[kind], GOOD.answer).authority == "http://1"


def test_a_token_of_another_policy_is_refused() -> None:
    """A required policy is part of the setting."""
    assert stamp(GOOD.answer, policy=POLICY).at == NOW
    with pytest.raises(TransientError):
        stamp(GOOD.answer, policy="1.3.6.1.4.1.32473.2")


#: What a token by itself cannot show: the verifier has no nonce, and no time of the entries.
_NOT_IN_THE_TOKEN = {"replayed nonce", "no nonce", "before the entries", "from the future", "unsorted certificates"}


@pytest.mark.parametrize("kind", sorted(HOSTILE.keys() - _NOT_IN_THE_TOKEN - {"an error"}))
def test_the_verifier_refuses_them_by_code_of_its_own(kind: str) -> None:
    """Two implementations have to agree that a token is good."""
    requests: list[bytes] = []
    stamp(lambda request: requests.append(request) or GOOD.answer(request))

    with pytest.raises(TokenError):
        check_token(HOSTILE[kind](requests[0]), SEAL, [GOOD.root, EXPIRED.root, WRONG_USE.root])


def test_three_verifiers_accept_a_good_token(tmp_path: Path) -> None:
    """The product's, ours for audits, and OpenSSL, as docs/archive.md shows it."""
    token = stamp(GOOD.answer)
    files = {"token.tsr": token.response, "seal.json": SEAL, "roots.pem": GOOD.roots.encode()}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)

    stated = check_token(token.response, SEAL, [GOOD.root])

    assert (stated.at, stated.ends_at, stated.policy) == (token.at, token.ends_at, POLICY)
    if which("openssl"):
        command = ["openssl", "ts", "-verify", "-data", "seal.json", "-in", "token.tsr", "-CAfile", "roots.pem"]
        moment = ["-attime", str(int(NOW.timestamp()))]
        ended = subprocess.run([*command, *moment], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert "Verification: OK" in ended.stdout, ended.stderr


@given(at=st.integers(0, 1400), value=st.integers(0, 255), cut=st.integers(0, 1400))
@settings(max_examples=60)
def test_no_damage_of_a_token_ends_the_verifier_otherwise_than_by_refusing_it(at: int, value: int, cut: int) -> None:
    """Each byte of a token may be another one, and it may end anywhere."""
    token = bytearray(_OLD[0])
    token[at % len(token)] = value
    for damaged in (bytes(token), bytes(_OLD[0][:cut])):
        try:
            stated = check_token(damaged, SEAL, [GOOD.root])
        except TokenError:
            continue
        assert stated.at == NOW


@contextmanager
def answering(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """Serve POSTs with `respond` on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            respond(self)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def huge(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(bytes(1 << 20))


def erring(handler: BaseHTTPRequestHandler) -> None:
    handler.send_error(500)


def elsewhere(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(302)
    handler.send_header("Location", "http://127.0.0.1:1/")
    handler.end_headers()


def dripping(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1000):
        handler.wfile.write(b".")
        handler.wfile.flush()
        time.sleep(0.02)


@pytest.mark.parametrize("respond", [huge, erring, elsewhere, dripping])
def test_an_answer_that_is_too_large_too_slow_or_no_answer_is_refused(respond: Callable[..., None]) -> None:
    """An authority in the outside world holds up no run: the good one behind it is asked."""

    def post(url: str, request: bytes) -> bytes:
        return post_request(url, request, longest_s=0.5)

    with answering(respond) as bad, serving(GOOD.answer) as good:
        authorities = [Authority(url, GOOD.roots) for url in (bad, "http://127.0.0.1:1/", good)]
        token = Rfc3161Authorities(authorities, post=post).stamp(SEAL, not_before=NOW, now=NOW)

    assert token.authority == good


def test_the_setting_names_roots_url_and_policy(tmp_path: Path) -> None:
    """Also a URL with an equals sign."""
    file = tmp_path / "roots.pem"
    file.write_text(GOOD.roots)

    read = time_stamping.Authority.read(f"{file}=https://tsa.example/?a=b#1.2.3")

    assert (read.url, read.roots, read.policy) == ("https://tsa.example/?a=b", GOOD.roots, "1.2.3")


@pytest.mark.parametrize(
    "word", ["https://tsa.example", "{file}", "{file}=ftp://a", "nowhere.pem=https://a", "{file}=https://a#no"]
)
def test_a_setting_that_names_no_authority_is_a_configuration_error(tmp_path: Path, word: str) -> None:
    """It is said at the start, not each hour."""
    file = tmp_path / "roots.pem"
    file.write_text(GOOD.roots)

    with pytest.raises(ConfigurationError, match="MAILROOM_TIME_STAMPING"):
        time_stamping.Authority.read(word.format(file=file))
