"""The files of `mailroom send`: recipients (CSV or JSON) and template. Faults name the row."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailroom.cli import _csv_file
from mailroom.domain.errors import ConfigurationError
from mailroom.outbound.template_data import is_blank, template_name

_RECIPIENT_COLUMNS = ("reference", "metadata")
_HEADERS = {"subject": "subject", "reply-to": "reply_to", "unsubscribe": "unsubscribe"}


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient in the API's form, and its row number: as in a spreadsheet, the header is row 1."""

    number: int
    recipient: dict[str, Any]


def recipients(file: Path, note: Callable[[str], object] = lambda _: None) -> list[Row]:
    """Return the recipients; `note` is called with what was assumed of the file.

    A CSV has a header with `to` and optionally `reference` and `metadata` (a JSON object of texts); each other column is data for
    the template, and null where its cell is blank. JSON is an array of
    objects with the same names, or in the API's form, with `data`.

    Raises:
        ConfigurationError: the file cannot be used; the message names the row.
    """
    rows = _from_json(file, _read(file)) if file.suffix.lower() == ".json" else _from_csv(file, note)
    if not rows:
        raise ConfigurationError(f"{file}: no recipients")
    return rows


def template(file: Path) -> dict[str, Any]:
    """Return the template in the API's form.

    The file begins with `Subject: ...`, optionally `Reply-To:` and `Unsubscribe:`, then an empty line; the rest is the text,
    or the HTML if the file's name ends in .html. A .json file is the API's template itself.

    Raises:
        ConfigurationError: it has no subject, or is not a JSON object.
    """
    text, kind = _read(file), file.suffix.lower()
    if kind == ".json":
        document = _json(file, text)
        if not isinstance(document, dict):
            raise ConfigurationError(f"{file}: a JSON template must be one object")
        return document
    head, _, body = text.partition("\n\n")
    fields: dict[str, Any] = {}
    for number, line in enumerate(head.splitlines(), 1):
        name, colon, value = line.partition(":")
        field = _HEADERS.get(name.strip().lower())
        if not colon or field is None:
            raise ConfigurationError(
                f"{file}, line {number}: a template starts with `Subject: ...`, then an empty line, then the text"
            )
        fields[field] = value.strip()
    if "subject" not in fields:
        raise ConfigurationError(f"{file}: the first line must be `Subject: ...`")
    return fields | {"html" if kind in (".html", ".htm") else "text": body}


def _from_csv(file: Path, note: Callable[[str], object]) -> list[Row]:
    text, assumed = _csv_file.decoded(file, _bytes(file))
    if assumed is not None:
        note(f"{file}: read as {assumed}; if names are wrong with --preview, {_csv_file.SAVE_AS}")
    header: list[str] = []
    rows = []
    for number, cells in _csv_file.rows(file, text):
        if header:
            filled = {name: None if is_blank(cell) else cell for name, cell in zip(header, cells, strict=True)}
            rows.append(_row(file, number, filled))
        else:
            header = _header(file, number, cells)
    return rows


def _header(file: Path, number: int, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    if "to" not in names:
        raise _wrong(file, number, "the header needs a column `to`, in lower case")
    known: dict[str, str] = {}
    for name in names:
        short = template_name(name)
        if short and short in known:
            pair = f"`{known[short]}` and `{name}` are both `{{{{ {short} }}}}` in a template"
            raise _wrong(file, number, f"each column needs a different name: {pair}")
        known[short] = name
    return names


def _from_json(file: Path, text: str) -> list[Row]:
    entries = _json(file, text)
    if not isinstance(entries, list):
        raise ConfigurationError(f"{file}: recipients in JSON must be an array of objects")
    rows = []
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise _wrong(file, number, "must be an object")
        rows.append(_row(file, number, entry))
    return rows


def _row(file: Path, number: int, fields: dict[str, Any]) -> Row:
    to = fields.get("to")
    if not isinstance(to, str) or not to.strip():
        raise _wrong(file, number, "`to` is missing")
    if isinstance(fields.get("data"), dict):
        return Row(number, fields | {"to": to.strip()})
    own = {name: fields[name] for name in _RECIPIENT_COLUMNS if fields.get(name) is not None}
    if isinstance(own.get("metadata"), str):
        own["metadata"] = _metadata(file, number, own["metadata"])
    data = {name: value for name, value in fields.items() if name != "to" and name not in _RECIPIENT_COLUMNS}
    return Row(number, {"to": to.strip(), "data": data, **own})


def _metadata(file: Path, number: int, cell: str) -> dict[str, str]:
    """Return the metadata in a cell of a CSV: a JSON object of texts; a blank cell has none."""
    try:
        found = json.loads(cell) if cell.strip() else {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise _wrong(file, number, '`metadata` must be a JSON object of texts, such as {"invoice": "7"}')
    return found


def _json(file: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ConfigurationError(f"{file}{place}: invalid JSON") from None


def _read(file: Path) -> str:
    raw = _bytes(file)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{file}, line {line}: not UTF-8; save the file as UTF-8") from None
    # A CSV's quoted cells may contain line ends; their kind does not matter in a mail.
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or 'cannot be read'}") from None


def _wrong(file: Path, number: int, what: str) -> ConfigurationError:
    return ConfigurationError(f"{file}, row {number}: {what}")
