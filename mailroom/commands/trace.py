"""One e-mail end to end: object, run, archive receipts, inbox items, and what happened when.

ID is any id of it: SES's message id, the ledger's, an inbox item's or a flow run's.
"""

import json
from typing import Annotated, Any

import typer

from mailroom.cli import AsJson, say
from mailroom.commands._opening import Opened
from mailroom.domain.errors import ConfigurationError, MailroomError

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)


@app.command()
def trace(
    any_id: Annotated[str, typer.Argument(metavar="ID", help="Any id of the e-mail.")], as_json: AsJson = False
) -> None:
    """One e-mail end to end: object, run, archive receipts, inbox items, and what happened when."""
    opened = Opened()
    entry = opened.ledger.find(any_id)
    if entry is None:
        raise ConfigurationError(f"nothing is known of {any_id}; `mailroom trace` takes any id of a received e-mail")
    found = opened.ledger.trace(entry.id)
    found["run"] = _run(opened, entry.run_id)
    if as_json:
        say(json.dumps(found, indent=1, ensure_ascii=False))
    else:
        _show(found, opened.settings.api_url)


def _run(opened: Opened, run_id: str | None) -> dict[str, Any] | None:
    """Return the run and its tasks, or what keeps it from being told."""
    if run_id is None:
        return None
    try:
        run = opened.runs.find(run_id)
        if run is None:
            return {"id": run_id, "state": "not on the Prefect server any more"}
        tasks = [{"name": name, "state": state} for name, state in opened.runs.tasks(run_id)]
    except MailroomError as error:
        return {"id": run_id, "state": f"unknown: {error}"}
    return {"id": run.id, "state": run.state, "url": run.url, "tasks": tasks}


def _show(found: dict[str, Any], api_url: str) -> None:
    email, run = found["email"], found["run"]
    say(f"e-mail    {email['id']}  {email['state']}" + (f" ({email['reason']})" if email["reason"] else ""))
    say(f"object    s3://{email['bucket']}/{email['key']}")
    if email["envelope"]:
        say(f"envelope  {email['envelope']['sender']} -> {', '.join(email['envelope']['recipients'])}")
        verdicts = email["envelope"]["verdicts"]
        say("verdicts  " + " ".join(f"{check}={word}" for check, word in verdicts.items() if word))
    if run:
        say(f"run       {run['state']}  {run.get('url', run['id'])}")
        for task in run.get("tasks", []):
            say(f"          {task['state']:<10} {task['name']}")
    for kept in found["deposits"]:
        say(
            f"deposit   {kept['archive_id']}  {kept['size']} bytes, {kept['lock_mode']} until {kept['retain_until'][:10]}"
        )
    for item in found["items"]:
        say(f"item      {api_url}/items/{item['id']}  for {item['recipient']} ({item['tenant']})")
        for part in item["attachments"]:
            say(f"          {part['number']}. {part['filename']}  {part['size']} bytes  {part['sha256'][:12]}")
    for activity in found["activities"]:
        facts = {name: value for name, value in activity["facts"].items() if name != "routes"}
        told = " ".join(f"{name}={value}" for name, value in facts.items())
        say(f"{activity['at'][:23]}  {activity['kind']:<12} {told}")
