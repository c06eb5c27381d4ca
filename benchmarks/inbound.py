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
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import plain
from mailroom.adapters import aws
from mailroom.adapters.prefect_http import PrefectRuns
from mailroom.adapters.sqs import SqsQueue
from mailroom.domain.inbound import Arrival
from mailroom.domain.notifications import read_notification
from mailroom.settings import CHECKOUT, load_settings, use_stack_environment

TO = "ada@mailroom.test"
BACKLOG, STOCK, PACED, EMPTY = 80, 6, 30, 80
_TIMEOUT_S = 240


def main() -> None:
    """Measure every row and print the table."""
    with tempfile.TemporaryDirectory(prefix="mailroom-bench-") as folder:
        os.environ["MAILROOM_DATA"] = folder
        mailroom("up", "--detach")
        try:
            rows = measure(json.loads(mailroom("status", "--json")))
        finally:
            mailroom("down", "--wipe")
    show(rows)


def measure(stack: dict[str, Any]) -> dict[str, float]:
    """Return every figure of the table by name."""
    use_stack_environment()
    mailroom("address", "add", TO)
    worker = next(part["pid"] for part in stack["parts"] if part["name"] == "worker")
    send(stack, 3)
    wait_filed(stack, 3)
    rows: dict[str, float] = {}
    say("warm worker: one mail a second")
    rows["warm p50"], rows["warm p95"] = latency(stack, paced(stack, PACED))
    say(f"warm worker: {BACKLOG} mails waiting")
    rows["warm"] = backlog(stack, worker)
    with paused(worker):
        register_benchmarks(stack)
        say(f"ceiling: {EMPTY} runs of as many empty tasks")
        rows["ceiling"] = ceiling(stack)
        say(f"without Prefect: {BACKLOG} mails")
        send(stack, BACKLOG)
        rows["plain"] = plain.measure(take_arrivals(stack, BACKLOG), plain.open_ports(load_settings()))
        say(f"stock process worker: {STOCK} mails")
        rows["stock"], rows["stock p50"], rows["stock p95"] = stock(stack)
    return rows


def paced(stack: dict[str, Any], count: int) -> list[float]:
    """Send one mail a second; return the times of the door's 250."""
    accepted = []
    start = time.time()
    for number in range(count):
        time.sleep(max(0.0, start + number - time.time()))
        accepted += send(stack, 1)
    wait_filed(stack, 3 + count)
    return accepted


def backlog(stack: dict[str, Any], worker: int) -> float:
    """Return mails per second from the worker's waking up to the last mail filed."""
    before = filed(stack)
    with paused(worker):
        send(stack, BACKLOG)
    start = time.time()
    wait_filed(stack, before + BACKLOG)
    return BACKLOG / (last_closed(stack) - start)


def ceiling(stack: dict[str, Any]) -> float:
    """Return empty runs per second in a warm executor of its own process."""
    command = [sys.executable, "-m", "benchmarks.ceiling", str(EMPTY)]
    ended = subprocess.run(command, env=prefect_environment(stack), cwd=CHECKOUT, capture_output=True, check=True)
    return float(json.loads(ended.stdout.splitlines()[-1])["per_second"])


def stock(stack: dict[str, Any]) -> tuple[float, float, float]:
    """Return mails per second of a stock worker with all cores, and p50 and p95 of single mails."""
    runs = PrefectRuns(api_url=stack["prefect_api_url"], ui_url=stack["prefect_url"], deployment="receive-email/stock")
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", "stock", "--type", "process"]
    with subprocess.Popen(
        command, env=prefect_environment(stack), stdout=subprocess.DEVNULL
    ) as worker:
        try:
            time.sleep(10)
            accepted = []
            for _ in range(3):
                before = filed(stack)
                accepted += send(stack, 1)
                runs.start(take_arrivals(stack, 1)[0].ref)
                wait_filed(stack, before + 1)
            p50, p95 = latency(stack, accepted)
            before = filed(stack)
            send(stack, STOCK)
            arrivals = take_arrivals(stack, STOCK)
            start = time.time()
            for arrival in arrivals:
                runs.start(arrival.ref)
            wait_filed(stack, before + STOCK)
            return STOCK / (last_closed(stack) - start), p50, p95
        finally:
            worker.send_signal(signal.SIGINT)


def register_benchmarks(stack: dict[str, Any]) -> None:
    """Register the pool and the deployments that only the benchmark needs."""
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    run = {"env": prefect_environment(stack), "cwd": CHECKOUT, "check": True, "capture_output": True}
    subprocess.run([*prefect, "work-pool", "create", "stock", "--type", "process"], **run)  # type: ignore[call-overload]
    subprocess.run([*prefect, "deploy", "--all", "--prefect-file", "benchmarks/prefect.yaml"], **run)  # type: ignore[call-overload]


def prefect_environment(stack: dict[str, Any]) -> dict[str, str]:
    """Return the environment of a process that talks to the stack's Prefect server, as the stack's own worker has it."""
    worker = next(part["pid"] for part in stack["parts"] if part["name"] == "worker")
    pairs = Path(f"/proc/{worker}/environ").read_bytes().decode().split("\0")
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def send(stack: dict[str, Any], count: int) -> list[float]:
    """Send `count` scans of 20 kB through the door; return the times of its answers."""
    accepted = []
    with smtplib.SMTP(stack["smtp_host"], stack["smtp_port"]) as smtp:
        for _ in range(count):
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "scanner@office.test", TO, "Scan"
            mail.set_content("Your scan is attached.")
            mail.add_attachment(os.urandom(15_000), maintype="application", subtype="pdf", filename="scan.pdf")
            smtp.send_message(mail)
            accepted.append(time.time())
    return accepted


def take_arrivals(stack: dict[str, Any], count: int) -> list[Arrival]:
    """Receive and delete the notices of `count` mails; return those with the envelope."""
    queue = SqsQueue(aws.client("sqs"), url=stack["inbound_queue_url"])
    arrivals: list[Arrival] = []
    while len(arrivals) < count:
        received = queue.receive(most=10, wait_s=1)
        queue.delete([message.receipt for message in received])
        told = [arrival for message in received for arrival in read_notification(message.body)]
        arrivals += [arrival for arrival in told if arrival.envelope is not None]
    ledger = plain.open_ports(load_settings()).ledger
    for arrival in arrivals:
        ledger.register(arrival, now=datetime.now().astimezone())
    return arrivals


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """Hold a process still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def filed(stack: dict[str, Any]) -> int:
    """Return how many mails are filed."""
    return int(ask(stack, "select count(*) from inbound_email where state = 'filed'")[0][0])


def wait_filed(stack: dict[str, Any], count: int) -> None:
    """Wait until `count` mails are filed."""
    deadline = time.time() + _TIMEOUT_S
    while filed(stack) < count:
        if time.time() > deadline:
            sys.exit(f"only {filed(stack)} of {count} mails were filed in {_TIMEOUT_S} s")
        time.sleep(0.1)


def last_closed(stack: dict[str, Any]) -> float:
    """Return when the last mail was filed."""
    at: datetime = ask(stack, "select max(closed_at) from inbound_email")[0][0]
    return at.timestamp()


def latency(stack: dict[str, Any], accepted: list[float]) -> tuple[float, float]:
    """Return p50 and p95 of the seconds from the door's 250 to filed, for the newest mails."""
    rows = ask(stack, "select closed_at from inbound_email order by received_at desc")[: len(accepted)]
    took = [row[0].timestamp() - at for row, at in zip(reversed(rows), accepted, strict=True)]
    return statistics.median(took), sorted(took)[int(0.95 * (len(took) - 1) + 0.5)]


def ask(stack: dict[str, Any], query: str) -> list[Any]:
    """Return the rows of a query on Mailroom's database."""
    with psycopg.connect(stack["database_url"]) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]


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


def say(line: str) -> None:
    """Tell on stderr what is measured now."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
