"""Starts the stack in the background: its supervisor outlives the terminal, its first lines of output are repeated here."""

import os
import subprocess
import sys
import time

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.folder import DataFolder, read_json
from mailroom.sandbox.stack.running import State
from mailroom.sandbox.stack.supervisor import Say
from mailroom.settings import CHECKOUT, data_folder


def up_detached(say: Say, *, names: list[str] | None = None) -> None:
    """Start the stack in the background and return when all of it is ready.

    Raises:
        StackError: it did not get ready; the repeated lines say why.
    """
    folder = DataFolder(data_folder())
    folder.make()
    holder = folder.holder()
    if holder:
        raise StackError(f"a stack is already running in {folder.path}, process {holder.pid}; see `mailroom status`")
    chosen = [word for name in names or [] for word in ("--only", name)]
    relay([sys.executable, "-m", "mailroom.cli", "up", *chosen], folder=folder, say=say)


def relay(argv: list[str], *, folder: DataFolder, say: Say) -> None:
    """Run the supervisor `argv` in the background, repeat its lines until its stack is ready, then leave it alone.

    Raises:
        StackError: it ended before that.
    """
    log = folder.logs / "supervisor.log"
    # Absolute, for the supervisor works in another folder.
    env = {**os.environ, "MAILROOM_DATA": str(folder.path)}
    with log.open("wb") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=CHECKOUT, env=env, start_new_session=True
        )
    try:
        with log.open() as lines:
            while not _is_ready(folder, child.pid) and child.poll() is None:
                _repeat(lines.read(), say)
                time.sleep(0.05)
            _repeat(lines.read(), say)
    except BaseException:
        # Ctrl-C before it was ready: the user no longer wants it.
        child.terminate()
        child.wait()
        raise
    if child.returncode is None:
        # It is detached from here on; without this, Python warns about a child that is not waited for.
        child.returncode = 0
    else:
        failed = read_json(folder.stack_file) or {}
        raise StackError(failed.get("reason") or f"the stack did not start; see {log}")


def _is_ready(folder: DataFolder, pid: int) -> bool:
    run = folder.run() or {}
    holder = folder.holder()
    is_its = holder is not None and holder.pid == pid and run.get("supervisor") == holder.as_json()
    return is_its and run.get("state") == State.READY


def _repeat(text: str, say: Say) -> None:
    for line in text.splitlines():
        # The supervisor's last line is the error that is raised here.
        if not line.startswith("mailroom: "):
            say(line)
