"""Opening containers takes linear time, whatever is in them."""

import base64
import time

import pytest

from mailroom.domain.parsing import parse_email
from tests.support.signed_mail import signed

HEAD = b"From: Ann <a@x.test>\r\nSubject: Order 17\r\nMIME-Version: 1.0\r\n"


def mixed(*parts: bytes) -> bytes:
    body = b"".join(b"--q\r\n" + one + b"\r\n" for one in parts)
    return HEAD + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n" + body + b"--q--\r\n"


@pytest.mark.parametrize("html", [b"<", b"<title", b"</style ", b"&#", b"<style></style  "])
def test_reading_the_html_of_an_attached_mail_is_linear(html: bytes) -> None:
    """Each of 100,000 tags that never end would else be read to the end of the mail."""
    attached = HEAD + b"Content-Type: text/html\r\n\r\n" + html * 100_000
    before = time.process_time()

    parsed = parse_email(mixed(b"Content-Type: message/rfc822\r\n\r\n" + attached))

    assert [one.name for one in parsed.attachments[0].members] == ["message.txt", "message.html"]
    assert time.process_time() - before < 2


@pytest.mark.parametrize("name", [b".p7m" * 3_900 + b"x", b"a" * 15_000, b'" ' * 7_000])
def test_long_names_and_boundaries_are_read_in_linear_time(name: bytes) -> None:
    """A pattern that looks for an ending tries each place of the name."""
    one = b"Content-Type: application/pkcs7-mime; name=" + name + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    one += base64.encodebytes(signed(b"<x/>"))
    kind = b"multipart/mixed; boundary=" + name
    before = time.process_time()

    parse_email(mixed(*[one] * 40))
    parse_email(
        HEAD
        + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n"
        + (b"--q\r\nContent-Type: " + kind + b"\r\n\r\nx\r\n") * 40
    )

    assert time.process_time() - before < 4
