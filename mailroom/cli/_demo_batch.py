"""The demo's batch: most of its mails are delivered; some bounce, are delayed, opened, clicked or complained about.

Each outcome is in the address, for `mailroom.sandbox.stand_ins.ses_events`. Bounces and complaints are few and spread
evenly, so no circuit breaker opens: at its hundredth mail a batch has five hard bounces and one complaint.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Column

from mailroom.cli._api_client import ApiClient
from mailroom.cli._app import say
from mailroom.domain.errors import PermanentError
from mailroom.domain.outbound.message import OPEN, Status
from mailroom.ports.message_reader import MessageLine

#: Shows the number of mails by status.
Show = Callable[[Mapping[str, int]], None]

_PATIENCE_S = 90
_PAUSE_S = 0.2
#: Width of a terminal, in columns, that has room for a bar beside the counts.
_WIDE = 120
#: Statuses without a delivery event. `deferred` is the provider's here: the recipient's server asks to wait.
_AWAITED = (OPEN | {Status.DISPATCHED}) - {Status.DEFERRED}
_WORDS = {
    "subject": "Your order {{ number }}",
    "text": "Dear {{ name }},\n\nyour order {{ number }} is on its way.\n",
}


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """The outcome of every nth message, starting at `first`; `word` in the address selects it in the sandbox."""

    word: str
    every: int
    first: int
    status: Status
    shown: str


#: No two match the same mail: their last digits differ.
_SPECIAL_OUTCOMES = (
    MailOutcome("open", 10, 5, Status.OPENED, "read"),
    MailOutcome("click", 20, 3, Status.CLICKED, "read, and a link clicked"),
    MailOutcome("delay", 50, 39, Status.DEFERRED, "the recipient's server deferred it; SES retries"),
    MailOutcome("softbounce", 50, 24, Status.BOUNCED, "mailbox full"),
    MailOutcome("bounce", 20, 7, Status.BOUNCED, "no such mailbox; suppressed from now on"),
    MailOutcome("complaint", 100, 50, Status.COMPLAINED, "reported as spam; suppressed from now on"),
)
_ARRIVES = MailOutcome("user", 1, 0, Status.DELIVERED, "in the inbox")


def outcomes(mails: int) -> list[MailOutcome]:
    """Return the outcome of each mail of a batch of `mails`, in order."""
    return [
        next((outcome for outcome in _SPECIAL_OUTCOMES if at % outcome.every == outcome.first), _ARRIVES)
        for at in range(mails)
    ]


def submit(api: ApiClient, mails: int) -> str:
    """Submit a new batch of `mails` messages, and return its id.

    Each batch has a new tenant: a tenant with three such batches a day would be stopped for its complaints.
    """
    people = [
        {"to": f"{outcome.word}+{at}@users.test", "data": {"name": f"customer {at}", "number": 1000 + at}}
        for at, outcome in enumerate(outcomes(mails))
    ]
    body = json.dumps({"template": _WORDS, "recipients": people}).encode()
    tenant = f"demo-{secrets.token_hex(4)}"
    answer = api.submit(body, key=str(uuid4()), tenant=tenant, dry_run=False, sent=lambda _: None).answer
    return str(answer["id"])


def follow(api: ApiClient, batch_id: str, *, mails: int, show: Show, patience_s: float = _PATIENCE_S) -> dict[str, int]:
    """Show a batch's counts by status until each mail has its expected outcome, and return them.

    Raises:
        PermanentError: some had none in time.
    """
    expected = Counter(outcome.status.value for outcome in outcomes(mails))
    deadline = time.monotonic() + patience_s
    while True:
        statuses: dict[str, int] = {name: count for name, count in api.batch(batch_id)["statuses"].items() if count}
        show(statuses)
        if statuses == expected:
            return statuses
        if time.monotonic() > deadline:
            raise PermanentError(
                "the batch did not finish in time; see `mailroom trace` with its id, `mailroom breakers`, "
                "`mailroom status` and the worker's log",
                batch_id=batch_id,
                seconds=patience_s,
                **statuses,
            )
        time.sleep(_PAUSE_S)


@contextmanager
def showing(mails: int) -> Iterator[Show]:
    """Yield a function that shows progress: one updating line on a terminal, else a line for each change."""
    console = Console()
    if not console.is_terminal:
        yield _lines(mails)
        return
    done = MofNCompleteColumn(table_column=Column(min_width=7, no_wrap=True))
    counts = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
    wide = [BarColumn(bar_width=20)] if console.width >= _WIDE else []
    with Progress(*wide, done, counts, console=console) as bar:
        task = bar.add_task("", total=mails)
        yield lambda statuses: bar.update(task, completed=_came_back(statuses), description=_counts(statuses))


def table(lines: Sequence[MessageLine]) -> Iterator[str]:
    """Yield a table of these messages: a line for each outcome with its count."""
    counts = Counter((line.status, line.to.address.partition("+")[0]) for line in lines)
    yield f"  {'outcome':<12} {'mails':>5}  recipients"
    for outcome in (_ARRIVES, *_SPECIAL_OUTCOMES):
        if count := counts[outcome.status, outcome.word]:
            yield f"  {outcome.status:<12} {count:>5}  {f'{outcome.word}+N@users.test':<26} {outcome.shown}"


def _lines(mails: int) -> Show:
    last = ""

    def show(statuses: Mapping[str, int]) -> None:
        nonlocal last
        line = f"  {_came_back(statuses):>3} of {mails} done: {_counts(statuses)}"
        if line != last:
            say(line)
            last = line

    return show


def _came_back(statuses: Mapping[str, int]) -> int:
    return sum(count for name, count in statuses.items() if name not in _AWAITED)


def _counts(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{statuses[status]} {status}" for status in Status if status in statuses)
