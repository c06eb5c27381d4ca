"""Inbound e-mail: the warm worker beside a stock worker, the steps without Prefect, and the ceiling. `make bench`.

Everything is measured in one run on one embedded stack, each row alone: the other worker is stopped meanwhile (SIGSTOP),
so that rows compare. The emulator is moto; its SQS slows down with every message ever queued, so the counts are small.
"""

import json
import os
import signal
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_LINES
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from benchmarks import plain
from mailroom.adapters.aws import clients as aws
from mailroom.adapters.aws.sqs import SqsQueue
from mailroom.adapters.prefect.http import PrefectRuns
from mailroom.domain.inbound.notifications import read_notification
from mailroom.domain.inbound.received_email import Arrival
from mailroom.sandbox.stack.environment import NO_SENDER_LIMIT
from mailroom.sandbox.stack.processes import ProcessId
from mailroom.settings import CHECKOUT, load_settings, use_stack_environment

TO = "ada@mailroom.test"
BACKLOG, STOCK, PACED, EMPTY = 120, 6, 30, 120
_TIMEOUT_S = 240
_END_WITHIN_S = 10

Figure = TypeVar("Figure")


def main() -> None:
    """Measure every row and print the table."""
    with running_stack() as stack:
        rows = measure(stack)
    show(rows)


@contextmanager
def running_stack() -> Iterator[dict[str, Any]]:
    """Run an embedded stack with a mailbox for `TO` in a temporary folder, and yield its `mailroom status`."""
    with tempfile.TemporaryDirectory(prefix="mailroom-bench-") as folder:
        os.environ.update(NO_SENDER_LIMIT, MAILROOM_DATA=folder)
        mailroom("up", "--detach")
        try:
            stack = json.loads(mailroom("status", "--json"))
            use_stack_environment()
            mailroom("address", "add", TO)
            yield stack
        finally:
            mailroom("down", "--wipe")


def measure(stack: dict[str, Any]) -> dict[str, float]:
    """Return every figure of the table by name."""
    worker = next(part["pid"] for part in stack["parts"] if part["name"] == "worker")
    wait_filed(stack, send(stack, 3))
    rows: dict[str, float] = {}
    rows["warm p50"], rows["warm p95"] = report("warm worker, one mail a second: p50, p95", paced(stack))
    rows["warm"] = report(f"warm worker, {BACKLOG} mails waiting: mails/s", backlog(stack, worker))
    with paused(worker):
        register_benchmarks(stack)
        rows["ceiling"] = report(f"{EMPTY} runs of as many empty tasks: runs/s", ceiling(stack))
        arrivals = take_arrivals(stack, send(stack, BACKLOG))
        rows["plain"] = report("without Prefect: mails/s", plain.measure(arrivals, plain.open_ports(load_settings())))
        measured = report(f"stock process worker, {STOCK} mails: mails/s, p50, p95", stock(stack))
        rows["stock"], rows["stock p50"], rows["stock p95"] = measured
    return rows


def paced(stack: dict[str, Any]) -> tuple[float, float]:
    """Send one mail a second; return p50 and p95 of the seconds from the 250 reply to filed."""
    accepted: dict[str, float] = {}
    start = time.time()
    for number in range(PACED):
        time.sleep(max(0.0, start + number - time.time()))
        accepted |= send(stack, 1)
    return latency(stack, accepted)


def backlog(stack: dict[str, Any], worker: int) -> float:
    """Return mails per second from the worker's resumption to the last mail filed."""
    with paused(worker):
        accepted = send(stack, BACKLOG)
    start = time.time()
    return BACKLOG / (max(wait_filed(stack, accepted).values()) - start)


def ceiling(stack: dict[str, Any]) -> float:
    """Return empty runs per second in a warm executor in a separate process."""
    command = [sys.executable, "-m", "benchmarks.ceiling", str(EMPTY)]
    how = {"env": prefect_environment(stack), "cwd": CHECKOUT, "capture_output": True, "check": True}
    ended = subprocess.run(command, timeout=_TIMEOUT_S, **how)  # type: ignore[call-overload]
    return float(json.loads(ended.stdout.splitlines()[-1])["per_second"])


def stock(stack: dict[str, Any]) -> tuple[float, float, float]:
    """Return mails per second of a stock worker with all cores, and p50 and p95 of three single mails."""
    runs = PrefectRuns(api_url=stack["prefect_api_url"], ui_url=stack["prefect_url"], deployment="receive-email/stock")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "stock", "--type", "process"]
    with ending(command, env=prefect_environment(stack)):
        singles: dict[str, float] = {}
        for _ in range(3):
            accepted = send(stack, 1)
            start_all(runs, take_arrivals(stack, accepted))
            wait_filed(stack, accepted)
            singles |= accepted
        accepted = send(stack, STOCK)
        arrivals = take_arrivals(stack, accepted)
        start = time.time()
        start_all(runs, arrivals)
        rate = STOCK / (max(wait_filed(stack, accepted).values()) - start)
        return rate, *latency(stack, singles)


@contextmanager
def ending(command: list[str], *, env: dict[str, str]) -> Iterator[None]:
    """Run a process during a block, and end it with all of its children: a stock Prefect worker may ignore SIGTERM.

    It gives each run a session of its own, so what it started is looked up before it is asked to end.
    """
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen(command, env=env, **quiet)  # type: ignore[call-overload]
    try:
        yield
    finally:
        started = _started_by(process.pid)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_WITHIN_S)
        # Also its children when it ends by itself: it has a separate session.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        for one in started:
            one.signal(signal.SIGKILL)
        process.wait()


def _started_by(pid: int) -> list[ProcessId]:
    """Return all live descendants of a process."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:  # It grows meanwhile.
        found += [child for child, parent in parents.items() if parent == one]
    return [ProcessId.of(one) for one in found[1:]]


def start_all(runs: PrefectRuns, arrivals: list[Arrival]) -> None:
    """Schedule a run for each object."""
    for arrival in arrivals:
        runs.start(arrival.ref)


def register_benchmarks(stack: dict[str, Any]) -> None:
    """Register the pool and the deployments that only the benchmark needs."""
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    run = {"env": prefect_environment(stack), "cwd": CHECKOUT, "check": True, "capture_output": True}
    run["timeout"] = _TIMEOUT_S
    subprocess.run([*prefect, "work-pool", "create", "stock", "--type", "process"], **run)  # type: ignore[call-overload]
    subprocess.run([*prefect, "deploy", "--all", "--prefect-file", "benchmarks/prefect.yaml"], **run)  # type: ignore[call-overload]


def prefect_environment(stack: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a client of the stack's Prefect server, the same as the stack's own worker's."""
    worker = next(part["pid"] for part in stack["parts"] if part["name"] == "worker")
    pairs = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def send(stack: dict[str, Any], count: int, *, attachment: int = 15_000) -> dict[str, float]:
    """Send `count` scans, by default of 20 kB, through the door; return SES's message ids with the times of the replies."""
    accepted: dict[str, float] = {}
    with smtplib.SMTP(stack["smtp_host"], stack["smtp_port"]) as smtp:
        for _ in range(count):
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", TO, "Scan"
            mail.set_content("Your scan is attached.")
            mail.add_attachment(os.urandom(attachment), maintype="application", subtype="pdf", filename="scan.pdf")
            smtp.ehlo_or_helo_if_needed()
            smtp.mail("scanner@office.test")
            smtp.rcpt(TO)
            code, answer = smtp.data(mail.as_bytes(policy=SMTP_LINES))
            if code != 250:
                sys.exit(f"the door answered {code}")
            accepted[answer.decode().split()[-1]] = time.time()
    return accepted


def take_arrivals(stack: dict[str, Any], accepted: Collection[str]) -> list[Arrival]:
    """Receive and delete the notifications of these mails, register them in the ledger, and return those with the envelope."""
    queue = SqsQueue(aws.client("sqs"), url=stack["inbound_queue_url"])
    ledger = plain.open_ports(load_settings()).ledger
    arrivals: dict[str, Arrival] = {}
    deadline = time.time() + _TIMEOUT_S
    while not set(accepted) <= arrivals.keys():
        if time.time() > deadline:
            sys.exit(f"only {len(arrivals)} of {len(accepted)} notices came in {_TIMEOUT_S} s")
        received = queue.receive(most=10, wait_s=1)
        queue.delete([message.receipt_handle for message in received])
        values = [arrival for message in received for arrival in read_notification(message.body)]
        arrivals |= {arrival.ref.message_id: arrival for arrival in values if arrival.envelope is not None}
    for arrival in arrivals.values():
        ledger.register(arrival, now=datetime.now(UTC))
    return [arrivals[message_id] for message_id in accepted]


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Suspend a process during a block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def wait_filed(stack: dict[str, Any], accepted: Collection[str]) -> dict[str, float]:
    """Return when each of these mails was filed, once all are."""
    deadline = time.time() + _TIMEOUT_S
    query = "select message_id, closed_at from inbound_email where state = 'filed' and message_id = any(%s)"
    while len(rows := ask(stack, query, list(accepted))) < len(accepted):
        if time.time() > deadline:
            sys.exit(f"only {len(rows)} of {len(accepted)} mails were filed in {_TIMEOUT_S} s")
        time.sleep(0.5)  # Each query costs a connection; the ledger has the time of filing.
    return {message_id: closed_at.timestamp() for message_id, closed_at in rows}


def latency(stack: dict[str, Any], accepted: Mapping[str, float]) -> tuple[float, float]:
    """Return p50 and p95 of the seconds from the door's 250 reply to filed."""
    filed = wait_filed(stack, accepted)
    took = sorted(filed[message_id] - at for message_id, at in accepted.items())
    return statistics.median(took), took[round(0.95 * (len(took) - 1))]


def ask(stack: dict[str, Any], query: str, *values: Any) -> list[Any]:
    """Return the rows of a query on Mailroom's database."""
    with psycopg.connect(stack["database_url"]) as connection:
        return connection.execute(query, values).fetchall()


def mailroom(*arguments: str) -> str:
    """Run a command of Mailroom and return what it printed."""
    command = [sys.executable, "-m", "mailroom.cli", *arguments]
    output = None if arguments[0] == "up" else subprocess.PIPE
    return str(subprocess.run(command, check=True, text=True, stdout=output).stdout)


def show(rows: dict[str, float]) -> None:
    """Print the table, with ratios to the warm worker."""
    print(f"\n{'':<42}{'e-mails/s':>10}{'of warm':>9}{'p50 s':>8}{'p95 s':>8}")
    named = [
        ("warm", "warm worker"),
        ("stock", "stock Prefect process worker"),
        ("plain", "the same steps without Prefect"),
        ("ceiling", "empty tasks in the warm worker (ceiling)"),
    ]
    for key, name in named:
        times = f"{rows[f'{key} p50']:>8.2f}{rows[f'{key} p95']:>8.2f}" if f"{key} p50" in rows else ""
        print(f"{name:<42}{rows[key]:>10.2f}{rows[key] / rows['warm']:>9.2f}{times}")
    print(f"\nwarm / stock {rows['warm'] / rows['stock']:.1f}   warm / ceiling {rows['warm'] / rows['ceiling']:.2f}")


def report(name: str, figure: Figure) -> Figure:
    """Print what was measured to stderr, and return it."""
    print(f"{name} {figure}", file=sys.stderr, flush=True)
    return figure


if __name__ == "__main__":
    main()
