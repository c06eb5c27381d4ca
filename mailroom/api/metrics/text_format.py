"""Prometheus's text format (version 0.0.4)."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from math import isfinite

Sample = tuple[dict[str, str], float]


def metric(name: str, kind: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Yield the lines of one metric: help and type, then each sample."""
    yield from head(name, kind, about)
    yield from (sample(name, labels, value) for labels, value in samples)


def head(name: str, kind: str, about: str) -> Iterator[str]:
    """Yield the lines of help and type."""
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def sample(name: str, labels: dict[str, str], value: float) -> str:
    """Return the line of one sample."""
    values = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    number = int(value) if isfinite(value) and value == int(value) else value
    return f"{name}{{{values}}} {number}" if values else f"{name} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def age(name: str, about: str, since: datetime | None, now: datetime) -> Iterator[str]:
    """Yield the metric of an age in seconds; without `since` it is 0."""
    seconds = max((now - since).total_seconds(), 0.0) if since else 0.0
    yield from metric(name, "gauge", f"{about[:-1]}, 0 if none.", [({}, round(seconds, 3))])


def as_text(lines: Iterable[str]) -> str:
    """Return the lines as one text."""
    return "\n".join(lines) + "\n"
