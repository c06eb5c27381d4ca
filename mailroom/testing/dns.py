"""DNS in memory."""

from mailroom.ports.dns import RecordType

Records = dict[tuple[str, RecordType], tuple[str, ...]]


class MemoryDns:
    """The port `Dns` with these records; for a name in `silent` no server answers."""

    def __init__(self, records: Records, *, silent: frozenset[str] = frozenset()) -> None:
        self._records, self._silent = records, silent

    def records(self, name: str, kind: RecordType) -> tuple[str, ...] | None:
        """Return the values of the records."""
        return None if name in self._silent else self._records.get((name, kind), ())
