"""Reads the logs of a stack's parts: an entry that is neither known nor declared by a test is a failure."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mailroom.audit.logs import KNOWN, Known, check_logs, read_known
from mailroom.audit.report import Report

#: Log entries that the tier causes and no single test can declare, with reasons and largest counts.
EXPECTED = read_known(Path(__file__).parents[1] / "e2e" / "expected_logs.toml")


#: Lines of a log that are shown after an unexpected entry: a stack's folder is removed, and the reason with it.
_SHOWN = 80


def unexpected(folder: Path, *lists: Sequence[Known]) -> list[str]:
    """Return the log entries in `folder` that are on none of these lists, one for each kind with the lines after it."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    known = [*read_known(KNOWN), *(one for expected in lists for one in expected)]
    check_logs(folder, known, report)
    if kept := os.environ.get("MAILROOM_KEEP_LOGS"):
        shutil.copytree(folder, Path(kept) / folder.parent.name, dirs_exist_ok=True)
    return [f"{one}\n{_excerpt(folder, one.subject)}" for one in report.violations]


def _excerpt(folder: Path, where: str) -> str:
    """Return the lines of a log from an entry on; `where` is `<log>:<line>`, or a log alone."""
    log, _, line = where.partition(":")
    if not line:
        return ""
    lines = (folder / log).read_text(errors="replace").splitlines()
    return "\n".join(lines[int(line) - 1 :][:_SHOWN])
