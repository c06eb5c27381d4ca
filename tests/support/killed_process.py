"""Processes that die by SIGKILL at a crash point: forked from this one, which has imported everything.

Other threads of this process, such as the emulator's, are not in the forked one, which opens connections of its own.
"""

import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from mailroom import crash_points
from tests.support.archive_store import Store


def is_killed(point: str, step: Callable[[], object], stores: Sequence[Store], *, deaths: Path, nth: int = 1) -> bool:
    """Run `step`, which uses `stores`, in a process that dies where it passes a crash point for the nth time.

    Returns False if the process ended without that. Its deaths are noted in the file `deaths`.

    Raises:
        AssertionError: it ended otherwise.
    """
    before = _deaths(deaths)
    with warnings.catch_warnings():
        # Python 3.12 and later warn of a fork beside threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        _become(point, step, stores, deaths=deaths, nth=nth)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the process failed before it came to {point!r}"
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert _deaths(deaths) == [*before, point]
    return os.WIFSIGNALED(status)


def _deaths(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def _become(point: str, step: Callable[[], object], stores: Sequence[Store], *, deaths: Path, nth: int) -> None:
    """Arm the crash point in every module that passes some, run the step, and end; never return."""
    try:
        os.environ[crash_points.VARIABLE] = str(deaths)
        crash_points.arm(point, nth=nth)
        for name, module in list(sys.modules.items()):
            if name.startswith("mailroom.") and "crash_point" in vars(module):
                vars(module)["crash_point"] = crash_points._armed.fire
        for one in stores:
            one.engine.dispose(close=False)
            one.s3.close()
        step()
    except BaseException:  # noqa: BLE001 - nothing may leave this function
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
