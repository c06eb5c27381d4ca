"""Every parser returns the same e-mail; and a mail that breaks its parser process affects itself alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailroom.adapters.parser.process import Bounds, ParserProcess
from mailroom.domain.errors import Quarantined, Reason, TransientError
from mailroom.domain.parsing import parse_email
from mailroom.ports.parser import Parser
from mailroom.testing.parser import MemoryParser
from tests.support.misbehaving_parser import parse as misbehave

HARMLESS = b"Subject: harmless\r\n\r\nhello"
WHOLE = (
    b"Message-ID: <1@example.org>\r\nDate: Tue, 3 Mar 2026 10:00:00 +0100\r\nFrom: Ann <ann@example.org>\r\n"
    b"To: b@example.com, c@example.com\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe_=F0=9F=93=AB?=\r\n"
    b"Content-Type: multipart/mixed; boundary=edge\r\n\r\n--edge\r\n\r\ntext\x00\r\n"
    b"--edge\r\nContent-Type: text/html\r\n\r\n<img src=cid:logo>\r\n"
    b"--edge\r\nContent-Type: image/png; name=../a.png\r\nContent-ID: <logo>\r\n\r\n\x89PNG\r\n\x1a\n\x00\xff\r\n"
    b"--edge\r\nContent-Type: application/octet-stream\r\n\r\n\r\n"
    b"--edge\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.org\r\n\r\n"
    b"Final-Recipient: rfc822; c@example.com\r\nAction: failed\r\n--edge--\r\n"
)


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.fixture(params=["memory", "process"])
def parser(request: pytest.FixtureRequest) -> Iterator[Parser]:
    if request.param == "memory":
        yield MemoryParser(misbehave)
        return
    process = ParserProcess(function="tests.support.misbehaving_parser:parse")
    yield process
    process.close()


@pytest.fixture
def process() -> Iterator[ParserProcess]:
    """One process with tight limits, so that a hang is over soon."""
    parser = ParserProcess(
        processes=1,
        bounds=Bounds(memory_bytes=64 * 1024 * 1024, cpu_s=1, wall_s=3.0),
        function="tests.support.misbehaving_parser:parse",
    )
    yield parser
    parser.close()


def cause_of(parser: Parser, raw: bytes) -> str:
    with pytest.raises(Quarantined) as caught:
        parser.parse(raw)
    assert caught.value.reason is Reason.UNPARSABLE
    return str(caught.value.facts["cause"])


@pytest.mark.parametrize("raw", [WHOLE, HARMLESS, b"", b"\x00\xff" * 1_000], ids=["whole", "small", "empty", "noise"])
def test_the_answer_is_what_the_parser_says(parser: Parser, raw: bytes) -> None:
    """Nothing is lost on the way out of the process: texts, dates, bytes, reports, defects."""
    assert parser.parse(raw) == parse_email(raw)


def test_large_mail_arrives_whole(parser: Parser) -> None:
    """Both directions carry more than any socket's buffer holds."""
    raw = b"Content-Type: application/pdf\r\n\r\n" + bytes(range(256)) * 40_000

    (part,) = parser.parse(raw).attachments

    assert part.size == 256 * 40_000


def test_error_is_a_quarantine_of_that_mail(parser: Parser) -> None:
    """The run of this mail ends with a reason that operators can filter by; the next mail is parsed as usual."""
    cause = cause_of(parser, b"raise\n")

    assert cause == "RuntimeError"
    assert parser.parse(HARMLESS).subject == "harmless"


@pytest.mark.parametrize(
    ("order", "cause"),
    [
        (b"hang\n", "time"),
        (b"spin\n", "time"),
        (b"eat memory\n", "memory"),
        (b"crash\n", "crash"),
        (b"exit\n", "crash"),
        (b"be killed\n", "crash"),
    ],
)
def test_fault_costs_that_mail_alone(process: ParserProcess, order: bytes, cause: str) -> None:
    """Bad input 3.2 of the security notes: a breach is a quarantine, never an endless retry or the worker's end."""
    process.parse(HARMLESS)

    assert cause_of(process, order) == cause
    assert process.parse(HARMLESS).subject == "harmless"


def test_mail_whose_process_was_killed_by_another_is_tried_again(process: ParserProcess, tmp_path: Path) -> None:
    """A machine short of memory kills any process; that is no fault of the mail being parsed."""
    once = b"be killed once " + bytes(tmp_path / "mark") + b"\n"

    assert process.parse(once + HARMLESS).subject == "harmless"


def test_cpu_time_is_counted_for_each_mail(process: ParserProcess) -> None:
    """The kernel's limit is on a process's whole life: ours must not die of many small mails."""
    work = b"Subject: work\n\n" + b"<p>" * 200_000

    subjects = {process.parse(work).subject for _ in range(20)}

    assert subjects == {"work"}


def test_mail_that_takes_long_holds_one_process(tmp_path: Path) -> None:
    """Other mails go through the second process."""
    parser = ParserProcess(processes=2, function="tests.support.misbehaving_parser:parse")
    mark = tmp_path / "mark"
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(parser.parse, b"wait for " + bytes(mark) + b"\n" + HARMLESS)

        subjects = [parser.parse(HARMLESS).subject for _ in range(5)]
        waiting = not slow.done()
        mark.touch()
        answer = slow.result()
    parser.close()

    assert subjects == ["harmless"] * 5
    assert waiting
    assert answer.subject == "harmless"


def test_process_inherits_no_secrets(process: ParserProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads hostile mail must have nothing worth stealing."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")

    names = process.parse(b"show environment\n").text or ""

    assert "AWS_SECRET_ACCESS_KEY" not in names


def test_process_that_does_not_start_is_a_transient_error() -> None:
    """A broken installation must not empty the queue into the quarantine."""
    parser = ParserProcess(function="tests.support.misbehaving_parser:no_such_function")

    with pytest.raises(TransientError):
        parser.parse(HARMLESS)
