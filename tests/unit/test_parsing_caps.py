"""Every cap of the security notes' section 3.2: one step over it is a named defect, and the parts beside it come out.

The figures are in the table of docs/parsing.md; these tests show that they hold.
"""

import sys
from types import FrameType
from typing import Any

import pytest

from benchmarks.traps import TRAPS
from mailroom.domain.parsing import Limits, ParsedEmail, parse_email

IMAGE = b"Content-Type: image/png; name=%s.png\r\n\r\n\x89PNG"
FIRST, LAST = IMAGE % b"first", IMAGE % b"last"
#: Low limits of everything that the parts of one mail share.
MEAN = Limits(
    header_lines=200, delimiters=200, lines=200, escapes=200, rtf_bytes=500, report_bytes=500, properties=50, cms_values=200
)  # fmt: skip


def mail(*parts: bytes, head: bytes = b"") -> bytes:
    body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts)
    return head + b"Content-Type: multipart/mixed; boundary=edge\r\n\r\n" + body + b"--edge--\r\n"


def names(parsed: ParsedEmail) -> list[str]:
    return [one.filename for one in parsed.attachments]


def nested(depth: int) -> bytes:
    level = b"Content-Type: multipart/mixed; boundary=b%d-\r\n\r\n--b%d-\r\n"
    return b"".join(level % (one, one) for one in range(depth)) + b"\r\nthe core"


def recipients(count: int) -> bytes:
    one = b"=?utf-8?Q?Gr=C3=BC=C3=9Fe_%d?= <a.long.name%d@department.example.org>"
    return b"To: " + b",\r\n ".join(one % (number, number) for number in range(count)) + b"\r\n"


@pytest.mark.parametrize(
    ("head", "part", "defect"),
    [
        (b"", b"X-Y: a\r\n" + b" bcd\r\n" * 60_000 + b"\r\nx", "header_block_too_long"),
        (b"", b"X-Y: " + b"a" * 16_385 + b"\r\n\r\nx", "header_too_long"),
        (b"", b"X-Y: a\r\n" * 1_001 + b"\r\nx", "too_many_headers"),
        (b"", nested(25), "too_deep"),
        (recipients(1_001), b"\r\nx", "too_many_addresses"),
        (b"Subject: " + b"=?utf-8?Q?a?= " * 201 + b"\r\n", b"\r\nx", "too_many_words"),
        (b"", b"Content-Type: text/plain" + b"; a=b" * 51 + b"\r\n\r\nx", "too_many_parameters"),
        (b"", b'Content-Type: image/png; name="' + b"n" * 9_000 + b'"\r\n\r\nx', "name_too_long"),
    ],
)
def test_one_step_over_a_cap_is_a_defect_and_the_other_parts_are_read(head: bytes, part: bytes, defect: str) -> None:
    """A person finds the other files, a filter finds the reason."""
    parsed = parse_email(mail(FIRST, part, LAST, head=head))

    assert defect in parsed.defects
    assert [names(parsed)[0], names(parsed)[-1]] == ["first.png", "last.png"]


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"", b"X-Y: " + b"a" * 16_384 + b"\r\n\r\nx"),
        (b"", b"X-Y: a\r\n" * 1_000 + b"\r\nx"),
        (recipients(1_000), b"\r\nx"),
        (b"Subject: " + b"=?utf-8?Q?a?= " * 200 + b"\r\n", b"\r\nx"),
        (b"", b"Content-Type: text/plain" + b"; a=b" * 50 + b"\r\n\r\nx"),
    ],
)
def test_what_just_fits_is_no_defect(head: bytes, part: bytes) -> None:
    """A thousand people with names in one To are real mail, and its 70 kB are more than other headers may have."""
    parsed = parse_email(mail(FIRST, part, LAST, head=head))

    assert parsed.defects == ()
    assert names(parsed) == ["first.png", "last.png"]
    assert len(parsed.to) == head.count(b"@")


def test_parts_over_their_cap_are_left_in_the_archive() -> None:
    """Five hundred are read; the raw mail has the others."""
    parsed = parse_email(mail(FIRST, *[IMAGE % b"x"] * 600))

    assert "too_many_parts" in parsed.defects
    assert (names(parsed)[0], len(parsed.attachments)) == ("first.png", 500)


def test_as_many_parts_as_may_be_are_no_defect() -> None:
    """The five hundredth is not one too many."""
    parsed = parse_email(mail(*[IMAGE % b"x"] * 499, LAST))

    assert (parsed.defects, len(parsed.attachments)) == ((), 500)


def test_bytes_over_their_cap_are_not_read() -> None:
    """The parts before the cut come out."""
    raw = mail(FIRST, LAST)

    parsed = parse_email(raw, limits=Limits(raw_bytes=raw.index(b"--edge\r\n", 70)))

    assert parsed.defects[0] == "too_large"
    assert names(parsed) == ["first.png"]


def test_files_have_one_sum_and_the_one_that_breaks_it_is_left_out() -> None:
    """Sixty megabytes, decoded; a small file behind a large one is no part of the fault."""
    large = b"Content-Type: image/png; name=large.png\r\n\r\n" + bytes(50)

    parsed = parse_email(mail(FIRST, large, LAST), limits=Limits(file_bytes=30))

    assert parsed.defects == ("files_too_large",)
    assert names(parsed) == ["first.png", "last.png"]


def test_a_shown_name_has_two_hundred_bytes() -> None:
    """The sender's own is kept beside it."""
    parsed = parse_email(mail(FIRST, b'Content-Type: image/png; name="' + b"n" * 300 + b'.png"\r\n\r\nx', LAST))

    assert [len(name) for name in names(parsed)] == [9, 200, 8]
    assert len(parsed.attachments[1].original_name or "") == 304


@pytest.mark.parametrize(
    "name",
    [
        "folded lines", "delimiters that are none", "base64 padded in each line", "uuencode that ends", "yEnc of escapes",
        "BinHex of run lengths", "words of RTF", "TNEF properties", "recipients of a report", "a calendar's entries",
        "values in signed values",
    ],
)  # fmt: skip
def test_parts_of_one_mail_share_what_is_allowed(name: str) -> None:
    """With limits per part, mails of a few megabytes took ten seconds of CPU and gigabytes: with what is allowed
    used up, parts that are larger cost no more steps."""
    small, large = (steps(mail(FIRST, *[TRAPS[name](size)] * 30, LAST)) for size in (5_000, 20_000))

    assert large <= 2 * small


def test_sectors_in_circles_are_followed_no_further_than_the_file_goes() -> None:
    """Five hundred files of a kilobyte took twenty seconds when each was believed to have twenty thousand entries."""
    assert steps(mail(FIRST, TRAPS["sectors in circles"](1_000), LAST)) < 5_000


def steps(raw: bytes) -> int:
    """Return how many calls the parser makes on `raw`: work that no busy machine changes."""
    count = 0

    def counted(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal count
        count += 1

    sys.setprofile(counted)
    try:
        parse_email(raw, limits=MEAN)
    finally:
        sys.setprofile(None)
    return count
