"""Send a template to every recipient in a CSV or JSON file; --dry-run counts, --preview shows a mail, --wait follows.

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
    mailroom send people.csv --template letter.txt --from desk@acme.test --preview 2
    mailroom send people.csv --template letter.txt --from desk@acme.test --test-to you@acme.test
    mailroom send people.csv --template letter.txt --from desk@acme.test --wait
    mailroom send people.csv --template letter.txt --from desk@acme.test --stream weekly-news --unsubscribe

\b
A blank cell is missing, which rejects the batch, unless the template has another word for it. A column `First Name` is
First_Name: blanks and signs become `_`. Filters write amounts and dates for their reader:
    Dear {{ First_Name|default("customer") }}, please pay {{ total|money("EUR", locale="de") }}
    by {{ due|date("long", locale="fr") }}.

A CSV is read as spreadsheets save it: with commas, semicolons or tabs, in UTF-8, UTF-16 or Windows-1252.
In a CSV, `reference` distinguishes two mails to one recipient, and `metadata` is a JSON object of texts by which messages are
found later. JSON is an array of objects with the same names. A template in JSON is the API's, with attachments and headers.
With --unsubscribe each mail has our one-click unsubscribe header; the template shows the same link with {{ unsubscribe_url }}.
With `--attach-column invoice` the column `invoice` names a file for each row, in the folder of FILE; several have `;` between.
One invalid row rejects the whole batch: nothing is submitted. With --key, `--at 2h` counts from the first time.
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
from mailroom.cli._row_files import with_files
from mailroom.cli._times import at as moment
from mailroom.cli._times import duration
from mailroom.cli._trial import OptionalNumber, show_mail, trial_parameters
from mailroom.domain.errors import ConfigurationError, Fault, Unacceptable
from mailroom.domain.outbound.advice import paused_line
from mailroom.domain.outbound.message import UNDER_WAY, SendingStage, Status
from mailroom.domain.readable import deferred_line, shown, size, when

app = typer.Typer(help=__doc__, rich_markup_mode=None, add_completion=False)

_MOST_SHOWN = 20
#: The most messages whose reasons are printed after `--wait`, and their statuses.
_MOST_EXPLAINED = 100
_WRONG = tuple(
    status for status in Status if status.stage in (SendingStage.REFUSED, SendingStage.UNKNOWN, SendingStage.HELD)
)


@app.command(help=__doc__, cls=OptionalNumber)
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
    preview: Annotated[
        int | None,
        typer.Option(min=1, metavar="[N]", help="Show the mail of the Nth recipient (1 by default); submit nothing."),
    ] = None,
    test_to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Send one mail, the first or that of --preview, to this address instead."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every message was sent, or waits for its recipient's server.")
    ] = False,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: the same key and files are submitted only once.")
    ] = None,
    attach_column: Annotated[
        list[str] | None,
        typer.Option(
            "--attach-column",
            metavar="COLUMN",
            help="Attach to each row's mail the file that this column names, in the list's folder; may be repeated.",
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Tenant to send for, with an administrator's key.")] = None,
    stream: Annotated[
        str | None, typer.Option(help="Kind of mail, such as weekly-news: what a recipient leaves by unsubscribing.")
    ] = None,
    unsubscribe: Annotated[
        bool, typer.Option("--unsubscribe", help="Add our one-click unsubscribe link, also as {{ unsubscribe_url }}.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    if dry_run and (preview or test_to is not None):
        raise ConfigurationError("use --dry-run alone; --preview and --test-to may go together")
    rows, words = recipients(file, note=_note), template(template_file)
    rows = _with_files(file, rows, attach_column or [])
    if unsubscribe:
        words.setdefault("unsubscribe", True)
    send_at = moment(at)
    # As it was typed: the time that it means is another each time, and with --key the same request must be the same.
    send_in = at if at is not None and duration(at) is not None else None
    request = {
        "template": words,
        "recipients": [row.recipient for row in rows],
        "from": sender,
        "send_at": send_at.isoformat() if send_at and send_in is None else None,
        "send_in": send_in,
        "stream": stream,
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
                trial=trial_parameters(preview, test_to),
            )
        except Unacceptable as error:
            bar.stop()
            _complain(file, rows, error.faults)
            raise ConfigurationError("nothing was submitted; correct the errors above") from None
    if dry_run:
        _preview(handed.answer, file, rows, as_json=as_json)
        return
    if preview and test_to is None:
        show_mail(handed.answer, rows[preview - 1].number, as_json=as_json)
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
        if answer.get("deferred"):
            say(deferred_line(answer["deferred"], answer["deferred_until"]))
    if wrong:
        raise typer.Exit(1)


def _note(what: str) -> None:
    print(what, file=sys.stderr)


def _show(answer: dict[str, Any], url: str, *, repeated: bool) -> None:
    if repeated:
        say(f"this key was already used: batch {answer['id']}; nothing was submitted again")
    else:
        say(f"{answer['messages']:,} messages submitted as batch {answer['id']}")
        if answer["duplicates"]:
            say(f"{len(answer['duplicates']):,} rows repeat an earlier row and were skipped")
    say(f"follow it at {url}/batches/{answer['id']}, or with `mailroom trace {answer['id']}`")


def _with_files(file: Path, rows: list[Row], columns: list[str]) -> list[Row]:
    """Return the rows with the files that these columns name."""
    try:
        return with_files(file, rows, columns) if columns else rows
    except Unacceptable as error:
        _complain(file, rows, error.faults)
        raise ConfigurationError("nothing was submitted; correct the errors above") from None


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
            "done": f"{done}, {_pace(seen['provider'], has_quota=bool(left))}",
        }
        for name, value in lines.items():
            say(f"{name:<12} {value}")
        say("dry run: nothing was submitted")
    if faults:
        raise typer.Exit(1)


def _pace(provider: dict[str, Any] | None, *, has_quota: bool) -> str:
    """Return what limits the sending rate, for the preview's last line."""
    if provider is None:
        return f"{'limited by the quota; ' if has_quota else ''}the provider's rate is unknown today"
    if provider["paused"]:
        return f"{provider['name']} is paused"
    values = [f"{provider['per_second']:g} a second" if provider["per_second"] is not None else ""]
    values += [f"{provider['per_day']:,} a day" if provider["per_day"] is not None else ""]
    known = ", ".join(filter(None, values)) or "no known limit"
    return f"limited by {'the quota and ' if has_quota else ''}{provider['name']}: {known}"


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
    batch, noted = api.batch(batch_id), None
    with _bar("sending", batch["messages"]) as (bar, task):
        try:
            while (left := _left(batch)) > 0:
                bar.update(task, completed=batch["messages"] - left)
                if (pause := batch.get("paused")) and pause["since"] != noted:
                    noted = pause["since"]
                    bar.console.print(paused_line(pause), markup=False, highlight=False, soft_wrap=True)
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
    """Return how many messages still wait here; `deferred` is ours while it has a next time, the provider's afterwards.

    Those that wait for their recipients' servers, for hours or days, do not count.
    """
    waiting = UNDER_WAY if batch["next_at"] else UNDER_WAY - {Status.DEFERRED}
    return int(sum(batch["statuses"].get(status, 0) for status in waiting) - batch.get("deferred", 0))


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
