"""SES's verdicts on received mail, from test strings and test domains: the sandbox scans nothing and uses no DNS.

EICAR test file anywhere in the mail            virus FAIL
GTUBE test line anywhere in the mail            spam FAIL
From in dmarc-fail.test (or -quarantine, -none) spf FAIL, dkim GRAY, dmarc FAIL with policy reject (quarantine, none)
From in a domain that our receipt rules name    the same with policy reject: an outsider who pretends to be us
anything else                                   PASS for all five
"""

import binascii
import re
import string
from collections.abc import Collection, Iterator

from mailroom.domain.inbound.routing import normalise_domain
from mailroom.domain.inbound.verdicts import Verdict, Verdicts

# In two halves, so that no virus scanner takes a checkout of this file for the test file itself.
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}" + b"$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
GTUBE = b"XJS*C4JDBQADN1.NSBN3*2IDNEN*" + b"GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"

_POLICIES = {"dmarc-fail.test": "reject", "dmarc-quarantine.test": "quarantine", "dmarc-none.test": "none"}
_MOST_PARTS = 1000
_MOST_HEADER_BYTES = 64 * 1024
_MOST_VALUE_BYTES = 2 * 1024
_ENCODING_HEADER = b"\ncontent-transfer-encoding:"
_ENCODING = re.compile(rb"[ \t\r\n]*(base64|quoted-printable)")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_END_OF_HEADERS = re.compile(rb"\A\r?\n|\n\r?\n")
_FROM = re.compile(rb"^from[ \t]*:((?:.*)(?:\r?\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)
_NOT_BASE64 = bytes(set(range(256)) - set(string.ascii_letters.encode() + string.digits.encode() + b"+/"))
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_DOMAIN = re.compile(r"@([^\s<>,;()\"@]+)")


def judge(raw: bytes, *, sender: str, own_domains: Collection[str]) -> Verdicts:
    """Return the verdicts on a received mail; `own_domains` are normalised by `normalise_domain`.

    `sender` is the MAIL FROM, used where the mail has no From.
    """
    policy = _failed_policy(_from_domains(raw, sender), own_domains)
    spam = virus = Verdict.PASS
    for text in _readings(raw):
        spam = Verdict.FAIL if GTUBE in text else spam
        virus = Verdict.FAIL if EICAR in text else virus
    if policy is None:
        return Verdicts(spam, virus, Verdict.PASS, Verdict.PASS, Verdict.PASS)
    return Verdicts(spam, virus, Verdict.FAIL, Verdict.GRAY, Verdict.FAIL, policy)


def _failed_policy(domains: list[str], own_domains: Collection[str]) -> str | None:
    for domain in domains:
        if domain in own_domains:
            return "reject"
        for failing, policy in _POLICIES.items():
            if domain == failing or domain.endswith(f".{failing}"):
                return policy
    return None


def _from_domains(raw: bytes, sender: str) -> list[str]:
    end = _END_OF_HEADERS.search(raw, 0, _MOST_HEADER_BYTES)
    headers = _FROM.findall(raw, 0, end.start() + 1 if end else _MOST_HEADER_BYTES)
    values = [_QUOTED.sub("", value[:_MOST_VALUE_BYTES].decode("utf-8", "replace")) for value in headers] or [sender]
    domains = []
    for value in values:
        for domain in _DOMAIN.findall(value):
            try:
                domains.append(normalise_domain(domain))
            except ValueError:
                continue
    return domains


def _readings(raw: bytes) -> Iterator[bytes]:
    """Yield the mail, then each of its encoded parts decoded. The parts do not overlap, so the work is linear."""
    yield raw
    lowered = b"\n" + raw.lower()
    position = 0
    for _ in range(_MOST_PARTS):
        position = lowered.find(_ENCODING_HEADER, position)
        if position < 0:
            return
        position += len(_ENCODING_HEADER)
        encoding = _ENCODING.match(lowered, position)
        if encoding is None:
            continue
        start = _BLANK_LINE.search(lowered, encoding.end())
        if start is None:
            return
        end = lowered.find(b"\n--", start.end())
        position = len(lowered) if end < 0 else end
        yield _decoded(raw[start.end() - 1 : position - 1], encoding[1])


def _decoded(text: bytes, encoding: bytes) -> bytes:
    if encoding == b"quoted-printable":
        return binascii.a2b_qp(text)
    digits = text.translate(None, _NOT_BASE64)
    surplus = len(digits) % 4
    # One digit alone is less than a byte; two or three are the padded last group.
    return binascii.a2b_base64(digits[:-1] if surplus == 1 else digits + b"=" * (-surplus % 4))
