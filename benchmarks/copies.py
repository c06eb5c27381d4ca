"""The pace of inbound e-mail without and with a second copy of each deposit, in turns on one stack. `make bench`."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from signal import SIGSTOP
from statistics import median

from benchmarks.inbound import TO, report, send, wait_filed
from mailroom.sandbox.drills.drill_stack import DrillStack, open_drill_stack
from mailroom.sandbox.drills.workers import ForkServer
from mailroom.settings import CHECKOUT

ROUNDS, BACKLOG, WARM_UP = 3, 100, 10
_COPIES = "mailroom-copies"


def main() -> None:
    """Measure, and print one table."""
    paces: dict[str, list[float]] = {"": [], _COPIES: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mailroom-copies-")))
        drill_stack = stack.enter_context(open_drill_stack(folder / "stack", seed=0))
        environment = drill_stack.environment()
        fork_server = stack.enter_context(ForkServer(environment, folder / "zygote"))
        drill_stack.mailroom("address", "add", TO)
        where = {"LocationConstraint": drill_stack.facts["region"]}
        s3 = drill_stack.aws("s3")
        s3.create_bucket(Bucket=_COPIES, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True)
        for _ in range(ROUNDS):
            for bucket in paces:
                use_second_copies(environment, bucket)
                name = "two copies" if bucket else "one copy"
                paces[bucket].append(report(f"{name}: mails/s", pace(drill_stack, fork_server)))
        copied = len(s3.list_objects_v2(Bucket=_COPIES).get("Contents", []))
    if not copied:
        raise SystemExit("no second copy was made")
    one, two = (median(found) for found in paces.values())
    print(f"\n{f'{BACKLOG} mails waiting, median of {ROUNDS}':<42}{'e-mails/s':>10}{'ratio':>8}")
    print(f"{'one copy':<42}{one:>10.2f}\n{'two copies':<42}{two:>10.2f}{two / one:>8.2f}")


def use_second_copies(environment: Mapping[str, str], bucket: str) -> None:
    """Set the bucket of second copies in the block that workers started from now on read; an empty one is none."""
    command = [sys.executable, "-m", "deployments.ensure"]
    environment = {**environment, "MAILROOM_ARCHIVE_COPY_BUCKET": bucket}
    subprocess.run(command, env=environment, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)


def pace(drill_stack: DrillStack, fork_server: ForkServer) -> float:
    """Return mails a second of a new, warm worker, from its resumption to the last mail filed."""
    # The intervals of production: no worker is killed here.
    worker = fork_server.fork(visibility_s=60, beat_s=15.0, stale_s=60.0)
    if not worker.wait_ready(within_s=120):
        raise SystemExit("the worker did not start")
    wait_filed(drill_stack.facts, send(drill_stack.facts, WARM_UP))
    worker.process.signal(SIGSTOP)
    accepted = send(drill_stack.facts, BACKLOG)
    worker.wake()
    start = time.time()
    rate = BACKLOG / (max(wait_filed(drill_stack.facts, accepted).values()) - start)
    worker.stop()
    if not worker.wait(within_s=60):
        raise SystemExit("the worker did not stop")
    return rate


if __name__ == "__main__":
    main()
