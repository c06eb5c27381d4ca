"""Files that a row of `mailroom send` attaches to its own mail: named in a column, read from the folder of the list."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mailroom.cli._recipients_file import Row
from mailroom.domain.errors import ConfigurationError, Fault, Unacceptable
from mailroom.domain.outbound.message import LIMITS
from mailroom.domain.readable import size


def with_files(file: Path, rows: Sequence[Row], columns: Sequence[str]) -> list[Row]:
    """Return the rows with the files that these columns name as attachments, in the API's form.

    A cell is one path, or several with `;` between, relative to the folder of `file`; a blank one attaches nothing. A list
    may come from others, so nothing outside that folder is attached: not by `..`, nor through a link.

    Raises:
        ConfigurationError: no row has such a column, or all files together are more than a request may have.
        Unacceptable: with a fault for each row whose file cannot be attached.
    """
    for column in columns:
        if not any(column in _values(row) for row in rows):
            known = ", ".join(sorted(_values(rows[0])))
            raise ConfigurationError(f"{file}: no column `{column}` for --attach-column; it has {known}")
    reader = _Reader(file.parent)
    faults: list[Fault] = []
    found: list[Row] = []
    for at, row in enumerate(rows):
        attachments = list(row.recipient.get("attachments") or [])
        for column in columns:
            for name in reader.names(_values(row).get(column)):
                try:
                    attachments.append(reader.attachment(name))
                except ValueError as error:
                    faults.append(Fault(("recipients", at, "attachments"), f"{column} `{_short(name)}`: {error}"))
        found.append(replace(row, recipient=row.recipient | {"attachments": attachments}) if attachments else row)
    if faults:
        raise Unacceptable("files of the list cannot be attached", faults=tuple(faults))
    return found


def _values(row: Row) -> dict[str, Any]:
    data = row.recipient.get("data")
    return data if isinstance(data, dict) else {}


def _short(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:100]}..."


class _Reader:
    """Reads files of one folder, each once; all together are at most what a request may have."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = folder.resolve()
        self._read: dict[Path, dict[str, str]] = {}
        self._total = 0

    def names(self, cell: Any) -> list[str]:
        """Return the paths in a cell: the whole of it where that is a file, else its parts."""
        text = cell.strip() if isinstance(cell, str) else ""
        if ";" not in text or self._is_file(text):
            return [text] if text else []
        return [part.strip() for part in text.split(";") if part.strip()]

    def attachment(self, name: str) -> dict[str, str]:
        """Return the file as the API takes an attachment.

        Raises:
            ValueError: it cannot be attached; the text says why.
        """
        try:
            path = (self._folder / name).resolve()
            if not path.is_relative_to(self._root):
                raise ValueError("outside the folder of the list; put the file there")
            if path not in self._read:
                if not path.is_file():
                    raise ValueError("no such file" if not path.exists() else "not a file")
                if path.stat().st_size > LIMITS.mail:
                    raise ValueError(f"too large: a mail has at most {size(LIMITS.mail)}")
                content = base64.b64encode(path.read_bytes()).decode()
                self._read[path] = {"filename": path.name, "content": content}
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else None
            raise ValueError(why or "it cannot be read") from None
        one = self._read[path]
        self._total += len(one["content"])
        if self._total > LIMITS.body:
            raise ConfigurationError(
                f"the attached files are over {size(LIMITS.body)}, the most that a request may have: send the list in parts;"
                " a file for everybody is attached once, by a template in JSON"
            )
        return one

    def _is_file(self, name: str) -> bool:
        try:
            return (self._folder / name).is_file()
        except (OSError, ValueError):
            return False
