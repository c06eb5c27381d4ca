"""Outbound mail: the whole path of a batch beside the bare provider loop, the accuracy of rates, and memory. `make bench`.

    python -m benchmarks.sending [MAILS [MOST]]

The whole path is POST /v1/batches, outbox, mailbox queue, run of `send-batch`, provider; it is timed from the request to the
last settled outcome. The bare loop sends the same mails with as many concurrent calls, in the same run. MAILS are sent
each way, by default 5,000; memory is compared at 1,000 and at MOST, by default 100,000.
"""

import sys
import tempfile
import time
from bisect import bisect_left
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.endurance import rss
from benchmarks.inbound import report
from benchmarks.providers import BODY, make_mails, measure, running, ses_at
from mailroom.adapters.providers.smtp import Smtp, Tls
from mailroom.operations.loops import wait_until
from mailroom.outbound.dispatching import SENDER_THREADS
from mailroom.sandbox.drills.drill_batches import DrillBatches, open_drill_batches
from mailroom.sandbox.drills.drill_stack import open_drill_stack
from mailroom.sandbox.drills.workers import ForkServer, Worker
from mailroom.sandbox.stand_ins.receiver import Receiver, receiving
from mailroom.sandbox.stand_ins.ses import SesStandIn
from mailroom.sandbox.stand_ins.vendors import serving
from tests.support.loopback_ports import free_port
from tests.support.smtp_sink import smtp_sink

MAILS, MOST = 5_000, 100_000
#: Mails of a run at each rate, for at least ten seconds.
PACED = {14.0: 210, 200.0: 2_500}
_NO_LIMIT = 1e6
_ACCEPT = 10_000
_LOOK_AGAIN_S = 0.1
_MB = 1_000_000


@dataclass
class Arrivals(Receiver):
    """A receiver that records the time of each mail."""

    times: list[float] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.times.append(time.monotonic())
        return await super().handle_DATA(server, session, envelope)


@dataclass
class SendingBench:
    """Batches of a drill stack, with a running worker."""

    batches: DrillBatches
    worker: Worker | None = None

    def restart_worker(self) -> None:
        """Start a new worker, which reads the current settings, and let it warm up."""
        if self.worker is not None:
            self.worker.kill()
        # The intervals of production: no worker is killed here.
        self.worker = self.batches.fork_server.fork(visibility_s=60, beat_s=15.0, stale_s=60.0)
        if not self.worker.wait_ready(within_s=120):
            raise SystemExit("the worker did not start")
        self.send(20)

    def send(self, mails: int) -> tuple[float, float]:
        """Submit this many mails; return the seconds until they are accepted, and until the last is settled.

        The run's end and its order, which leaves the queue then, are waited for and not counted: every mail is out by then.
        """
        began = time.perf_counter()
        self.post(mails)
        accepted = time.perf_counter() - began
        if not wait_until(self._is_settled, within_s=60 + mails / 5, every_s=_LOOK_AGAIN_S):
            raise SystemExit(f"not all mails were sent: {dict(self.batches.statuses())}")
        settled = time.perf_counter() - began
        self.batches.drain(within_s=60)
        return accepted, settled

    def _is_settled(self) -> bool:
        return self.batches.statuses().keys() == {"dispatched"}

    def post(self, mails: int, **changes: Any) -> None:
        """Submit mails like those of the bare loop."""
        words = {"subject": "Invoice {{ n }}", "text": BODY, "html": f"<p>{BODY}</p>", "unsubscribe": True}
        people = [{"to": f"Customer {n} <customer{n}@example.com>", "data": {"n": n}} for n in range(mails)]
        self.batches.post(0, template=words, recipients=people, **changes)


def main() -> None:
    """Measure everything and print the tables."""
    mails = int(sys.argv[1]) if len(sys.argv) > 1 else MAILS
    most = int(sys.argv[2]) if len(sys.argv) > 2 else MOST
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailroom-sending-")))
        ses_port = free_port()
        stack.enter_context(running(_serve_ses, ses_port))
        drill_stack = stack.enter_context(open_drill_stack(folder / "stack", seed=0))
        environment = drill_stack.environment() | {"AWS_ENDPOINT_URL_SESV2": f"http://127.0.0.1:{ses_port}"}
        fork_server = stack.enter_context(ForkServer(environment, folder / "zygote"))
        batches = stack.enter_context(open_drill_batches(drill_stack, fork_server, list))
        batches.serve()
        bench = SendingBench(batches)
        throughput(bench, mails, ses_port)
        accuracy(bench)
        memory(bench, most)


def throughput(bench: SendingBench, mails: int, ses_port: int) -> None:
    """Print mails a second of the whole path and of the bare loop, to either provider, without a limit."""
    print(f"\n{f'{mails} mails of 4 kB, no limit':<34}{'bare/s':>10}{'whole/s':>10}{'ratio':>8}", flush=True)
    with smtp_sink() as port, Smtp(host="127.0.0.1", port=port, tls=Tls.OFF) as smtp:
        bare = report("bare SMTP", measure(smtp, make_mails(mails), threads=SENDER_THREADS))
        bench.batches.use(port, per_second=_NO_LIMIT)
        bench.restart_worker()
        _show("SMTP to smtp-sink", bare, mails / bench.send(mails)[1])
    bare = report("bare SES", measure(ses_at(ses_port), make_mails(mails), threads=SENDER_THREADS))
    bench.batches.choose("mailroom-provider-ses/default", per_second=_NO_LIMIT)
    bench.restart_worker()
    _show("SES v2 to its stand-in", bare, mails / bench.send(mails)[1])


def accuracy(bench: SendingBench) -> None:
    """Print the used share of a limit, and the worst second, at the receiving end."""
    print(f"\n{'limit a second':<34}{'used %':>10}{'worst second':>14}", flush=True)
    for limit, mails in PACED.items():
        arrivals, port = Arrivals(pipelining=True), free_port()
        with receiving(arrivals, port=port):
            bench.batches.use(port, per_second=limit)
            bench.restart_worker()
            arrivals.times.clear()
            bench.send(mails)
        times = arrivals.times
        worst = max(bisect_left(times, at + 1.0) - number for number, at in enumerate(times))
        used = (len(times) - 1) / (times[-1] - times[0]) / limit
        print(f"{limit:<34g}{100 * used:>10.1f}{worst:>14}", flush=True)


def memory(bench: SendingBench, most: int) -> None:
    """Print how long large batches take to be accepted, and the memory of worker and service then."""
    print(f"\n{'messages in one batch':<34}{'accepted s':>12}{'worker MB':>11}{'service MB':>12}", flush=True)
    with smtp_sink() as port:
        bench.batches.use(port, per_second=_NO_LIMIT)
        bench.restart_worker()
        for mails in sorted({1_000, _ACCEPT, most}):
            accepted, _ = bench.send(mails)
            assert bench.worker is not None
            assert bench.batches.service is not None
            held = [rss(one.process.pid) / _MB for one in (bench.worker, bench.batches.service)]
            print(f"{mails:<34}{accepted:>12.1f}{held[0]:>11.0f}{held[1]:>12.0f}", flush=True)


def _show(name: str, bare: float, whole: float) -> None:
    print(f"{name:<34}{bare:>10.0f}{whole:>10.0f}{whole / bare:>8.2f}", flush=True)


def _serve_ses(port: int) -> None:
    vendor = SesStandIn()
    vendor.account["SendQuota"] = {"Max24HourSend": _NO_LIMIT, "MaxSendRate": _NO_LIMIT, "SentLast24Hours": 0.0}
    with serving(vendor, port=port):
        time.sleep(3600)


if __name__ == "__main__":
    main()
