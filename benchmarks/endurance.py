"""Endurance of the stack: idle CPU, a mail of 35 MB, and many waiting mails. `make bench-endurance [N]`.

The emulator's SQS takes longer the more messages a queue has held, so the pace of each quarter stands beside what the
queue itself took for one round trip then, and beside the CPU of the emulator. Another emulator can stand in for it:
start it and set AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL_SQS and AWS_ENDPOINT_URL_SNS before.
"""

import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.inbound import ask, paused, report, running_stack, send, wait_filed
from mailroom.adapters.aws import clients as aws
from mailroom.adapters.aws.sqs import SqsQueue

IDLE_S = 60
MAILS = 2_000
#: In base64 this is a mail of 35 MB.
LARGE_ATTACHMENT = 35_000_000 * 57 // 78

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1_000_000


def main() -> None:
    """Measure all three, and print each result as soon as it is known."""
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else MAILS
    with running_stack() as stack:
        wait_filed(stack, send(stack, 20))
        idle(stack)
        large_mail(stack)
        backlog(stack, mails)


def idle(stack: dict[str, Any]) -> None:
    """Print the CPU of each idle part."""
    time.sleep(10)
    before = {part["name"]: cpu_s(part["pid"]) for part in _running(stack)}
    time.sleep(IDLE_S)
    used = {part["name"]: cpu_s(part["pid"]) - before[part["name"]] for part in _running(stack)}
    print(f"\n{f'idle for {IDLE_S} s':<34}{'% of a core':>12}")
    for name, seconds in used.items():
        print(f"{name:<34}{100 * seconds / IDLE_S:>12.2f}")
    print(f"{'all':<34}{100 * sum(used.values()) / IDLE_S:>12.2f}", flush=True)


def large_mail(stack: dict[str, Any]) -> None:
    """Print the worker's memory for a mail of 35 MB: the first, and the third."""
    worker = _pid(stack, "worker")
    print(f"\n{'worker, a mail of 35 MB':<34}{'before MB':>12}{'peak MB':>10}{'after MB':>10}{'growth / size':>15}")
    for name in ("the first", "the second", "the third"):
        with sampled(worker) as samples:
            before = rss(worker)
            accepted = send(stack, 1, attachment=LARGE_ATTACHMENT)
            wait_filed(stack, accepted)
            time.sleep(2)
        [[size]] = ask(
            stack,
            "select d.size from inbound_email e join inbox_item i on i.email_id = e.id "
            "join deposit d on d.archive_id = i.raw_archive_id where e.message_id = any(%s)",
            list(accepted),
        )
        peak, after = max(most for _, most in samples), rss(worker)
        print(
            f"{name:<34}{before / _MB:>12.0f}{peak / _MB:>10.0f}{after / _MB:>10.0f}{(peak - before) / size:>15.2f}",
            flush=True,
        )


def backlog(stack: dict[str, Any], count: int) -> None:
    """Print the rate at which `count` waiting mails are drained, quarter by quarter."""
    worker, emulator = _pid(stack, "worker"), _pid(stack, "aws")
    with paused(worker):
        accepted = send(stack, count)
    report(f"{count} mails wait; MB of the worker", rss(worker) / _MB)
    start = time.time()
    rounds: list[tuple[float, float, float]] = []
    with sampled(worker, every_s=1) as samples:
        while _filed(stack, accepted) < count and time.time() < start + count:
            rounds.append((time.time(), round_trip_s(stack), cpu_s(emulator)))
            time.sleep(5)
        filed = wait_filed(stack, accepted)
    ends = sorted(filed.values())
    print(
        f"\n{f'{count} mails waiting':<34}{'mails/s':>12}{'worker MB':>10}{'queue ms':>10}{'emulator CPU s/mail':>21}"
    )
    begun = start
    for quarter in range(1, 5):
        until = ends[quarter * count // 4 - 1]
        within = [one for one in rounds if begun <= one[0] <= until] or rounds[-1:]
        memory = statistics.median([most for at, most in samples if begun <= at <= until] or [rss(worker)])
        spent = (within[-1][2] - within[0][2]) / max(within[-1][0] - within[0][0], 1) * (until - begun) / (count / 4)
        took = 1000 * statistics.median(one[1] for one in within)
        rate = count / 4 / (until - begun)
        print(f"{f'quarter {quarter}':<34}{rate:>12.2f}{memory / _MB:>10.0f}{took:>10.0f}{spent:>21.3f}")
        begun = until
    _show_whole(stack, accepted, ends, start)


def _show_whole(stack: dict[str, Any], accepted: dict[str, float], ends: Sequence[float], start: float) -> None:
    rows = ask(
        stack,
        "select count(distinct i.email_id), count(*) from inbox_item i join inbound_email e on e.id = i.email_id "
        "where e.message_id = any(%s)",
        list(accepted),
    )
    runs = ask(stack, "select max(attempts) from inbound_email where message_id = any(%s)", list(accepted))
    mails, items = rows[0]
    print(
        f"{mails} of {len(accepted)} filed, {items} items, at most {runs[0][0]} attempts, in {ends[-1] - start:.0f} s"
    )


def round_trip_s(stack: dict[str, Any]) -> float:
    """Return the time of sending, receiving and deleting a message in an otherwise unused queue."""
    queue = SqsQueue(aws.client("sqs"), url=stack["tracking_queue_url"])
    start = time.perf_counter()
    aws.client("sqs").send_message(QueueUrl=stack["tracking_queue_url"], MessageBody="{}")
    queue.delete([message.receipt_handle for message in queue.receive(most=1, wait_s=0)])
    return time.perf_counter() - start


@contextmanager
def sampled(pid: int, *, every_s: float = 0.05) -> Iterator[list[tuple[float, int]]]:
    """Sample the memory of the process and its children during a block: (time, bytes).

    The kernel's own peak of the process is among them at the end, for it misses nothing.
    """
    samples: list[tuple[float, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(every_s):
            samples.append((time.time(), sum(rss(one) for one in family(pid))))

    Path(f"/proc/{pid}/clear_refs").write_text("5")  # Resets the peak, proc(5).
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield samples
    finally:
        done.set()
        watcher.join()
        samples.append((time.time(), _peak(pid)))


def rss(pid: int) -> int:
    """Return the bytes of memory that a process holds; 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (FileNotFoundError, ProcessLookupError):
        return 0


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process and its children, the ended ones too."""
    return sum(sum(map(int, _stat(one)[11:15])) for one in family(pid)) / _TICKS


def family(pid: int) -> list[int]:
    """Return the process and all of its descendants."""
    parents = {int(path.name): int(_stat(int(path.name))[1]) for path in Path("/proc").glob("[0-9]*")}
    found = [pid]
    for one in found:  # It grows meanwhile.
        found += [child for child, parent in parents.items() if parent == one]
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 20


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def _filed(stack: dict[str, Any], accepted: dict[str, float]) -> int:
    query = "select count(*) from inbound_email where state = 'filed' and message_id = any(%s)"
    return int(ask(stack, query, list(accepted))[0][0])


def _running(stack: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in stack["parts"] if part["state"] == "ready"]


def _pid(stack: dict[str, Any], name: str) -> int:
    return int(next(part["pid"] for part in stack["parts"] if part["name"] == name))


if __name__ == "__main__":
    main()
