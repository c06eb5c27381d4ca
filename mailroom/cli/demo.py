"""Run the main job on samples: mail a scanned document to an inbox, send a batch, and show the outcome of both.

At the end, one more message goes by SMTP and comes back as a bounce by mail. Starts the embedded stack if it is not running, and leaves it running. The mail is processed as any other: an SMTP
client, the local SMTP server in place of SES, the bucket, the queue, a flow run, the archive, the inbox. So is the batch:
the API, the queue, a flow run, SES, and its events.
"""

import json
import os
import smtplib
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

import mailroom.sandbox
from mailroom.cli import _demo_batch, _demo_bounce
from mailroom.cli._api_client import ApiClient
from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.api_keys import BY_COMMAND
from mailroom.domain.errors import ConfigurationError, PermanentError, TransientError
from mailroom.domain.inbound.received_email import FINAL, Entry, State
from mailroom.domain.inbound.routing import Address
from mailroom.domain.people import Role
from mailroom.outbound.last_run import run_of
from mailroom.ports.people import NewPerson
from mailroom.ports.runs import Run
from mailroom.sandbox.stack import background, stack
from mailroom.settings import running_stack

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

TO = "accounting@mailroom.test"
#: Who looks at the pages; an address that the stack does not receive.
OPERATOR = "you@laptop.test"
_SCAN = Path(mailroom.sandbox.__file__).parent / "samples" / "delivery-note.pdf"
_PATIENCE_S = 90


@app.command()
def demo(
    mails: Annotated[int, typer.Option(min=1, max=200, help="Number of mails in the batch.")] = 200,
    as_json: AsJson = False,
) -> None:
    """Run the main job on samples: mail a scanned document to an inbox, send a batch, and show the outcome of both."""
    if "MAILROOM_DATABASE_URL" in os.environ:
        raise ConfigurationError("the demo runs on the embedded stack only; unset MAILROOM_DATABASE_URL")
    report: Callable[[str], None] = (lambda _: None) if as_json else say
    up = _running(report)
    opened = Opened()
    received = _receive(opened, up, report)
    sent = _send_batch(opened, up, mails, report, quiet=as_json)
    bounce = _bounce(opened, up, report)
    sign_in = _sign_in(opened, received["item_url"])
    if as_json:
        say(json.dumps(received | {"batch": sent, "bounce": bounce, "sign_in_url": sign_in}))
        return
    say(f"\nOpen this link and press the button: it signs you in as {OPERATOR}, once, within 15 minutes")
    say(f"\n  {sign_in}")
    say(f"\nA new one, as often as you like: .venv/bin/mailroom user link {OPERATOR}")
    say("\nThe stack is still running: send it mail, explore it, and stop it with `.venv/bin/mailroom down`.")


def _sign_in(opened: Opened, item_url: str) -> str:
    """Return a link that signs in as the demo's operator, who is added if new, and opens the item."""
    store, pages_at = opened.store, opened.settings.pages_at
    person = next((one for one in store.people.with_address(OPERATOR) if one.tenant is None), None)
    if person is None:
        person = store.people.add(NewPerson(OPERATOR, Role.OPERATOR, None, (), BY_COMMAND))
    secret = store.links.make(person.id, urlsplit(item_url).path)
    return f"{pages_at}/sign-in/{secret}" if secret else ""


def _receive(opened: Opened, up: dict[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Mail the sample, follow it to the inbox, and return its links."""
    opened.directory.add(Address(TO, "demo", "accounting"))
    report(
        f"\n{TO} receives for user accounting; a scanner sends it a document (SMTP to "
        f"{up['smtp_host']}:{up['smtp_port']})"
    )
    message_id = _send(up)
    accepted = time.time()
    report(f"accepted by the SMTP server as {message_id}; encrypted, stored in the bucket, notification sent")
    entry = _follow(opened, message_id, report)
    took = _filed_at(opened, entry) - accepted
    links = _links(opened, entry)
    report(f"filed {took:.1f} s after the SMTP server's 250\n")
    report(f"  inbox item   {links['item_url']}")
    report(f"  flow run     {links['run_url']}")
    report(f"  everything   .venv/bin/mailroom trace {message_id}")
    report(f"  quarantine   {up['api_url']}/quarantine")
    return {"message_id": message_id, "state": entry.state, "seconds": round(took, 2)} | links


def _send_batch(
    opened: Opened, up: dict[str, Any], mails: int, report: Callable[[str], None], *, quiet: bool
) -> dict[str, Any]:
    """Send a batch, show its delivery events, and return its outcome."""
    api, began = ApiClient(up["api_url"], up["api_key"]), time.monotonic()
    batch_id = _demo_batch.submit(api, mails)
    report(f"\n{mails} mails submitted to the API as batch {batch_id}; SES reports the outcome of each")
    with nullcontext(_nowhere) if quiet else _demo_batch.showing(mails) as show:
        statuses = _demo_batch.follow(api, batch_id, mails=mails, show=show)
    took = time.monotonic() - began
    page = opened.message_reader.messages(None, recipient=None, batch_id=batch_id, statuses=[], after=None, limit=mails)
    run_url = _run_that_sent(opened, page.lines[0].id)
    links = {"batch_url": f"{up['api_url']}/batches/{batch_id}", "run_url": run_url}
    report(f"all outcomes reported {took:.1f} s after submission\n")
    for line in _demo_batch.table(page.lines):
        report(line)
    report(f"\n  batch        {links['batch_url']}")
    report(f"  flow run     {links['run_url']}")
    report(f"  everything   .venv/bin/mailroom trace {batch_id}")
    return {"id": batch_id, "statuses": statuses, "seconds": round(took, 2)} | links


def _bounce(opened: Opened, up: dict[str, Any], report: Callable[[str], None]) -> dict[str, Any]:
    """Send one message by SMTP that comes back as a bounce by mail, and show what it became."""
    api, door = ApiClient(up["api_url"], up["api_key"]), (up["smtp_host"], up["smtp_port"])
    line = _demo_bounce.send_and_return(opened, api, door)
    facts = _demo_bounce.facts_of(opened, line.id)
    report("\none more message by SMTP: its relay accepted it, and returned it by mail to its return path")
    report(
        f"  {line.status:<12} {line.to.address}, now suppressed; origin: {facts.get('origin')}, {facts.get('status')}"
    )
    report(f"  message      .venv/bin/mailroom trace {line.id}")
    report(f"  its report   .venv/bin/mailroom trace {facts.get('email')}")
    return {"message_id": line.id, "status": line.status, "email_id": facts.get("email")}


def _nowhere(_: Mapping[str, int]) -> None:
    """Show nothing."""


def _run_that_sent(opened: Opened, message_id: str) -> str:
    """Return the URL of the run that sent a message."""
    run_id = run_of(opened.message_reader.activities(None, message_id) or [])
    run = opened.runs.find(run_id) if run_id else None
    return run.url if run else ""


def _running(report: Callable[[str], None]) -> dict[str, Any]:
    """Return the state of the running stack, after starting it if it does not run."""
    if stack.status()["state"] != "ready":
        report("starting the embedded stack (the first start takes about a minute)")
        background.up_detached(report)
    up = running_stack()
    if up is None:
        raise PermanentError("the stack is not running; see `mailroom status`")
    return up


def _send(up: dict[str, Any]) -> str:
    """Mail the sample with a plain SMTP client; return the message id in the server's response, in SES's form."""
    mail = EmailMessage()
    mail["From"] = "Scanner 3rd floor <scanner@office.test>"
    mail["To"] = TO
    mail["Subject"] = "Scan: delivery note 2026-1142"
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain="office.test")
    mail.set_content("One page was scanned.\n\nThe document is attached.\n")
    mail.add_attachment(_SCAN.read_bytes(), maintype="application", subtype="pdf", filename=_SCAN.name)
    with smtplib.SMTP(up["smtp_host"], up["smtp_port"], timeout=30) as smtp:
        smtp.ehlo()
        smtp.mail("scanner@office.test")
        smtp.rcpt(TO)
        code, answer = smtp.data(mail.as_bytes(policy=SMTP_LINES))
    if code != 250:
        raise PermanentError("the SMTP server did not accept the mail", code=code)
    return answer.decode().split()[-1]


def _follow(opened: Opened, message_id: str, report: Callable[[str], None]) -> Entry:
    """Print each new state of the mail and its run until it is filed."""
    values: set[str] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        entry = opened.ledger.find(message_id)
        for line in _states(opened, entry):
            if line not in values:
                values.add(line)
                report(f"  {line}")
        if entry is not None and entry.state in FINAL and entry.run_id and _has_ended(opened, entry.run_id):
            if entry.state is not State.FILED:
                raise PermanentError("the mail was not filed", state=entry.state, reason=entry.reason)
            _show_steps(opened, entry.run_id, report)
            return entry
        time.sleep(0.05)
    raise PermanentError(
        "the mail was not filed in time; see `mailroom status` and the worker's log", seconds=_PATIENCE_S
    )


def _states(opened: Opened, entry: Entry | None) -> list[str]:
    """Return the current states of the mail and its run, a line each."""
    if entry is None:
        return []
    run = _run(opened, entry.run_id)
    values = [f"flow run   {run.state}"] if run else []
    return [*values, f"ledger     {entry.state}"]


def _run(opened: Opened, run_id: str | None) -> Run | None:
    """Return the run, or None if it cannot be read now; a later attempt may succeed."""
    try:
        return opened.runs.find(run_id) if run_id else None
    except TransientError:
        return None


def _has_ended(opened: Opened, run_id: str) -> bool:
    run = _run(opened, run_id)
    return run is not None and run.state in ("Completed", "Failed", "Crashed", "Cancelled")


def _show_steps(opened: Opened, run_id: str, report: Callable[[str], None]) -> None:
    """Print the run's tasks; the server records them shortly after they ran."""
    deadline = time.monotonic() + 5
    while not (steps := list(opened.runs.tasks(run_id))) or any(state != "Completed" for _, state in steps):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    report("  steps      " + ", ".join(name.rpartition("-")[0] or name for name, _ in steps))


def _filed_at(opened: Opened, entry: Entry) -> float:
    return datetime.fromisoformat(opened.ledger.trace(entry.id)["email"]["closed_at"]).timestamp()


def _links(opened: Opened, entry: Entry) -> dict[str, str]:
    item = opened.ledger.trace(entry.id)["items"][0]["id"]
    run = opened.runs.find(entry.run_id) if entry.run_id else None
    return {"item_url": f"{opened.settings.api_url}/items/{item}", "run_url": run.url if run else ""}
