"""Previews in child processes, one for each: what a hostile file breaks ends with its process, and is never another's.

The process has a limit on elapsed time from here, and on memory, CPU time and output by itself (`preview_child`); it inherits
no variable of the environment, and writes nothing to the log.
"""

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from mailroom.domain.errors import TransientError
from mailroom.ports.previewer import MAX_PREVIEWED, NoPreview, Preview

#: Seconds of elapsed time for one preview; the machine may be busy. The limit on CPU time is `preview_child.CPU_S`.
WALL_S = 25.0

_CHILD = Path(__file__).with_name("preview_child.py")


class PreviewProcess:
    """A `Previewer` that starts a process for each preview. How many run at a time is the caller's business (`Slots`)."""

    def __init__(self, *, wall_s: float = WALL_S, child: Path = _CHILD) -> None:
        """Set the limit; tests pass a `child` that misbehaves."""
        self._wall_s, self._child = wall_s, child

    def preview(self, content: bytes, page: int) -> Preview | NoPreview:
        """Return a preview, or why there is none.

        Raises:
            TransientError: no process could be started.
        """
        if len(content) > MAX_PREVIEWED:
            return NoPreview.TOO_LARGE
        command = [sys.executable, "-I", str(self._child), str(page)]
        with tempfile.TemporaryFile() as answer:
            try:
                done = subprocess.run(
                    command,
                    input=content,
                    stdout=answer,
                    stderr=subprocess.DEVNULL,
                    env={},
                    timeout=self._wall_s,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return NoPreview.TOO_SLOW
            except OSError as error:
                raise TransientError("the process for a preview did not start") from error
            if done.returncode:
                return NoPreview.TOO_SLOW if done.returncode == -signal.SIGXCPU else NoPreview.DAMAGED
            answer.seek(0)
            return _read(answer.read())


def _read(answer: bytes) -> Preview | NoPreview:
    head, _, picture = answer.partition(b"\n")
    try:
        values = json.loads(head)
        if "none" in values:
            return NoPreview(values["none"])
        return Preview(picture, **values)
    except (ValueError, TypeError):
        return NoPreview.DAMAGED
