"""One parser over one folder of mails, in this process: `python -m benchmarks.parsers NAME FOLDER SECONDS`.

It prints one JSON object. `benchmarks.parsing` starts it once for each parser, with the Python that has that parser.
Each must give what a reader wants: subject, sender, recipients, date, texts, and every attachment decoded.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def mailroom() -> Callable[[bytes], object]:
    """Mailroom's own, called directly."""
    from mailroom.domain.parsing import parse_email

    return parse_email


def process() -> Callable[[bytes], object]:
    """Mailroom's own, in a separate process as in the worker."""
    from mailroom.adapters.parser.process import ParserProcess

    return ParserProcess().parse


def standard() -> Callable[[bytes], object]:
    """The standard library's, with its default policy."""
    from email import policy
    from email.parser import BytesParser

    parser = BytesParser(policy=policy.default)

    def parse(raw: bytes) -> object:
        mail = parser.parsebytes(raw)
        parts = [(part.get_filename(), part.get_payload(decode=True)) for part in mail.walk()]
        return [str(mail[name]) for name in ("subject", "from", "to", "cc", "date")], mail.get_body(), parts

    return parse


def mail_parser() -> Callable[[bytes], object]:
    """The package mail-parser."""
    import mailparser

    def parse(raw: bytes) -> object:
        mail = mailparser.parse_from_bytes(raw)
        return mail.subject, mail.from_, mail.to, mail.cc, mail.date, mail.text_plain, mail.text_html, mail.attachments

    return parse


def fast_mail_parser() -> Callable[[bytes], object]:
    """The package fast-mail-parser, written in Rust."""
    import fast_mail_parser as package

    def parse(raw: bytes) -> object:
        mail = package.parse_email(raw)
        files = [(file.filename, file.content) for file in mail.attachments]
        return mail.subject, mail.headers, mail.date, mail.text_plain, mail.text_html, files

    return parse


PARSERS = {one.__name__: one for one in (mailroom, process, standard, mail_parser, fast_mail_parser)}


def measure(parse: Callable[[bytes], object], mails: list[bytes], seconds: float) -> dict[str, float]:
    """Return mails and megabytes a second over whole rounds, and how many mails of one round raised."""
    raised = rounds = 0
    started = time.perf_counter()
    while rounds == 0 or time.perf_counter() - started < seconds:
        raised = sum(not _reads(parse, raw) for raw in mails)
        rounds += 1
    spent = time.perf_counter() - started
    size = sum(len(raw) for raw in mails)
    return {"mails_s": rounds * len(mails) / spent, "mb_s": rounds * size / 1e6 / spent, "raised": raised}


def _reads(parse: Callable[[bytes], object], raw: bytes) -> bool:
    try:
        parse(raw)
    except Exception:  # noqa: BLE001 - counting them is the point
        return False
    return True


if __name__ == "__main__":
    files = sorted(path for path in Path(sys.argv[2]).rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in files]
    print(json.dumps(measure(PARSERS[sys.argv[1]](), contents, float(sys.argv[3]))))
