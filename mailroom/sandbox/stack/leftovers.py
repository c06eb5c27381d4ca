"""What a killed supervisor left running. Its children end with it; this is for those that did not."""

import signal
import time

from mailroom.sandbox.stack.folder import DataFolder
from mailroom.sandbox.stack.processes import ProcessId, carriers

_GRACE_S = 10.0


def end_leftovers(folder: DataFolder) -> int:
    """End what a killed supervisor left running, and return how many processes that were."""
    run = folder.run()
    if run is None:
        folder.run_file.unlink(missing_ok=True)
        return 0
    left = {ProcessId.from_json(part): signal.Signals(part["stop_signal"]) for part in run["parts"]}
    left = {process: number for process, number in left.items() if process.is_alive()}
    left.update({process: signal.SIGTERM for process in carriers(run["word"]) if process not in left})
    for process, number in left.items():
        process.signal(number)
    deadline = time.monotonic() + _GRACE_S
    while any(process.is_alive() for process in left) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        process.signal(signal.SIGKILL)
    folder.run_file.unlink(missing_ok=True)
    return len(left)
