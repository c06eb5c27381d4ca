"""The examples that people type: each `mailroom` and `curl` line of README, docs and `--help`, as it stands there."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.main import get_command

from mailroom.cli import _app

ROOT = Path(__file__).parents[2]
#: An example is indented, as code is in Markdown and in the help; what follows two blanks or a `#` explains it.
_EXAMPLE = re.compile(r"^ {2,}(?:[$] )?(?:\.venv/bin/)?((?:mailroom|curl) .*)$")
_EXPLAINED = re.compile(r"\s+#.*|\s{2,}.*")
_HEREDOC = re.compile(r"<<'?(\w+)'?\s*$")


@dataclass(frozen=True)
class Example:
    """One command as typed, with the lines of its input, and where it is written."""

    command: str
    where: str
    given: str = ""


def examples() -> list[Example]:
    """Return every example, each command once."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    texts = [(str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")) for page in pages]
    texts += [(f"mailroom {path} --help", text) for path, text in helps()]
    found = [example for where, text in texts for example in _examples_of(text, where)]
    return list({example.command: example for example in reversed(found)}.values())[::-1]


def helps() -> Iterator[tuple[str, str]]:
    """Yield the path and the help of every command and group."""
    for path, command in commands():
        if command.help:
            yield path, command.help


def commands() -> Iterator[tuple[str, Any]]:
    """Yield the path of every command and group, such as `batch list`, and itself."""
    root = get_command(_app.app)
    yield "", root
    yield from _below(root, ())


def _below(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if not hasattr(group, "list_commands"):
        return
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is not None:
            yield " ".join((*path, name)), command
            yield from _below(command, (*path, name))


def _examples_of(text: str, where: str) -> Iterator[Example]:
    lines = iter(text.splitlines())
    for line in lines:
        match = _EXAMPLE.match(line)
        if match is None:
            continue
        typed = match[1]
        if heredoc := _HEREDOC.search(typed):
            given = []
            for following in lines:
                if following.strip() == heredoc[1]:
                    break
                given.append(following)
            yield Example(typed[: heredoc.start()].strip(), where, "\n".join(given))
        else:
            yield Example(_EXPLAINED.sub("", typed).strip(), where)


#: Examples that `tests/e2e/test_typed_examples.py` runs as they stand, in this order, and what each prints or returns.
RUN = {
    "mailroom --version": "mailroom ",
    "mailroom status": "worker",
    "mailroom settings": "MAILROOM_",
    "mailroom address add ada@mailroom.test": "ada@mailroom.test",
    "mailroom address add 'invoice-*@acme.test' --tenant acme --processor digest": "acme.test",
    "mailroom address process anna@acme.test webhook --tenant acme": "anna@acme.test",
    "mailroom parse mail.eml": "subject",
    "mailroom trace ID": "filed",
    "mailroom replay --state quarantined --dry-run": "",
    "mailroom replay --list": "",
    "mailroom replay --reason no_route --dry-run": "",
    "mailroom replay --reason spam --release": "",
    "mailroom replay --processor webhook --dry-run": "",
    "mailroom replay --processor webhook --since 2d": "",
    "mailroom replay ID": "",
    "mailroom send people.csv --template letter.txt --from desk@acme.test --dry-run": "mails        2",
    "mailroom send people.csv --template letter.txt --from desk@acme.test --wait": "2 messages submitted",
    "mailroom send people.csv --template letter.txt --from desk@acme.test --preview": "Subject",
    "mailroom send people.csv --template letter.txt --from desk@acme.test --preview 2": "Bob",
    "mailroom send people.csv --template letter.txt --from desk@acme.test --test-to you@acme.test": "",
    "mailroom send people.csv --template letter.txt --from desk@acme.test --stream weekly-news --unsubscribe": "submitted",
    'curl -H "Authorization: Bearer $KEY" -H "Idempotency-Key: invoices-2026-11" $API/v1/batches --data-binary @-': '"messages":1',
    "mailroom resend --batch ID --dry-run": "",
    "mailroom resend --batch ID --reason refused": "",
    "mailroom resend --batch ID --status failed": "",
    "mailroom resend ID --may-duplicate": "",
    "mailroom resend ID ID": "",
    "mailroom sender verify acme.test": "acme.test",
    "mailroom sender verify acme.test --no-dns": "acme.test",
    "mailroom sender verify acme.test --json": "acme.test",
    "mailroom sender verify acme.test --create": "acme.test",
    "mailroom sender verify acme.test --create --mail-from bounces.acme.test": "bounces.acme.test",
    "mailroom providers": "ses",
    "mailroom providers pauses": "",
    "mailroom batch list --held": "",
    "mailroom batch show ID": "",
    "mailroom batch resume --all --dry-run": "",
    "mailroom batch resume ID": "",
    "mailroom batch cancel ID": "",
    "mailroom key add shop --tenant acme --scope send": "shown only once: mr_",
    "mailroom key add desk --tenant acme --scope inbox:invoices@acme.test --ends 90d": "inbox:invoices@acme.test",
    "mailroom key add root --installation": "of the installation: administer",
    "mailroom key list --tenant acme": "shop of acme: send",
    "mailroom key rotate shop --overlap 2d": "the old one",
    "mailroom key rotate ID --overlap 0": "ended",
    "mailroom key revoke ID --dry-run": "would be revoked",
    "mailroom key revoke ID": "by cli",
    "mailroom user add ops@example.com --role operator": "operator of the installation",
    "mailroom user add ada@acme.test --tenant acme --role administrator": "administrator of acme",
    "mailroom user add bob@acme.test --tenant acme --inbox invoices@acme.test": "reads invoices@acme.test",
    "mailroom user list --tenant acme": "ada@acme.test",
    "mailroom user inbox bob@acme.test --give @sales.acme.test --take invoices@acme.test": "reads @sales.acme.test",
    "mailroom user role ada@acme.test archivist": "archivist of acme",
    "mailroom user role ada@acme.test administrator": "administrator of acme",
    "mailroom user remove bob@acme.test --dry-run": "would be removed",
    "mailroom user remove bob@acme.test": "removed",
    "mailroom user link ops@example.com": "once, within 15 minutes: http://127.0.0.1:",
    "mailroom user trail --tenant acme": "cli removed a person",
    "mailroom user trail --tenant acme --by ada@acme.test": "nothing yet",
    "mailroom archive findings": "",
    "mailroom archive rules": "document/1  3650 days, then review",
    'mailroom archive rule set virus --days 90 --basis "analysis takes a quarter" --dry-run': "would be 90 days",
    "mailroom archive holds": "no legal holds",
    "mailroom check": "",
    "mailroom check --since 2h --json": "",
    "mailroom check --deep --stuck-after 0s": "",
    "mailroom migrate --check": "the newest",
    "mailroom migrate --dry-run": "the newest",
    "mailroom migrate": "the newest",
    "mailroom backup mailroom.dump": "mailroom.dump",
    "mailroom backup /backups/mailroom-2026-11-29.dump": "mailroom-2026-11-29.dump",
    "mailroom restore FILE --dry-run": "",
    "mailroom restore /backups/mailroom-2026-11-29.dump --dry-run": "",
}

#: Examples that start, stop, replace or load a whole installation, and the test that does so.
ELSEWHERE = {
    "mailroom archive rebuild --dry-run": "tests/contract/test_rebuild.py",
    "mailroom archive rebuild --yes": "tests/contract/test_rebuild.py",
    "mailroom archive recover-journal --dry-run": "tests/contract/test_recovery.py",
    "mailroom archive recover-journal --yes": "tests/contract/test_recovery.py",
    "mailroom archive prove acme life 17 --json > proof.json": "tests/contract/test_seal_proofs.py",
    "mailroom providers probe ses/123456789012/eu-west-1 --sender acme.example": "tests/contract/test_pauses_shown.py",
    "mailroom address import addresses.csv --dry-run": "tests/contract/test_address_command.py",
    "mailroom address import addresses.csv --tenant acme": "tests/contract/test_address_command.py",
    "mailroom address remove old@acme.test --tenant acme --dry-run": "tests/contract/test_address_command.py",
    "mailroom address add '*@*.acme.test' --tenant acme": "tests/contract/test_receiving_sql.py",
    "mailroom replay --reason too_many --dry-run": "tests/contract/test_address_command.py",
    "mailroom replay --reason too_many": "tests/contract/test_address_command.py",
    "mailroom up --detach": "tests/e2e/conftest.py",
    "mailroom down": "tests/e2e/conftest.py",
    "mailroom restore FILE": "tests/e2e/test_restores.py",
    "mailroom check --batches FILE": "tests/contract/test_check_batches.py",
    "mailroom drill --kills 500 --workers 3": "tests/faults/test_delivery.py",
    "mailroom drill --outbound --workers 3": "tests/faults/test_sending_kills.py",
    "mailroom api --host 10.0.0.5 --port 8025": "tests/contract/test_faces.py",
    "mailroom api --public-port 8026": "tests/contract/test_faces.py",
    "mailroom api --host 10.0.0.5 --public-port 8026 --behind-tls-proxy": "tests/contract/test_faces.py",
}
