"""The providers' capabilities as a table for `mailroom providers`, read from the provider classes."""

from dataclasses import fields
from pkgutil import resolve_name

from mailroom.domain.outbound.providers import REGISTRY
from mailroom.ports.provider import Capabilities

PROVIDERS: dict[str, Capabilities] = {row.name: resolve_name(row.adapter).capabilities for row in REGISTRY}


def table() -> str:
    """Return the capabilities of all providers as a Markdown table."""
    names = [field.name for field in fields(Capabilities)]
    rows = [["provider", *names], ["---"] * (len(names) + 1)]
    rows += [[name, *(_shown(getattr(can, column)) for column in names)] for name, can in PROVIDERS.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _shown(value: bool | int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}"
