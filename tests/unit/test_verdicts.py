"""The sandbox's verdicts: test strings and test domains in, SES's words out."""

import base64
import binascii

import pytest

from mailroom.domain.inbound.verdicts import Verdict, Verdicts
from mailroom.sandbox.stand_ins.verdicts import EICAR, GTUBE, judge

PASSED = Verdicts(Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.PASS, Verdict.PASS)
OWN = frozenset({"scans.mailroom.test"})


def verdicts(raw: bytes, *, sender: str = "alice@sender.test") -> Verdicts:
    return judge(raw, sender=sender, own_domains=OWN)


def mail(body: bytes, *, from_: str = "alice@sender.test", headers: bytes = b"") -> bytes:
    return f"From: {from_}\r\nSubject: hi\r\n".encode() + headers + b"\r\n" + body


def part(encoded: bytes, encoding: bytes) -> bytes:
    headers = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n"
    return b"--b\r\n\r\nhello\r\n--b\r\n" + headers + encoded + b"\r\n--b--\r\n"


def test_ordinary_mail_passes_everything() -> None:
    """Ordinary mail in the sandbox must not be quarantined."""
    assert verdicts(mail(b"hello")) == PASSED


@pytest.mark.parametrize("shift", [0, 1, 2])
def test_virus_is_found_inside_base64(shift: int) -> None:
    """Attachments come encoded; the test file's place in the text decides how its base64 looks."""
    lines = base64.encodebytes(b"x" * shift + EICAR).replace(b"\n", b"\r\n")

    assert verdicts(mail(part(lines, b"base64"))).virus is Verdict.FAIL
    assert verdicts(mail(part(lines, b"BASE64"))).virus is Verdict.FAIL


def test_virus_is_found_in_plain_and_quoted_printable_text() -> None:
    """Any way that a mail can carry it counts."""
    assert verdicts(mail(EICAR)).virus is Verdict.FAIL
    assert verdicts(mail(part(binascii.b2a_qp(EICAR, istext=False), b"quoted-printable"))).virus is Verdict.FAIL


def test_virus_in_a_mail_of_one_part_is_found() -> None:
    """A mail may be one base64 text without any boundary."""
    raw = mail(base64.encodebytes(EICAR), headers=b"Content-Transfer-Encoding:\r\n base64\r\n")

    assert verdicts(raw).virus is Verdict.FAIL


def test_spam_line_fails_spam_alone() -> None:
    """GTUBE is a test of spam, EICAR of viruses; one must not trip the other."""
    found = verdicts(mail(b"hi\r\n" + GTUBE + b"\r\n"))

    assert (found.spam, found.virus) == (Verdict.FAIL, Verdict.PASS)


@pytest.mark.parametrize(
    "body",
    [part(b"!!!!", b"base64"), part(b"A", b"base64"), part(b"=", b"quoted-printable"), part(b"", b"base64")],
)
def test_broken_encoding_is_read_as_far_as_it_goes(body: bytes) -> None:
    """Senders break encodings; the SMTP door must answer all the same."""
    assert verdicts(mail(body)) == PASSED


def test_header_without_a_body_ends_the_search() -> None:
    """A header at the very end has nothing behind it."""
    assert verdicts(b"Content-Transfer-Encoding: base64") == PASSED


@pytest.mark.parametrize(
    ("from_", "policy"),
    [
        ("boss@dmarc-fail.test", "reject"),
        ("boss@mail.dmarc-fail.test", "reject"),
        ("Boss <boss@DMARC-Quarantine.test>", "quarantine"),
        ('"a@b.test" <boss@dmarc-none.test>', "none"),
        ("colleague@scans.mailroom.test", "reject"),
        ("good@sender.test, boss@dmarc-fail.test", "reject"),
        ("Boss\r\n <boss@dmarc-fail.test>", "reject"),
    ],
)
def test_dmarc_fails_for_test_domains_and_for_forgeries_of_ours(from_: str, policy: str) -> None:
    """A mail from outside that claims to be from our own receiving domain is the forgery DMARC exists for."""
    found = verdicts(mail(b"hello", from_=from_))

    assert (found.spf, found.dkim, found.dmarc, found.dmarc_policy) == (
        Verdict.FAIL,
        Verdict.GRAY,
        Verdict.FAIL,
        policy,
    )


@pytest.mark.parametrize(
    "from_",
    ["a@notdmarc-fail.test", "a@scans.mailroom.test.evil.test", '"x@dmarc-fail.test" <a@sender.test>', "a@..", ""],
)
def test_dmarc_passes_for_others(from_: str) -> None:
    """Only the domain itself and what is below it count, and only in an address."""
    assert verdicts(mail(b"hello", from_=from_)).dmarc is Verdict.PASS


def test_from_below_the_headers_is_text() -> None:
    """A forwarded mail's From is not this mail's."""
    assert verdicts(mail(b"From: boss@dmarc-fail.test\r\n")).dmarc is Verdict.PASS


def test_sender_counts_where_the_mail_has_no_from() -> None:
    """Mail without a From is judged by its envelope."""
    assert verdicts(b"Subject: hi\r\n\r\nhello", sender="boss@dmarc-fail.test").dmarc is Verdict.FAIL
