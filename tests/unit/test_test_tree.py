"""The tree of the tests: helpers are in one place, and pytest rewrites their assertions as those of tests."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
#: Programs and data, which no test imports.
_APART = ("support", "data", "fuzz", "e2e/faults")


def test_helpers_of_tests_are_in_support() -> None:
    """A newcomer looks for helpers in one place, and two tiers find each other's."""
    files = [path.relative_to(TESTS) for path in TESTS.rglob("*.py")]
    loose = [path for path in files if not path.name.startswith("test_") and path.name != "conftest.py"]

    assert [str(path) for path in loose if not path.as_posix().startswith(_APART)] == []
