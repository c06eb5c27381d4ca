"""Version and commit of this code. Only the standard library: the build reads this file as well."""

import os
import subprocess
from importlib import metadata
from pathlib import Path

UNKNOWN = "unknown"

#: Written beside this module when a wheel is built; absent in a checkout.
BUILT = Path(__file__).with_name("commit.txt")


def version() -> str:
    """Return the version and the commit as `mailroom --version` prints them: `0.1.0 (commit 04bf41e5d2a1+dirty)`."""
    try:
        released = metadata.version("mailroom")
    except metadata.PackageNotFoundError:
        released = UNKNOWN
    return f"{released} (commit {commit()})"


def commit() -> str:
    """Return the commit of this code: that of its checkout, else of the wheel, else `unknown`."""
    return commit_of(Path(__file__).resolve().parents[2]) or _built() or UNKNOWN


def commit_of(checkout: Path) -> str | None:
    """Return the commit of a checkout, with `+dirty` where tracked files differ from it; None without git or a commit."""
    if not (checkout / ".git").exists():
        return None
    command = ["git", "--no-optional-locks", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+dirty"]
    # A git hook runs with variables that name another repository or index.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        completed = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return (completed.stdout.strip() or None) if completed.returncode == 0 else None


def _built() -> str | None:
    try:
        return BUILT.read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None
