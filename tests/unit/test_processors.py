"""The known processors: our own and those of installed packages."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailroom.domain.errors import ConfigurationError
from mailroom.inbound import processors
from mailroom.inbound.processing import Step


class Point:
    """An entry point of an installed package."""

    value = "somewhere:thing"

    def __init__(self, name: str, thing: Any) -> None:
        self.name, self._thing = name, thing

    def load(self) -> Any:
        return self._thing


class Several:
    """A processor of two steps."""

    steps = (Step("first", lambda mail, inbound: {"n": 1}), Step("second", lambda mail, inbound: None))


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def installed(**things: Any) -> None:
        points = [Point(name, thing) for name, thing in things.items()]
        monkeypatch.setattr(processors, "entry_points", lambda group: points)
        processors.known_processors.cache_clear()

    yield installed
    monkeypatch.undo()
    processors.known_processors.cache_clear()


def test_installed_processors_are_listed_with_our_own(install: Any) -> None:
    """A function is one step, an object with steps is several."""
    install(stamp=lambda mail, inbound: None, several=Several())

    known = processors.known_processors()

    assert {name: [step.name for step in steps] for name, steps in known.items()} == {
        "inbox": [], "digest": ["answer"], "webhook": ["tell"], "stamp": ["stamp"], "several": ["first", "second"],
    }  # fmt: skip


@pytest.mark.parametrize("things", [{"digest": len}, {"broken": 7}, {"empty": type("X", (), {"steps": ()})()}])
def test_unusable_processor_is_a_fault_of_the_set_up(install: Any, things: dict[str, Any]) -> None:
    """The fault must be raised at the start, not show as a mail that is silently not processed."""
    install(**things)

    with pytest.raises(ConfigurationError):
        processors.known_processors()
