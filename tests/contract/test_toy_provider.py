"""A toy provider is added to a copy of the checkout as docs/adding-a-provider.md says: six files, sending and events."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.unit.test_provider_registry import FILES

ROOT = Path(__file__).resolve().parents[2]
TOY = ROOT / "tests" / "data" / "toy_provider"
ROWS = tomllib.loads((TOY / "rows.toml").read_text())["row"]
#: A part of the contract suite: the whole has behaviours that take long.
CHOSEN = (
    "test_a_batch_goes_out or test_it_is_listed"
    " or (toy and (sent_once_and_returns or order_of_the_mails or each_answer or leads_to or names_every or a_hook_is))"
)


def copied(checkout: Path) -> Path:
    """Return a copy of the files that the toy's tests need."""
    for name in ("mailroom", "blocks", "docs"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("pictures"))
    shutil.copytree(ROOT / "tests", checkout / "tests", ignore=shutil.ignore_patterns("data", "e2e", "flows", "faults"))
    shutil.copy(ROOT / "pyproject.toml", checkout)
    return checkout


def add_toy(checkout: Path) -> set[str]:
    """Add the toy to a checkout and return the files that this made or changed."""
    made = {path.relative_to(TOY) for folder in ("mailroom", "blocks") for path in (TOY / folder).rglob("*.py")}
    for path in made:
        shutil.copy(TOY / path, checkout / path)
    for row in ROWS:
        file = checkout / row["file"]
        before, found, after = file.read_text().partition(row["before"])
        assert found, row
        file.write_text(before + row["lines"].lstrip("\n") + found + after)
    return {path.as_posix() for path in made} | {row["file"] for row in ROWS}


def test_a_provider_is_added_by_the_guide(tmp_path: Path, database_url: str) -> None:
    """The guide's files and no others: a batch is sent, events change statuses, command, blocks and docs list it.

    In a separate process, because the registry is read when modules are imported.
    """
    checkout = copied(tmp_path / "checkout")

    touched = add_toy(checkout)

    assert touched == {path.replace("NAME", "toy") for path in FILES}
    shutil.copy(TOY / "checks.py", checkout / "tests" / "contract" / "test_toy.py")
    tests = ("tests/contract/test_providers.py", "tests/contract/test_toy.py", "tests/unit/test_provider_registry.py")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:hypothesispytest",
            "-k",
            CHOSEN,
            *tests,
        ],
        cwd=checkout,
        env=os.environ | {"TOY_DATABASE_URL": database_url, "TOY_CHECKOUT": str(checkout)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "skipped" not in run.stdout
