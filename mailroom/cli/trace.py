"""Show one e-mail, message or batch end to end: S3 object or provider, flow run, archive receipts, and each event.

ID is any of its ids. For a received e-mail: the id of SES, of the ledger, of an inbox item or of a flow run. For sent
mail: the id of the batch, of the message, or of the provider.
"""

import json
from typing import Annotated, Any

import typer

from mailroom.cli._app import AsJson, say
from mailroom.cli._installation import Opened
from mailroom.domain.errors import ConfigurationError, MailroomError
from mailroom.domain.inbound.reasons import InboundReason
from mailroom.domain.outbound.advice import paused_line
from mailroom.domain.readable import deferred_line, shown
from mailroom.outbound.batch_json import ActivityResponse, batch_response, message_response
from mailroom.outbound.last_run import run_of
from mailroom.ports.message_reader import BatchLine, MessageLine

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

_SHOWN = 20


@app.command(help=__doc__)
def trace(
    any_id: Annotated[str, typer.Argument(metavar="ID", help="Any id of the e-mail, message or batch.")],
    as_json: AsJson = False,
) -> None:
    opened = Opened()
    if (entry := opened.ledger.find(any_id)) is not None:
        history, show = _received(opened, entry.id) | {"run": _run(opened, entry.run_id)}, _show
    elif (batch := opened.message_reader.batch(None, any_id)) is not None:
        history, show = _batch(opened, batch), _show_batch
    else:
        history, show = _sent(opened, any_id), _show_sent
    if as_json:
        say(json.dumps(history, indent=1, ensure_ascii=False))
    else:
        show(history, opened.settings.api_url)


def _received(opened: Opened, email_id: str) -> dict[str, Any]:
    """Return a received e-mail's trace, its reason in both spellings and with what to do."""
    history = opened.ledger.trace(email_id)
    email, activities = history["email"], history["activities"]
    why = {"reason": InboundReason.old_word(email["reason"]), **InboundReason.explain(email["reason"])}
    values = [
        one | {"facts": InboundReason.both_words(one["facts"])} if isinstance(one["facts"], dict) else one
        for one in activities
    ]
    return history | {"email": email | why, "activities": values}


def _sent(opened: Opened, any_id: str) -> dict[str, Any]:
    """Return the messages with this id, ours or a provider's; nearly always one."""
    message = opened.message_reader.message(None, any_id)
    lines = [message] if message else opened.message_reader.by_provider_id(None, any_id, limit=_SHOWN)
    if not lines:
        raise ConfigurationError(f"nothing has the id {any_id}; give an id of a received e-mail, a message or a batch")
    return {"messages": [_message(opened, line) for line in lines]}


def _message(opened: Opened, line: MessageLine) -> dict[str, Any]:
    activities = opened.message_reader.activities(None, line.id) or []
    values = [ActivityResponse.model_validate(activity).model_dump(mode="json") for activity in activities]
    message = message_response(line).model_dump(mode="json")
    return {"message": message, "activities": values, "run": _run(opened, run_of(activities))}


def _batch(opened: Opened, line: BatchLine) -> dict[str, Any]:
    """Return a batch with its first messages; `mailroom trace` of each shows more."""
    page = opened.message_reader.messages(None, recipient=None, batch_id=line.id, statuses=[], after=None, limit=_SHOWN)
    return {
        "batch": batch_response(line).model_dump(mode="json", by_alias=True),
        "messages": [message_response(message).model_dump(mode="json") for message in page.lines],
    }


def _run(opened: Opened, run_id: str | None) -> dict[str, Any] | None:
    """Return the run and its tasks, or why they cannot be read."""
    if run_id is None:
        return None
    try:
        run = opened.runs.find(run_id)
        if run is None:
            return {"id": run_id, "state": "no longer on the Prefect server"}
        tasks = [{"name": name, "state": state} for name, state in opened.runs.tasks(run_id)]
    except MailroomError as error:
        return {"id": run_id, "state": f"unknown: {error}"}
    return {"id": run.id, "state": run.state, "url": run.url, "tasks": tasks}


def _show(history: dict[str, Any], api_url: str) -> None:
    email, run = history["email"], history["run"]
    code = email["reason_code"]
    say(f"e-mail    {email['id']}  {email['state']}" + (f" ({code})" if code else ""))
    _show_why(email)
    _show_report(email)
    say(f"object    s3://{email['bucket']}/{email['key']}")
    if email["envelope"]:
        _show_envelope(email["envelope"])
    if missed := email.get("unrouted"):
        more = f" and {len(missed) - _SHOWN} more" if len(missed) > _SHOWN else ""
        say(f"no route  {', '.join(map(shown, missed[:_SHOWN]))}{more}: add an address with `mailroom address add`")
    if run:
        say(f"run       {run['state']}  {run.get('url', run['id'])}")
        for task in run.get("tasks", []):
            say(f"          {task['state']:<10} {task['name']}")
    for kept in history["deposits"]:
        say(
            f"deposit   {kept['archive_id']}  {kept['size']} bytes, {kept['lock_mode']} until "
            f"{kept['retain_until'][:10]}"
        )
    for item in history["items"]:
        say(f"item      {api_url}/items/{item['id']}  for {item['recipient']} ({item['tenant']})")
        for part in item["attachments"]:
            say(f"          {part['number']}. {part['filename']}  {part['size']} bytes  {part['sha256'][:12]}")
    for activity in history["activities"]:
        known = activity["facts"] if isinstance(activity["facts"], dict) else {"unreadable": activity["facts"]}
        facts = {name: value for name, value in _by_code(known).items() if name != "routes"}
        values = " ".join(f"{name}={value}" for name, value in facts.items())
        say(f"{activity['at'][:23]}  {activity['kind']:<12} {values}")


def _show_report(email: dict[str, Any]) -> None:
    """Print which of our messages the e-mail reports on, if it is a report by mail."""
    facts = email["facts"]
    if isinstance(facts, dict) and "report_of" in facts:
        again = ", as an earlier one did" if facts.get("repeated") else ""
        say(f"report    {facts.get('event')} of message {facts['report_of']}{again}")


def _show_envelope(envelope: Any) -> None:
    try:
        lines = [f"envelope  {envelope['sender']} -> {', '.join(envelope['recipients'])}"]
        lines.append("verdicts  " + " ".join(f"{check}={word}" for check, word in envelope["verdicts"].items() if word))
    except (TypeError, KeyError, AttributeError):
        lines = ["envelope  cannot be read; see --json, and docs/operations.md"]
    for line in lines:
        say(line)


def _show_batch(history: dict[str, Any], api_url: str) -> None:
    batch, messages = history["batch"], history["messages"]
    say(f"batch     {batch['id']}  {batch['messages']:,} messages of {batch['tenant']}, {batch['lane']}")
    say(f"from      {batch['from']}")
    say("statuses  " + ", ".join(f"{count:,} {status}" for status, count in batch["statuses"].items()))
    if batch["paused"]:
        say(f"waiting   {paused_line(batch['paused'])}")
    if batch["deferred"]:
        say(f"waiting   {deferred_line(batch['deferred'], batch['deferred_until'])}")
    for name in ("created_at", "send_at", "expires_at", "cancelled_at", "next_at"):
        if batch[name]:
            say(f"{name.partition('_')[0]:<9} {batch[name]}")
    say(f"page      {api_url}/batches/{batch['id']}")
    for message in messages:
        say(f"message   {message['id']}  {_state(message)}  {message['to']}")
    if batch["messages"] > len(messages):
        say(f"          and {batch['messages'] - len(messages):,} more")
    # Each reason once, about the first of its messages.
    for message in {one["reason_code"]: one for one in reversed(messages) if one["why"]}.values():
        say(f"reason    {_state(message)}")
        _show_why(message)


def _show_sent(history: dict[str, Any], api_url: str) -> None:
    for one in history["messages"]:
        message, run = one["message"], one["run"]
        say(f"message   {message['id']}  {_state(message)}  to {message['to']} ({message['tenant']})")
        _show_why(message)
        say(f"batch     {message['batch_id']}  number {message['number']}")
        if message["provider"]:
            values = shown(message["provider_message_id"], "no provider id")
            say(f"provider  {message['provider']}  {values}, attempt {message['attempts']}")
        if run:
            say(f"run       {run['state']}  {run.get('url', run['id'])}")
        say(f"page      {api_url}/messages/{message['id']}")
        for activity in one["activities"]:
            facts = {"by": activity["actor"], "provider": activity["provider"], **_by_code(activity["facts"])}
            values = " ".join(f"{name}={shown(str(value))}" for name, value in facts.items() if value is not None)
            say(f"{activity['at'][:23]}  {activity['kind']:<12} {values}".rstrip())


def _show_why(line: dict[str, Any]) -> None:
    if line["why"]:
        say(f"why       {line['why']}")
        say(f"do        {line['what_to_do']}")


def _by_code(facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of an activity for people: a reason only by its stable word."""
    if "reason_code" not in facts:
        return facts
    return {
        name: facts["reason_code"] if name == "reason" else value
        for name, value in facts.items()
        if name != "reason_code"
    }


def _state(message: dict[str, Any]) -> str:
    code = message["reason_code"]
    return f"{message['status']} ({shown(code)})" if code else str(message["status"])
