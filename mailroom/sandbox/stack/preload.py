"""Imports a part's module before its start: `python -m mailroom.sandbox.stack.preload MODULE GATE`.

Importing Prefect costs each part five seconds of one core, spent while the Prefect server still starts: the
module is imported at once, and its `main` runs when the file GATE is there, with the environment that is written in it.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

_PAUSE_S = 0.05


def run_later(module: str, gate: Path) -> None:
    """Run `module`'s `main` after `gate` opened."""
    imported = importlib.import_module(module)
    while not gate.exists():
        time.sleep(_PAUSE_S)
    os.environ.update(json.loads(gate.read_text()))
    gate.unlink()
    sys.argv = [module]
    imported.main()


if __name__ == "__main__":
    run_later(sys.argv[1], Path(sys.argv[2]))
