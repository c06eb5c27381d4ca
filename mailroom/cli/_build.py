"""The step of a build that writes the commit into the wheel (`[tool.setuptools.cmdclass]` in pyproject.toml).

It imports nothing of Mailroom, whose dependencies are not installed in a build.
"""

import runpy
from pathlib import Path
from typing import Any

from setuptools.command.build_py import build_py

_HERE = Path(__file__).resolve().parent


class BuildWithCommit(build_py):  # type: ignore[misc]  # setuptools has no types
    """Copies the modules, and writes the commit beside `_commit.py`; an editable installation reads it from git."""

    def run(self) -> None:
        """Run the step."""
        super().run()
        if not self.editable_mode:
            known: Any = runpy.run_path(str(_HERE / "_commit.py"))
            commit = known["commit_of"](_HERE.parents[1]) or known["UNKNOWN"]
            target = Path(self.build_lib) / "mailroom" / "cli" / "commit.txt"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(f"{commit}\n", encoding="utf-8")
