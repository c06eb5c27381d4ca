"""A soak: half an hour of mail, batches, events and schedules, while workers, PostgreSQL and Prefect are restarted.

`python -m mailroom.sandbox.drills.soak --minutes 30`, or `make soak MINUTES=30`. It starts a temporary stack and deletes it at
the end; other stacks are not touched. Afterwards nothing may wait, `mailroom check` must find nothing (mail, archive,
schedules and logs), `mailroom archive verify` must fail nothing, and no process may have more than 1.10 times the memory of its first quarter. Exit code 1 means that a bound
does not hold, with a line for each. A soak that is too short to judge memory reports that.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
import psycopg
from botocore.exceptions import BotoCoreError, ClientError

from mailroom.audit.batches import Submissions
from mailroom.domain.outbound.message import UNDER_WAY
from mailroom.operations.loops import wait_until
from mailroom.sandbox.drills.drill_archive import archive_of_drill
from mailroom.sandbox.drills.drill_stack import ANNA, BOB, DrillStack
from mailroom.sandbox.drills.soak_load import Load
from mailroom.sandbox.drills.soak_memory import Memory, sampled
from mailroom.sandbox.drills.soak_outcome import SoakOutcome
from mailroom.sandbox.drills.soak_prefect import SoakPrefect
from mailroom.sandbox.drills.soak_stack import RESTARTED_WORKER, Say, SoakStack, soak_stack
from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.folder import DataFolder
from mailroom.settings import CHECKOUT

#: Known log entries of a soak, besides those of a healthy installation.
KNOWN = Path(__file__).with_name("soak_logs.toml")

#: The restarts: when, as a share of the soak, and which part; one worker is killed. PostgreSQL and Prefect come first, so
#: that each then runs for most of the soak, and each quarter of that time has a worker's restart.
_PLAN = (
    (0.08, "prefect"),
    (0.16, "postgres"),
    (0.30, RESTARTED_WORKER),
    (0.40, RESTARTED_WORKER),
    (1 / 2, RESTARTED_WORKER),
    (2 / 3, RESTARTED_WORKER),
    (5 / 6, RESTARTED_WORKER),
)
_KILLED_AT = 1 / 2
#: Each schedule is set to run at least this often in one soak.
_RUNS_OF_A_SCHEDULE = 6

#: A killed worker's mails are leased by another after a minute, its messages are unknown after two and a sweep.
_DRAIN_PATIENCE_S = 420.0
#: After a restart connections are made again, and the first calls may still fail.
_SETTLING_S = 30.0
_KILL_PATIENCE_S = 20.0
#: The longest time from a message's lease to its sending.
_IN_HAND = timedelta(minutes=1)
_PAUSE_S = 0.25

_QUEUES = ("inbound", "mailbox", "tracking")


class Soak:
    """One soak on a running stack."""

    def __init__(self, stack: SoakStack, drill_stack: DrillStack, *, minutes: float, say: Say) -> None:
        self.outcome = SoakOutcome(minutes, planned=dict(Counter(part for _, part in _PLAN)))
        self._stack, self._drill_stack, self._say = stack, drill_stack, say
        self._prefect = SoakPrefect(stack.facts["prefect_api_url"])
        self._memory = Memory()
        self._disturbed_until = 0.0
        #: When a message may have become unknown: its worker was killed, or could not note what became of it.
        self._excused: list[tuple[datetime, datetime]] = []
        self._load = Load(drill_stack, lambda: time.monotonic() < self._disturbed_until)

    def hold(self) -> SoakOutcome:
        """Run for the time, restart parts by plan, drain, and return the outcome."""
        self._prefect.quicken(at_most_s=self.outcome.minutes * 60 / _RUNS_OF_A_SCHEDULE)
        began = time.monotonic()
        with sampled(self._memory, self._stack.pids), self._loading() as thread:
            self._live(began, thread)
        self._drain()
        self.outcome.memory = self._memory.growths(restarted=self._stack.restarts, began=began)
        self._note()
        self._check()
        return self.outcome

    @contextmanager
    def _loading(self) -> Iterator[threading.Thread]:
        thread = threading.Thread(target=self._load.run, name="load", daemon=True)
        thread.start()
        try:
            yield thread
        finally:
            self._load.stop.set()
            thread.join(timeout=60)

    def _live(self, began: float, load: threading.Thread) -> None:
        seconds, plan, minute = self.outcome.minutes * 60, list(_PLAN), 1
        while (passed := time.monotonic() - began) < seconds or plan:
            if plan and passed >= plan[0][0] * seconds:
                self._restart(*plan.pop(0))
            if passed >= minute * 60:
                self._progress(minute)
                minute += 1
            if not load.is_alive():
                raise StackError("the load ended unexpectedly; see the traceback above")
            if ended := self._stack.ended():
                raise StackError("; ".join(ended))
            time.sleep(_PAUSE_S)

    def _restart(self, share: float, part: str) -> None:
        kill, since = share == _KILLED_AT, datetime.now(UTC) - _IN_HAND
        if kill:
            self.outcome.kill_met_work = self._wait_at_work(part)
        # The load counts refused requests separately from here on until all have reconnected.
        self._disturbed_until = float("inf") if part != RESTARTED_WORKER else self._disturbed_until
        away_s = self._stack.restart(part, kill=kill)
        if part != RESTARTED_WORKER:
            self._disturbed_until = time.monotonic() + _SETTLING_S
        if kill or part == "postgres":
            self._excused.append((since, datetime.now(UTC)))
        self.outcome.made[part] = self.outcome.made.get(part, 0) + 1
        self.outcome.away_s[part] = max(away_s, self.outcome.away_s.get(part, 0))
        self._say(f"{part} was {'killed' if kill else 'stopped'} and restarted; down for {away_s:.1f} s")

    def _wait_at_work(self, worker: str) -> bool:
        """Wait until this worker processes a mail; return whether it does in time."""
        mine = "select 1 from inbound_email where state = 'processing' and worker like %s limit 1"
        pid = self._stack.pids()[worker]
        return wait_until(lambda: self._drill_stack.ask(mine, f"%-{pid}"), within_s=_KILL_PATIENCE_S, every_s=0.02)

    def _progress(self, minute: int) -> None:
        load, left = self._load, {what: count for what, count in self._backlog().items() if count}
        faults = f", {load.faults.total()} faults" if load.faults else ""
        waiting = ", ".join(f"{count} {what}" for what, count in left.items()) or "nothing"
        self._say(
            f"minute {minute}: {len(load.sent)} mails, {len(load.batches)} batches{faults}; in progress: {waiting}"
        )

    def _drain(self) -> None:
        """Wait until nothing is in progress."""
        began = time.monotonic()
        while any((left := self._backlog()).values()) and time.monotonic() - began < _DRAIN_PATIENCE_S:
            if ended := self._stack.ended():
                raise StackError("; ".join(ended))
            time.sleep(1)
        self.outcome.backlog, took_s = left, time.monotonic() - began
        self.outcome.drained_s = None if any(left.values()) else took_s
        self._say(f"the load has ended; {sum(left.values())} still waiting after {took_s:.0f} s")

    def _backlog(self) -> dict[str, int]:
        """Return the numbers of what is in progress, by kind."""
        try:
            ask = self._drill_stack.ask
            ends = dict(ask("select message_id, state from inbound_email"))
            [[messages]] = ask(
                "select count(*) from message where status = any(%s)", [status.value for status in UNDER_WAY]
            )
            [[orders]] = ask("select count(*) from outbox where published_at is null or begun_at is null")
            sent = list(self._load.sent)
            return {
                "mails": sum(ends.get(one.message_id) != one.state for one in sent),
                **{f"in the {queue} queue": self._drill_stack.depth(queue) for queue in _QUEUES},
                "messages": messages,
                "orders of batches": orders,
                "runs": self._prefect.under_way(),
            }
        except (httpx.HTTPError, psycopg.OperationalError, BotoCoreError, ClientError) as error:
            return {f"unknown, a part cannot be reached ({type(error).__name__})": 1}

    def _note(self) -> None:
        load, outcome = self._load, self.outcome
        events = self._drill_stack.ask("select kind, count(*) from activity where event_id is not null group by kind")
        outcome.counts = {
            "mails": len(load.sent),
            **{name: load.counts[name] for name in ("viruses", "batches ahead", "orders", "requests")},
            "batches": len(load.batches),
            "messages in them": sum(load.batches.values()),
            "delivery events": sum(times for _, times in events),
            "refused during a restart": load.counts["refused during a restart"],
        }
        outcome.statuses = dict(
            self._drill_stack.ask("select status, count(*) from message group by status order by 1")
        )
        outcome.scheduled, outcome.failed_runs = self._prefect.completed(), self._prefect.failed()
        outcome.faults += self._stack.slow
        outcome.faults += [f"{times} times: {what}" for what, times in load.faults.items()]
        sent = [at for (at,) in self._drill_stack.ask("select handed_at from message where status = 'unknown'")]
        odd = [at for at in sent if not any(since <= at <= until for since, until in self._excused)]
        if odd:
            outcome.faults.append(f"{len(odd)} messages are unknown, but no worker was killed while sending them")

    def _check(self) -> None:
        """Run `mailroom check` with the counts of both ends and the logs, and `mailroom archive verify`."""
        file = self._drill_stack.folder / "received.jsonl"
        Submissions(self._load.batches, Counter(self._prefect.received(self._stack.facts["aws_endpoint"]))).write(file)
        logs = str(self._stack.folder.logs)
        self.outcome.found = self._drill_stack.check("--batches", str(file), "--logs", logs)
        self.outcome.archive = self._drill_stack.verify_archive()


def soak(*, minutes: float, say: Say) -> SoakOutcome:
    """Run a stack for the time of a soak, and return the outcome; logs are kept if it is not clean."""
    with tempfile.TemporaryDirectory(prefix="mailroom-soak-") as folder:
        drill_stack = DrillStack(Path(folder) / "stack", random.Random(0), known=KNOWN)
        drill_stack.folder.mkdir(mode=0o700)
        clean = False
        try:
            with (
                archive_of_drill(drill_stack.folder) as drill_stack.chosen,
                soak_stack(drill_stack.folder, say, drill_stack.chosen) as stack,
            ):
                drill_stack.facts = stack.facts
                for address, tenant, user in ((ANNA, "acme", "anna"), (BOB, "globex", "bob")):
                    drill_stack.mailroom("address", "add", address, "--tenant", tenant, "--user", user)
                outcome = Soak(stack, drill_stack, minutes=minutes, say=say).hold()
                clean = outcome.is_clean
        finally:
            if not clean:
                _keep_logs(drill_stack.folder / "logs", say)
            DataFolder(drill_stack.folder).wipe()
    return outcome


def _keep_logs(logs: Path, say: Say) -> None:
    kept = CHECKOUT / ".cache" / "soak-logs"
    shutil.rmtree(kept, ignore_errors=True)
    if logs.is_dir():
        shutil.copytree(logs, kept)
        say(f"the logs are in {kept}")


def main() -> int:
    """Run a soak and print its table; return 1 if a bound does not hold."""
    parser = argparse.ArgumentParser(prog="python -m mailroom.sandbox.drills.soak", description=__doc__)
    parser.add_argument("--minutes", type=_minutes, default=30.0, help="duration of the load in minutes; 30 by default")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        outcome = soak(minutes=arguments.minutes, say=_say)
    except KeyboardInterrupt:
        _say("interrupted: everything was stopped; the soak proves nothing")
        return 130
    except StackError as error:
        _say(f"soak: {error}")
        return 1
    print(json.dumps(outcome.as_json(), indent=1) if arguments.json else "\n".join(outcome.table()), flush=True)
    for reason in outcome.reasons():
        _say(f"not clean: {reason}")
    if outcome.unjudged:
        _say(f"memory of {outcome.unjudged} was NOT judged: this needs a soak of 30 minutes")
    if outcome.is_clean:
        _say("clean: nothing lost, no duplicates, no backlog, no unknown log lines")
    return 0 if outcome.is_clean else 1


def _minutes(word: str) -> float:
    minutes = float(word)
    if not 1 <= minutes <= 24 * 60:
        raise argparse.ArgumentTypeError("1 to 1440 minutes")
    return minutes


def _interrupt(_number: int, _frame: FrameType | None) -> Any:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
