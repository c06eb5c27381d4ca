"""Doubles and ports: every double of a port passes the port's contract suite beside an adapter.

All are found by inspection: the ports are the protocols of the product, a double of one is a class that has its methods
with their parameters, and a suite is a parametrised fixture or test that makes both the double and an adapter.
"""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import mailroom
import mailroom.testing

TESTS = Path(__file__).parents[1]
Methods = dict[str, tuple[str, ...]]


def classes_of(package: Any) -> Iterator[type]:
    """Yield each class that a module of the package defines."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations" not in found.name and not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            yield from (one for one in vars(module).values() if inspect.isclass(one) and one.__module__ == found.name)


@cache
def ports() -> dict[type, Methods]:
    """Return the protocols of the product that have methods."""
    found = {one: methods_of(one) for one in classes_of(mailroom) if getattr(one, "_is_protocol", False)}
    return {port: methods for port, methods in found.items() if methods}


@cache
def doubles() -> tuple[type, ...]:
    """Return the classes of `mailroom.testing` that have a method of a port."""
    return tuple(one for one in classes_of(mailroom.testing) if any(shared(methods_of(one), port) for port in ports()))


def methods_of(made: type) -> Methods:
    """Return the public methods of a class with the names of their parameters."""
    functions = inspect.getmembers(made, inspect.isfunction)
    public = [(name, one) for name, one in functions if name == "__call__" or not name.startswith("_")]
    return {name: tuple(inspect.signature(one).parameters)[1:] for name, one in public}


def shared(methods: Methods, port: type) -> int:
    """Return how many methods of the port are there, parameters and all."""
    return sum(methods.get(name) == parameters for name, parameters in ports()[port].items())


def answered(methods: Methods) -> set[type]:
    """Return the ports that these methods answer in full."""
    return {port for port, asked in ports().items() if shared(methods, port) == len(asked)}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def statements(path: Path) -> tuple[ast.stmt, ...]:
    """Return the statements of a module, those in a `with` too."""
    return tuple(one for node in tree(path).body for one in (node, *(node.body if isinstance(node, ast.With) else ())))


@cache
def made_by(path: Path, name: str) -> frozenset[type]:
    """Return the product's classes that a name of a test module leads to, through functions and classes of tests and doubles."""
    found, seen, waiting = set[type](), set[tuple[Path, str]](), [(path, name)]
    while waiting:
        at, wanted = waiting.pop()
        if (at, wanted) in seen:
            continue
        seen.add((at, wanted))
        for node in statements(at):
            if isinstance(node, ast.ImportFrom):
                module = node.module or ""
                for name_there in [one.name for one in node.names if wanted == (one.asname or one.name)]:
                    if module.startswith(("tests.", "mailroom.testing.")):
                        path_there = TESTS.parent / f"{module.replace('.', '/')}.py"
                        # A module that is imported whole has no names of its own here.
                        waiting += [(path_there, name_there)] if path_there.is_file() else []
                    if module.startswith("mailroom."):
                        one = getattr(importlib.import_module(module), name_there, None)
                        found |= {one} if inspect.isclass(one) else set()
            elif wanted in names_bound(node):
                waiting += [(at, used) for used in names_used(node)]
    return frozenset(found)


def names_bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]


def names_used(node: ast.AST) -> set[str]:
    """Return the names in a piece of code, those of the fixtures that it uses too."""
    names = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
    return names | {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}


@cache
def suites() -> tuple[frozenset[type], ...]:
    """Return what each parametrised fixture of the tests makes, and what each test is parametrised with."""
    found = list[frozenset[type]]()
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in statements(path):
            if isinstance(node, ast.FunctionDef):
                parametrised = [one for one in node.decorator_list if "param" in ast.unparse(one)]
                whole = [node] if any("fixture" in ast.unparse(one) for one in parametrised) else parametrised
                used = {name for piece in whole for name in names_used(piece)}
                found.append(frozenset().union(*(made_by(path, name) for name in used)))
    return tuple(found)


@pytest.mark.parametrize("double", doubles(), ids=lambda double: double.__name__)
def test_every_double_runs_in_a_suite_beside_an_adapter_of_its_port(double: type) -> None:
    """A double without a contract suite may differ from its port, and so may the tests that use it."""
    answers = answered(methods_of(double))
    beside = {one for made in suites() if double in made for one in made if ".adapters." in one.__module__}

    assert answers, f"{double.__name__} has some methods of a port and not all: it passes no suite"
    proved = {port for one in beside for port in answered(methods_of(one)) & answers}
    assert proved, f"no parametrised suite makes {double.__name__} and an adapter of {names(answers)}"


def test_no_double_leaves_a_method_of_its_port_out() -> None:
    """A method that raises NotImplementedError is not implemented."""
    halves = [
        f"{path.name}:{node.lineno}"
        for path in Path(mailroom.testing.__path__[0]).glob("*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Name) and node.id == "NotImplementedError"
    ]

    assert halves == []


def test_no_test_makes_a_double_of_its_own() -> None:
    """A class that wraps a double or an adapter, to fail or to observe, is one of those; any other would pass no contract suite."""
    found = [
        f"{path.relative_to(TESTS)}:{node.lineno} {node.name}: {names(alike)}"
        for path in sorted(TESTS.rglob("*.py"))
        # A whole provider that the guide's own test adds to the product: it runs in the contract suites there.
        if not path.is_relative_to(TESTS / "data")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ClassDef) and not wraps(path, node) and (alike := imitated(written(node)))
    ]

    assert found == []


def wraps(path: Path, node: ast.ClassDef) -> bool:
    """Return whether a class of the tests is one of the product, or of `mailroom.testing`."""
    return any(made_by(path, one.id) for base in node.bases for one in ast.walk(base) if isinstance(one, ast.Name))


def imitated(methods: Methods) -> set[type]:
    """Return the ports of which these methods answer all, or one that takes something."""
    return answered(methods) | {
        port
        for port, asked in ports().items()
        if len(asked) > 1 and any(parameters and methods.get(name) == parameters for name, parameters in asked.items())
    }


def written(node: ast.ClassDef) -> Methods:
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    return {one.name: tuple(a.arg for a in (*one.args.args[1:], *one.args.kwonlyargs)) for one in functions}


def names(classes: set[type]) -> str:
    return ", ".join(sorted(one.__name__ for one in classes))


#: Stand-ins of our own classes that are no ports: what each stands in for.
STAND_INS = {
    ("tests.support.inbound_listener", "Runs"): ("deployments.worker.runs", "InboundRuns"),
    ("tests.support.inbound_listener", "Lanes"): ("deployments.worker.lanes", "Lanes"),
    ("tests.flows.test_lanes", "Held"): ("deployments.worker.lanes", "Lanes"),
    ("tests.unit.test_soak_stack", "FewParts"): ("mailroom.sandbox.stack.stack", "Stack"),
}


@pytest.mark.parametrize(("stand_in", "real"), STAND_INS.items(), ids=lambda pair: pair[1])
def test_a_stand_in_of_a_class_has_its_methods_as_they_are(stand_in: tuple[str, str], real: tuple[str, str]) -> None:
    """A method that was renamed, or has another parameter, would go on working in the tests alone."""
    standing, original = (getattr(importlib.import_module(module), name) for module, name in (stand_in, real))

    assert methods_of(standing)
    assert methods_of(standing).items() <= methods_of(original).items()


def test_every_stand_in_is_among_them() -> None:
    """A new one that says so in its docstring is compared as well."""
    named = {
        (".".join(path.relative_to(TESTS.parent).with_suffix("").parts), node.name)
        for path in sorted(TESTS.rglob("*.py"))
        for node in statements(path)
        if isinstance(node, ast.ClassDef) and "Stands in for" in (ast.get_docstring(node) or "")
    }

    assert len(named) > 2
    assert named <= STAND_INS.keys()
