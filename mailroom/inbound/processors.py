"""The processors that an address may name: built-in ones, and those of installed packages."""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import INBOX
from mailroom.inbound import digest, tenant_webhook
from mailroom.inbound.processing import Step

GROUP = "mailroom.processors"
"""The entry-point group in which a package registers its processors."""


@cache
def known_processors() -> dict[str, tuple[Step, ...]]:
    """Return the steps of every processor by name.

    Raises:
        ConfigurationError: an installed processor has a name that is taken, or is neither a function nor has steps.
    """
    known = {
        INBOX: (),
        "digest": (Step("answer", digest.answer),),
        "webhook": (Step("tell", tenant_webhook.notify),),
    }
    for point in entry_points(group=GROUP):
        if point.name in known:
            raise ConfigurationError(
                f"a processor named {point.name} is already installed; give {point.value} another name"
            )
        known[point.name] = _steps_of(point.name, point.load())
    return known


def _steps_of(name: str, loaded: Any) -> tuple[Step, ...]:
    if callable(loaded):
        return (Step(name, loaded),)
    steps = getattr(loaded, "steps", None)
    if not isinstance(steps, Sequence) or not steps or not all(isinstance(step, Step) for step in steps):
        raise ConfigurationError(f"processor {name} must be a function or an object with steps")
    return tuple(steps)
