"""The demo's batch: most of its mails arrive, some bounce, are delayed, opened, clicked or complained of.

What becomes of each is in its address, as `mailroom.sandbox.stand_ins.ses_events` plays it. They are spread so evenly, and so few,
that no circuit breaker opens: at its hundredth mail a batch has five hard bounces and one complaint.
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

#: Shows how many mails have come to what.
Show = Callable[[Mapping[str, int]], None]

_PATIENCE_S = 90
_PAUSE_S = 0.2
#: Columns of a terminal that has room for a bar beside the counts.
_WIDE = 120
#: Nothing came back yet. `deferred` is the provider's here: their server asks to wait.
_AWAITED = (OPEN | {Status.DISPATCHED}) - {Status.DEFERRED}
_WORDS = {
    "subject": "Your order {{ number }}",
    "text": "Dear {{ name }},\n\nyour order {{ number }} is on its way.\n",
}


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """What becomes of every so manieth mail, from one on; the word in its address asks the sandbox for it."""

    word: str
    every: int
    first: int
    status: Status
    told: str


#: No two meet: their last digits differ.
_FATES = (
    MailOutcome("open", 10, 5, Status.OPENED, "read"),
    MailOutcome("click", 20, 3, Status.CLICKED, "read, and a link followed"),
    MailOutcome("delay", 50, 39, Status.DEFERRED, "their server asks to wait; SES keeps trying"),
    MailOutcome("softbounce", 50, 24, Status.BOUNCED, "mailbox full"),
    MailOutcome("bounce", 20, 7, Status.BOUNCED, "no such mailbox; suppressed from now on"),
    MailOutcome("complaint", 100, 50, Status.COMPLAINED, "called spam; suppressed from now on"),
)
_ARRIVES = MailOutcome("user", 1, 0, Status.DELIVERED, "in their inbox")


def outcomes(mails: int) -> list[MailOutcome]:
    """Return what becomes of each mail of a batch of so many, in order."""
    return [next((fate for fate in _FATES if at % fate.every == fate.first), _ARRIVES) for at in range(mails)]


def submit(api: ApiClient, mails: int) -> str:
    """Hand over a new batch of so many mails, and return its id.

    Its tenant is its own: somebody with three such batches a day would rightly be stopped for the complaints.
    """
    people = [
        {"to": f"{fate.word}+{at}@users.test", "data": {"name": f"customer {at}", "number": 1000 + at}}
        for at, fate in enumerate(outcomes(mails))
    ]
    body = json.dumps({"template": _WORDS, "recipients": people}).encode()
    tenant = f"demo-{secrets.token_hex(4)}"
    answer = api.submit(body, key=str(uuid4()), tenant=tenant, dry_run=False, sent=lambda _: None).answer
    return str(answer["id"])


def follow(api: ApiClient, batch_id: str, *, mails: int, show: Show, patience_s: float = _PATIENCE_S) -> dict[str, int]:
    """Show how many of a batch came to what until each has come to its end, and return that.

    Raises:
        PermanentError: some did not in time.
    """
    expected = Counter(fate.status.value for fate in outcomes(mails))
    deadline = time.monotonic() + patience_s
    while True:
        statuses: dict[str, int] = {name: count for name, count in api.batch(batch_id)["statuses"].items() if count}
        show(statuses)
        if statuses == expected:
            return statuses
        if time.monotonic() > deadline:
            raise PermanentError(
                "the batch did not come to its ends in time; see `mailroom trace` of it, `mailroom breakers`, "
                "`mailroom status` and the worker's log",
                batch_id=batch_id,
                seconds=patience_s,
                **statuses,
            )
        time.sleep(_PAUSE_S)


@contextmanager
def showing(mails: int) -> Iterator[Show]:
    """Yield what shows how a batch stands: one line that moves, or where nobody looks a line for each change."""
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
    """Yield what these messages have come to and why, a line for each outcome."""
    counts = Counter((line.status, line.to.address.partition("+")[0]) for line in lines)
    yield f"  {'outcome':<12} {'mails':>5}  recipients"
    for fate in (_ARRIVES, *_FATES):
        if count := counts[fate.status, fate.word]:
            yield f"  {fate.status:<12} {count:>5}  {f'{fate.word}+N@users.test':<26} {fate.told}"


def _lines(mails: int) -> Show:
    told = ""

    def show(statuses: Mapping[str, int]) -> None:
        nonlocal told
        line = f"  {_came_back(statuses):>3} of {mails} came back: {_counts(statuses)}"
        if line != told:
            say(line)
            told = line

    return show


def _came_back(statuses: Mapping[str, int]) -> int:
    return sum(count for name, count in statuses.items() if name not in _AWAITED)


def _counts(statuses: Mapping[str, int]) -> str:
    return ", ".join(f"{statuses[status]} {status}" for status in Status if status in statuses)
