"""The parser's speed beside others', in one run: `python -m benchmarks.parsing [FOLDER]`, or `make bench`.

FOLDER (or MAILROOM_BENCH_MAILS) holds raw mails, one a file; without it a few hundred are made up. Mails with large
attachments are always made up. The other parsers live in an environment of their own, made on the first run; without
the network their rows are left out. Each figure is one core, the parser alone in its process.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tempfile
import venv
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

from mailroom.settings import CHECKOUT

_OTHERS = CHECKOUT / ".cache" / "parsers"
_WANTED = CHECKOUT / "benchmarks" / "parsers.txt"
_SECONDS = "5"
_MAILS, _LARGE, _LARGE_BYTES = 300, 3, 18_000_000
_ROWS = {
    "mailroom": "Mailroom",
    "process": "Mailroom, in a process of its own",
    "standard": "standard library (policy.default)",
    "mail_parser": "mail-parser",
    "fast_mail_parser": "fast-mail-parser (Rust)",
}
_WORDS = [
    "bonjour",
    "veuillez",
    "trouver",
    "ci-joint",
    "la",
    "facture",
    "du",
    "mois",
    "de",
    "février,",
    "à",
    "régler",
    "avant",
    "le",
    "15",
    "—",
    "cordialement",
]


def main(folder: str | None) -> None:
    """Measure every parser on both sets, and print the table."""
    others = other_parsers()
    with tempfile.TemporaryDirectory(prefix="mailroom-mails-") as made:
        usual = Path(folder) if folder else make_mails(Path(made, "usual"))
        large = make_large(Path(made, "large"))
        print(f"{'parser':36} {'mails/s':>9} {'MB/s':>7} {'raised':>7} {'large MB/s':>11}")
        for name, shown in _ROWS.items():
            python = sys.executable if name in ("mailroom", "process", "standard") else others
            if python is None:
                print(f"{shown:36} not installed")
                continue
            found, big = run(python, name, usual), run(python, name, large)
            print(f"{shown:36} {found['mails_s']:9.0f} {found['mb_s']:7.1f} {found['raised']:7.0f} {big['mb_s']:11.0f}")


def run(python: str, name: str, folder: Path) -> dict[str, float]:
    """Return what `benchmarks.parsers` measured with this Python."""
    command = [python, "-m", "benchmarks.parsers", name, str(folder), _SECONDS]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=CHECKOUT, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def other_parsers() -> str | None:
    """Return the Python that has the other parsers, or None where they cannot be installed."""
    python = _OTHERS / "bin" / "python"
    mark = _OTHERS / "installed.txt"
    if mark.exists() and mark.read_text() == _WANTED.read_text():
        return str(python)
    venv.create(_OTHERS, with_pip=True, clear=True)
    done = subprocess.run([python, "-m", "pip", "install", "-qq", "-r", _WANTED], capture_output=True, check=False)
    if done.returncode:
        return None
    mark.write_text(_WANTED.read_text())
    return str(python)


def make_mails(folder: Path) -> Path:
    """Write mails of the usual kinds: plain, HTML with images, with attachments, forwarded; the same ones every time."""
    chance = random.Random(1)
    folder.mkdir()
    for number in range(_MAILS):
        mail = _letter(chance, number)
        if number % 3:
            mail.add_alternative(f"<p>{mail.get_content()}</p><img src='cid:logo'>", subtype="html")
        if number % 4 == 0:
            for name in ("facture été.pdf", "relevé.xml")[: 1 + number % 2]:
                content = chance.randbytes(chance.randrange(1_000, 60_000))
                mail.add_attachment(content, maintype="application", subtype="pdf", filename=name)
        if number % 10 == 0:
            mail.add_attachment(_letter(chance, number + 1_000))
        (folder / f"{number:04}.eml").write_bytes(mail.as_bytes(policy=SMTP))
    return folder


def make_large(folder: Path) -> Path:
    """Write mails of 25 MB, most of it one attachment."""
    folder.mkdir()
    head = b"Subject: scan\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nthe scan\r\n--b\r\n"
    part = b"Content-Type: application/pdf; name=scan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    for number in range(_LARGE):
        encoded = base64.encodebytes(random.Random(number).randbytes(_LARGE_BYTES)).replace(b"\n", b"\r\n")
        (folder / f"{number}.eml").write_bytes(head + part + encoded + b"--b--\r\n")
    return folder


def _letter(chance: random.Random, number: int) -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"] = " ".join(chance.choices(_WORDS, k=6))
    mail["From"] = "Zoë Élan <zoe@example.org>"
    mail["To"] = ", ".join(f"user{one}@example.com" for one in range(1 + number % 5))
    mail["Date"] = "Tue, 3 Mar 2026 10:00:00 +0100"
    mail["Message-ID"] = f"<{number}@example.org>"
    mail.set_content("\n".join(" ".join(chance.choices(_WORDS, k=12)) for _ in range(30)))
    return mail


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MAILROOM_BENCH_MAILS") or None)
