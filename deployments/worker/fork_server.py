"""Forks warm workers in a tenth of a second, for drills that kill hundreds of them; not used in production.

A new interpreter spends five seconds importing Prefect. This process has imported everything, runs no thread, and forks
a worker for each line on its standard input, a JSON object: `crash` (a crash point or ""), `nth`, `blow`, `limit`, `ready_file`
and `timing` (fields of `Timing`); with `port` in their place an HTTP service. It answers each with a line: the process id.
It ends at the end of its input, and what it forked dies with it.
"""

import ctypes
import gc
import json
import os
import signal
import sys
from typing import Any

import flows.receive_email
import flows.send_batch  # noqa: F401 - both imported here, once, and by no worker
from deployments.worker import process as worker
from deployments.worker.lanes import ISOLATION_VARIABLE
from deployments.worker.queue_listener import Timing
from mailroom import crash_points as crash
from mailroom.api import serve

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Fork a worker for each line of standard input."""
    # The kernel reaps the workers: no code waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    gc.freeze()
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _become(json.loads(line))
        print(pid, flush=True)


def _become(request: dict[str, Any]) -> None:
    """Become a warm worker or the HTTP service, in a new session; never return."""
    code = 1
    try:
        os.setsid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        crash.arm(request["crash"], nth=request["nth"], blow=signal.Signals(request["blow"]))
        if "port" in request:
            code = serve.main(["--port", str(request["port"])])
        else:
            _work(request)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    finally:
        os._exit(code)


def _work(request: dict[str, Any]) -> None:
    os.environ |= {"MAILROOM_WORKER_LIMIT": str(request["limit"]), "MAILROOM_READY_FILE": request["ready_file"]}
    os.environ |= {ISOLATION_VARIABLE: "off", "MAILROOM_BEAT_S": str(request["timing"]["beat_s"])}
    worker.main(Timing(**request["timing"]))


if __name__ == "__main__":
    main()
