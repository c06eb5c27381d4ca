"""The examples of README, docs and `--help`, typed as they stand into a shell beside the sandbox as it stands."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from inspect import cleandoc
from pathlib import Path

import httpx
import psycopg
import pytest

from mailroom.adapters.postgres.engine import make_engine
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.cli import send
from mailroom.ports.holds import HoldReason
from tests.support.patience import PATIENCE_S
from tests.support.running_stack import Stack, wait_until
from tests.support.typed_examples import RUN, examples

EXAMPLES = {example.command: example for example in examples()}
MAIL = b"From: bob@office.test\r\nTo: ada@mailroom.test\r\nSubject: Plan\r\n\r\nThe plan.\r\n"
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: Exit status 1 says that something was found: what other tests of this session broke on purpose, a record that is not in DNS.
MAY_FIND = ("mailroom check", "mailroom sender verify")


@dataclass
class Shell:
    """A folder with the files that the examples name, and a shell in it."""

    stack: Stack
    folder: Path

    def type(self, command: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line in a shell, with `mailroom` on its path."""
        paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        known = {"MAILROOM_DATA": str(self.stack.folder), "KEY": self.stack["api_key"], "API": self.stack["api_url"]}
        line = ["bash", "-c", command.replace("/backups/", f"{self.folder}/")]
        return subprocess.run(
            line, input=given, env=os.environ | known | {"PATH": paths}, cwd=self.folder,
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip

    def statuses(self, batch_id: str) -> dict[str, int]:
        """Return the number of messages by status."""
        rows = self.stack.ask("select status, count(*) from message where batch_id = %s group by status", batch_id)
        return dict(rows)


@pytest.fixture(scope="module")
def shell(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The files as the help of `mailroom send` shows them, and a mail to ask about."""
    folder = tmp_path_factory.mktemp("typed")
    blocks = re.findall(r"(?:^ {4}.*\n|^\x08\n(?= {4}))+", cleandoc(send.__doc__ or "") + "\n", re.MULTILINE)
    people, letter = (cleandoc("\n" + block.replace("\x08\n", "\n")) for block in blocks[:2])
    assert people.startswith("to,"), people
    assert re.fullmatch("Subject: .+\n\nDear .+", letter), letter
    (folder / "people.csv").write_text(people + "\n")
    (folder / "letter.txt").write_text(letter + "\n")
    (folder / "mail.eml").write_bytes(MAIL)
    stack.receives("anna@acme.test", tenant="acme")
    return Shell(stack, folder)


def refused(shell: Shell) -> str:
    """Return the id of a message as if the provider had refused it."""
    body = {"from": "desk@acme.test", "messages": [{"to": "ada@users.test", "subject": "once more", "text": "x"}]}
    headers = {"Authorization": f"Bearer {shell.stack['api_key']}"}
    batch_id = httpx.post(
        f"{shell.stack['api_url']}/v1/batches", json=body, headers=headers, timeout=PATIENCE_S
    ).json()["id"]
    wait_until(lambda: shell.statuses(batch_id) == {"delivered": 1}, "it is sent")
    with psycopg.connect(shell.stack["database_url"]) as connection:
        again = "update message set status = 'rejected', reason = 'refused' where batch_id = %s returning id"
        return str(connection.execute(again, [batch_id]).fetchall()[0][0])


def id_for(command: str, shell: Shell) -> str:
    """Return what a person has in place of ID."""
    stack = shell.stack
    if command in ("mailroom trace ID", "mailroom replay ID"):
        message_id = stack.send(MAIL, "ada@mailroom.test")
        stack.wait_closed(message_id)
        return message_id
    if command.startswith("mailroom key "):
        made = shell.type("mailroom key add some --tenant acme --scope send --json").stdout
        return str(json.loads(made)["id"])
    body = {"from": "desk@acme.test", "messages": [{"to": "ada@users.test", "subject": command, "text": "x"}]}
    if command.startswith("mailroom resend ID"):
        return refused(shell)
    later = {} if "show" in command else {"send_at": (datetime.now(UTC) + timedelta(days=1)).isoformat()}
    headers = {"Authorization": f"Bearer {stack['api_key']}"}
    batch_id = httpx.post(
        f"{stack['api_url']}/v1/batches", json=body | later, headers=headers, timeout=PATIENCE_S
    ).json()["id"]
    if later:
        engine = make_engine(stack["database_url"])
        SqlOutbox(engine).hold([batch_id], reason=HoldReason.RUN_GONE, now=datetime.now(UTC))
        engine.dispose()
    return str(batch_id)


@pytest.mark.parametrize("command", RUN)
def test_an_example_does_what_its_page_says(shell: Shell, command: str) -> None:
    """People begin by copying a line; one that fails is the first thing that they see of Mailroom."""
    typed = re.sub(r"\bFILE\b", "mailroom.dump", command)
    typed = re.sub(r"\bID\b", lambda _: id_for(command, shell), typed)

    ended = shell.type(typed, EXAMPLES[command].given)

    shown = ended.stdout + ended.stderr
    assert ended.returncode == 0 or (command.startswith(MAY_FIND) and ended.returncode == 1), shown
    assert RUN[command] in shown
    if batch_id := _sent(command, ended.stdout):
        # Deliveries are reported while the command ends.
        assert "--wait" not in command or shell.statuses(batch_id).keys() <= {"dispatched", "delivered"}
        people = 1 if "--test-to" in command else 2
        expected = {"delivered": EXAMPLES[command].given.count('"to"') or people}
        wait_until(lambda: shell.statuses(batch_id) == expected, "the example's batch is delivered")


def _sent(command: str, printed: str) -> str | None:
    """Return the id of the batch that the example sent, if it sends."""
    if command.startswith("curl"):
        return str(json.loads(printed)["id"])
    sends = command.startswith("mailroom send ") and not re.search("--(dry-run|preview)", command)
    return _ID.findall(printed)[0] if sends else None
