"""Reads the logs of a stack's parts: an entry that is neither known nor declared by a test is a failure."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from mailroom.audit.logs import KNOWN, Known, check_logs, read_known
from mailroom.audit.report import Report

#: Log entries that the tier causes and no single test can declare, with reasons and largest counts.
EXPECTED = read_known(Path(__file__).parents[1] / "e2e" / "expected_logs.toml")


def unexpected(folder: Path, *lists: Sequence[Known]) -> list[str]:
    """Return the log entries in `folder` that are on none of these lists, a line for each kind."""
    report = Report(emit=lambda _: None, progress=lambda _: None)
    known = [*read_known(KNOWN), *(one for expected in lists for one in expected)]
    check_logs(folder, known, report)
    if kept := os.environ.get("MAILROOM_KEEP_LOGS"):
        shutil.copytree(folder, Path(kept) / folder.parent.name, dirs_exist_ok=True)
    return [str(one) for one in report.violations]
