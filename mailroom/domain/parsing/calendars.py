"""Calendars (RFC 5545): unfolded into properties, and cut into entries and time zones. Nothing is concluded from them.

A cut calendar gives what came before the cut; a line that is no property is skipped. A library was measured instead
(`icalendar` 7.3): it loses a cut calendar, raises on a damaged zone, and takes twice as long to import as the whole parser.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from mailroom.domain.parsing.charsets import storable
from mailroom.domain.parsing.limits import Limits

LONGEST_VALUE = 4_000

_ENTRIES = frozenset({"VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"})
_OBSERVANCES = frozenset({"STANDARD", "DAYLIGHT"})
_FOLD = re.compile(r"\r?\n[ \t]")
_LINE_END = re.compile(r"\r?\n|\r")
_PROPERTY = re.compile(r"([A-Za-z0-9-]{1,60})((?:;[^:\"]{0,500}(?:\"[^\"]{0,500}\"[^:\"]{0,500}){0,20})?):(.*)")
_ESCAPED = re.compile(r"\\(.)")
_ZONE = re.compile(r'(?i);TZID=(?:"([^"]{1,100})"|([^;:"]{1,100}))')
_MOST_VALUES = 200
_MOST_ZONES, _MOST_OBSERVANCES = 20, 20


class Property(NamedTuple):
    """The parameters of a property as they are written (`;TZID=Europe/Berlin`), and its value unescaped."""

    parameters: str
    value: str

    @property
    def zone(self) -> str | None:
        """The time zone that it names."""
        match = _ZONE.search(self.parameters)
        return (match[1] or match[2]).strip() if match else None


@dataclass(slots=True)
class Properties:
    """The properties of a component, by lower-case name; `more` counts those of a name over the limit."""

    component: str
    values: dict[str, list[Property]] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, found: Property) -> None:
        """Add a property, within the limits."""
        values = self.values.setdefault(name, []) if len(self.values) < _MOST_VALUES else self.values.get(name, [])
        if len(values) < _MOST_VALUES:
            values.append(found)
        else:
            self.more[name] = self.more.get(name, 0) + 1

    def first(self, name: str) -> Property | None:
        """Return the first property of this name, or None."""
        return next(iter(self.values.get(name, ())), None)

    def text(self, name: str) -> str | None:
        """Return the value of the first property of this name, or None if it has none or a blank one."""
        found = self.first(name)
        return (found.value.strip() or None) if found else None


@dataclass(slots=True)
class Calendar:
    """A calendar: its own fields, its entries, and the observances of each of its time zones."""

    fields: dict[str, str] = field(default_factory=dict)
    entries: list[Properties] = field(default_factory=list)
    zones: dict[str, list[Properties]] = field(default_factory=dict)
    more_entries: int = 0
    """The number of entries over the limit."""


def read_calendar(text: str, limits: Limits) -> Calendar:
    """Return the calendar in `text`, which has no entry if it is none."""
    calendar = Calendar()
    inside: list[str] = []
    zone: list[Properties] = []
    for name, found in _properties(text):
        if name == "begin" and len(inside) < limits.depth:
            inside.append(found.value.upper())
            if inside[-1] in _ENTRIES and len(calendar.entries) < limits.addresses:
                calendar.entries.append(Properties(inside[-1].lower()))
            elif inside[-1] in _ENTRIES:
                calendar.more_entries += 1
            elif inside[-1] == "VTIMEZONE":
                zone = []
            elif inside[-1] in _OBSERVANCES and len(zone) < _MOST_OBSERVANCES:
                zone.append(Properties(inside[-1].lower()))
        elif name == "end":
            inside = inside[:-1]
        elif inside == ["VCALENDAR"]:
            calendar.fields.setdefault(name, found.value)
        elif inside and inside[-1] == "VTIMEZONE" and name == "tzid" and len(calendar.zones) < _MOST_ZONES:
            calendar.zones.setdefault(found.value.strip(), zone)
        elif inside and inside[-1] in _OBSERVANCES and zone:
            zone[-1].add(name, found)
        elif inside and inside[-1] in _ENTRIES and calendar.entries:
            calendar.entries[-1].add(name, found)
    return calendar


def entry_fields(entry: Properties) -> dict[str, str]:
    """Return an entry as text: a repeated property has a line for each value, and its zone is `<name>-tzid`."""
    fields = {"component": entry.component}
    for name, values in entry.values.items():
        for one in values:
            if one.zone:
                fields.setdefault(f"{name}-tzid", one.zone)
            known = fields.get(name)
            if known is None:
                fields[name] = one.value
            elif len(known) < LONGEST_VALUE:
                fields[name] = f"{known}\n{one.value}"
    return fields


def _properties(text: str) -> Iterator[tuple[str, Property]]:
    for line in _LINE_END.split(_FOLD.sub("", text)):
        if match := _PROPERTY.match(line):
            yield match[1].lower(), Property(match[2], _plain(match[3].strip()))


def _plain(value: str) -> str:
    return storable(_ESCAPED.sub(lambda match: "\n" if match[1] in "nN" else match[1], value[:LONGEST_VALUE]))
