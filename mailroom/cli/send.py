"""Send a template to every recipient in a CSV or JSON file; --dry-run shows a preview, --wait follows the batch.

\b
FILE has a column `to`; the other columns fill the template:
    to,name,total
    ada@users.test,Ada,12.50
    Bob Moore <bob@users.test>,Bob,7.00

\b
The template starts with the subject; an .html file is HTML, and its data is escaped:
    Subject: Your invoice, {{ name }}
\b
    Dear {{ name }}, please pay {{ total }} EUR.

\b
    mailroom send people.csv --template letter.txt --from desk@acme.test --dry-run
    mailroom send people.csv --template letter.txt --from desk@acme.test --wait

In a CSV, `reference` distinguishes two mails to one recipient. JSON is an array of objects with the same names. A template
in JSON is the API's, with attachments and headers. One invalid row rejects the whole batch: nothing is submitted.
Uses the API of MAILROOM_API_URL and MAILROOM_API_KEY, by default the stack on this machine.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from mailroom.cli._api_client import ApiClient, api_client, faults_of
from mailroom.cli._app import AsJson, say
from mailroom.cli._recipients_file import Row, recipients, template
from mailroom.cli._times import at as moment
from mailroom.domain.errors import ConfigurationError, Fault, Unacceptable
from mailroom.domain.outbound.message import UNDER_WAY, SendingStage, Status
from mailroom.domain.readable import shown, size, when

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

_MOST_SHOWN = 20
#: The most messages whose reasons are printed after `--wait`, and their statuses.
_MOST_EXPLAINED = 100
_WRONG = tuple(
    status for status in Status if status.stage in (SendingStage.REFUSED, SendingStage.UNKNOWN, SendingStage.HELD)
)


@app.command(help=__doc__)
def send(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Recipients, CSV or JSON.")],
    template_file: Annotated[
        Path, typer.Option("--template", metavar="T", help="Subject and text of the mail: .txt, .html or .json.")
    ],
    sender: Annotated[
        str | None, typer.Option("--from", help="From address; by default the one in the settings.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="When to send: 2026-11-23T08:00 (UTC), or in 90m, 2h, 3d.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show a preview; submit nothing.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until every message was sent.")] = False,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key and files are submitted only once.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant to send for, with an administrator's key.")] = None,
    as_json: AsJson = False,
) -> None:
    rows, words = recipients(file), template(template_file)
    send_at = moment(at)
    request = {
        "template": words,
        "recipients": [row.recipient for row in rows],
        "from": sender,
        "send_at": send_at.isoformat() if send_at else None,
    }
    body = json.dumps({name: value for name, value in request.items() if value is not None}).encode()
    api = api_client()
    with _bar("submitting", len(body)) as (bar, task):
        try:
            handed = api.submit(
                body,
                key=key or str(uuid4()),
                tenant=tenant,
                dry_run=dry_run,
                sent=lambda done: bar.update(task, completed=done),
            )
        except Unacceptable as error:
            bar.stop()
            _complain(file, rows, error.faults)
            raise ConfigurationError("nothing was submitted; correct the errors above") from None
    if dry_run:
        _preview(handed.answer, file, rows, as_json=as_json)
        return
    if not as_json:
        _show(handed.answer, api.url, repeated=handed.repeated)
    answer = _followed(api, handed.answer["id"]) if wait else handed.answer | {"repeated": handed.repeated}
    wrong = wait and any(answer["statuses"].get(status) for status in _WRONG)
    if as_json:
        say(json.dumps(answer))
    elif wait:
        if wrong:
            _explain(api.messages(answer["id"], _WRONG, limit=_MOST_EXPLAINED))
        say(", ".join(f"{count:,} {status}" for status, count in answer["statuses"].items()))
    if wrong:
        raise typer.Exit(1)


def _show(answer: dict[str, Any], url: str, *, repeated: bool) -> None:
    if repeated:
        say(f"this key was already used: batch {answer['id']}; nothing was submitted again")
    else:
        say(f"{answer['messages']:,} messages submitted as batch {answer['id']}")
        if answer["duplicates"]:
            say(f"{len(answer['duplicates']):,} rows repeat an earlier row and were skipped")
    say(f"follow it at {url}/batches/{answer['id']}, or with `mailroom trace {answer['id']}`")


def _preview(seen: dict[str, Any], file: Path, rows: list[Row], *, as_json: bool) -> None:
    """Print the preview of the batch; exit 1 if it has faults, so that nothing would be sent."""
    faults = faults_of(seen["invalid"])
    if as_json:
        say(json.dumps(seen))
    else:
        _complain(file, rows, faults)
        periods = {name: seen["quota"][name]["left"] for name in ("hour", "day", "month")}
        left = [f"{left:,} left this {name}" for name, left in periods.items() if left is not None]
        done = "unknown" if seen["done_at"] is None else f"{when(seen['done_at'])} at the earliest"
        lines = {
            "mails": f"{seen['messages']:,}",
            "suppressed": _places(seen["suppressed"], rows),
            "duplicates": _places(seen["duplicates"], rows),
            "invalid": f"{len(faults):,}" + (", so nothing would be submitted" if faults else ""),
            "size": size(seen["size"]),
            "quota": f"{seen['quota_cost']:,} of " + (", ".join(left) or "no limit"),
            "starts": when(seen["starts_at"]),
            "done": f"{done}, {_pace(seen['provider'])}",
        }
        for name, value in lines.items():
            say(f"{name:<12} {value}")
        say("dry run: nothing was submitted")
    if faults:
        raise typer.Exit(1)


def _pace(provider: dict[str, Any] | None) -> str:
    """Return what limits the sending rate, for the preview's last line."""
    if provider is None:
        return "limited by the quota; the provider's rate is unknown today"
    if provider["paused"]:
        return f"{provider['name']} is paused"
    values = [f"{provider['per_second']:g} a second" if provider["per_second"] is not None else ""]
    values += [f"{provider['per_day']:,} a day" if provider["per_day"] is not None else ""]
    return f"limited by the quota and {provider['name']}: {', '.join(filter(None, values)) or 'no known limit'}"


def _places(numbers: list[int], rows: list[Row]) -> str:
    if not numbers:
        return "0"
    shown = ", ".join(str(rows[number].number) for number in numbers[:_MOST_SHOWN])
    more = f" and {len(numbers) - _MOST_SHOWN:,} more" if len(numbers) > _MOST_SHOWN else ""
    return f"{len(numbers):,}  (row{'s' if len(numbers) > 1 else ''} {shown}{more})"


def _complain(file: Path, rows: list[Row], faults: Sequence[Fault]) -> None:
    for fault in faults[:_MOST_SHOWN]:
        print(f"{file}, {_place(fault, rows)}: {fault.what}", file=sys.stderr)
    if len(faults) > _MOST_SHOWN:
        print(f"{file}: and {len(faults) - _MOST_SHOWN:,} more", file=sys.stderr)


def _place(fault: Fault, rows: list[Row]) -> str:
    match fault.where:
        case ("recipients", int(number), *_) if number < len(rows):
            return f"row {rows[number].number}"
        case ():
            return "the batch"
    return ".".join(str(part) for part in fault.where)


def _followed(api: ApiClient, batch_id: str) -> dict[str, Any]:
    """Return the batch once none of its messages waits; show progress meanwhile."""
    batch = api.batch(batch_id)
    with _bar("sending", batch["messages"]) as (bar, task):
        try:
            while (left := _left(batch)) > 0:
                bar.update(task, completed=batch["messages"] - left)
                time.sleep(_pause_s(batch))
                batch = api.batch(batch_id)
        except KeyboardInterrupt:
            bar.stop()
            say("sending continues in the background")
            raise typer.Exit(130) from None
        bar.update(task, completed=batch["messages"])
    return batch


def _explain(messages: Sequence[dict[str, Any]]) -> None:
    """Print why messages were not sent or may not have been, and what to do, once for each reason."""
    # What to do names each message: those of one reason are one line.
    same = [one | {"what_to_do": (one.get("what_to_do") or "").replace(str(one.get("id")), "ID")} for one in messages]
    counts = Counter(tuple(one.get(name) for name in ("status", "reason_code", "why", "what_to_do")) for one in same)
    for (status, code, why, remedy), count in counts.items():
        known = f": {why}. What to do: {remedy}." if why else ""
        say(f"{count:,} {status} ({shown(code, 'no reason')}){known}")
    if len(messages) == _MOST_EXPLAINED:
        say(f"of the {_MOST_EXPLAINED} newest; the others are in `GET /v1/messages?batch=ID`")


def _left(batch: dict[str, Any]) -> int:
    """Return how many messages still wait here; `deferred` is ours while it has a next time, the provider's afterwards."""
    waiting = UNDER_WAY if batch["next_at"] else UNDER_WAY - {Status.DEFERRED}
    return sum(batch["statuses"].get(status, 0) for status in waiting)


def _pause_s(batch: dict[str, Any]) -> float:
    if batch["next_at"] is None:
        return 0.5
    until = datetime.fromisoformat(batch["next_at"]) - datetime.now(UTC)
    return min(max(until.total_seconds(), 0.5), 10)


@contextmanager
def _bar(what: str, total: int) -> Iterator[tuple[Progress, TaskID]]:
    """Yield a progress bar on stderr; without a terminal there is none."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%")
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar, bar.add_task(what, total=total)
