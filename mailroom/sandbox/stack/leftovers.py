"""Cleanup after a killed supervisor: ends processes that did not end with it."""

import signal

from mailroom.operations.loops import wait_until
from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.processes import ProcessId, carriers

_GRACE_S = 10.0


def end_leftovers(folder: DataFolder) -> int:
    """End processes that a killed supervisor left running, and return how many."""
    run = folder.run()
    if run is None:
        folder.run_file.unlink(missing_ok=True)
        return 0
    left = {ProcessId.from_json(part): signal.Signals(part["stop_signal"]) for part in run["parts"]}
    left = {process: number for process, number in left.items() if process.is_alive()}
    left.update({process: signal.SIGTERM for process in carriers(run["word"]) if process not in left})
    for process, number in left.items():
        process.signal(number)
    wait_until(lambda: not any(process.is_alive() for process in left), within_s=_GRACE_S, every_s=0.05)
    for process in left:
        process.signal(signal.SIGKILL)
    folder.run_file.unlink(missing_ok=True)
    return len(left)
