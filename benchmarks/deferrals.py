"""A batch with recipients whose server takes no mail now, beside the same batch without any: the pace of the others.

    python -m benchmarks.deferrals [MAILS]

MAILS, by default 3,000, go through the whole path to an SMTP server that answers `450 4.1.2` for none, one or thirty of them,
each three times in turn. The time is from the request to the last settled outcome; the medians are compared.
"""

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.providers import BODY, running
from benchmarks.sending import SendingBench
from mailroom.domain.outbound.message import Status
from mailroom.sandbox.drills.drill_batches import open_drill_batches
from mailroom.sandbox.drills.drill_stack import open_drill_stack
from mailroom.sandbox.drills.workers import ForkServer
from mailroom.sandbox.stand_ins.receiver import receiving
from tests.support.loopback_ports import free_port
from tests.support.scripted_receiver import NO_DOMAIN, ScriptedReceiver

MAILS, TIMES = 3_000, 3
DEFERRED = 0, 1, 30
_NO_LIMIT = 1e6
_LOOK_EVERY_S = 0.02


def main() -> None:
    """Measure and print the table."""
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else MAILS
    with ExitStack() as stack:
        folder, port = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailroom-deferrals-"))), free_port()
        stack.enter_context(running(_receive, port))
        drill_stack = stack.enter_context(open_drill_stack(folder / "stack", seed=0))
        fork_server = stack.enter_context(ForkServer(drill_stack.environment(), folder / "zygote"))
        batches = stack.enter_context(open_drill_batches(drill_stack, fork_server, list))
        batches.serve()
        batches.use(port, per_second=_NO_LIMIT)
        bench = SendingBench(batches)
        bench.restart_worker()
        taken_s: dict[int, list[float]] = {deferred: [] for deferred in DEFERRED}
        for _ in range(TIMES):
            for deferred in DEFERRED:
                taken_s[deferred].append(send(bench, mails, deferred))
        show(mails, taken_s)


def send(bench: SendingBench, mails: int, deferred: int) -> float:
    """Send a batch with this many recipients that answer 450, and return the seconds until each outcome is settled."""
    batches = bench.batches
    batches.batches.clear()
    expected = {Status.DISPATCHED: mails - deferred} | ({Status.DEFERRED: deferred} if deferred else {})
    began, end = time.perf_counter(), time.monotonic() + 60 + mails / 5
    batch_id = batches.post(0, **request(mails, deferred))
    while (statuses := batches.statuses()) != expected:
        if time.monotonic() > end:
            raise SystemExit(f"the batch did not end: {dict(statuses)}")
        time.sleep(_LOOK_EVERY_S)
    took = time.perf_counter() - began
    # Nothing of it may be tried again while the next ones are measured.
    batches.ask("POST", f"/v1/batches/{batch_id}/cancel").raise_for_status()
    return took


def request(mails: int, deferred: int) -> dict[str, Any]:
    """Return a batch like those of `benchmarks.sending`, in which recipients that answer 450 are spread evenly."""
    every = mails // deferred if deferred else mails + 1
    later = {number * every: f"later{number}@example.com" for number in range(deferred)}
    people = [{"to": later.get(n, f"customer{n}@example.com"), "data": {"n": n}} for n in range(mails)]
    words = {"subject": "Invoice {{ n }}", "text": BODY, "html": f"<p>{BODY}</p>", "unsubscribe": True}
    return {"template": words, "recipients": people}


def show(mails: int, taken_s: dict[int, list[float]]) -> None:
    """Print the medians and their ratio to that of the batch without such recipients."""
    print(f"\n{f'recipients of {mails} that answer 450':<38}{'mails/s':>10}{'ratio':>8}{'each':>26}", flush=True)
    without = median(taken_s[0])
    for deferred, times in taken_s.items():
        each = ", ".join(f"{mails / one:.0f}" for one in times)
        print(f"{deferred:<38}{mails / median(times):>10.0f}{without / median(times):>8.2f}{each:>26}", flush=True)


def _receive(port: int) -> None:
    replies = {f"later{number}@example.com": NO_DOMAIN for number in range(max(DEFERRED))}
    with receiving(ScriptedReceiver(pipelining=True, replies=replies), port=port):
        time.sleep(3600)


if __name__ == "__main__":
    main()
