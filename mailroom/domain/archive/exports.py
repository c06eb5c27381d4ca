"""The form of an installation's export: what manifests and journals cannot give back after the database is lost.

Lines of canonical JSON. The first names the form; then one line for each row, with the database's own text of each column that
is not null; the last is the signature (Ed25519) over all bytes before it. So a file that was cut off, or that somebody else
wrote, is recognised as a whole.
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailroom.domain.archive.manifests import canonical

FORMAT, VERSION = "mailroom.export", 1

#: Prefix of the keys in the archive's bucket; no tenant's name begins like that.
FOLDER = "_mailroom/exports/"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an export: the table, and each column's value as the database writes it."""

    table: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Signature:
    """The last line: the SHA-256 of all bytes before it, the key that signed that, the signature, and the public key (PEM).

    Exports of an earlier release have no public key: they are read with the key that signed them alone.
    """

    sha256: str
    key: str
    signature: bytes
    public_key: str = ""


def key_of(moment: datetime) -> str:
    """Return the key of an export: one for each hour at most, so that they sort by time."""
    return f"{FOLDER}{moment.astimezone(UTC):%Y-%m-%dT%H}.jsonl"


def first_line(moment: datetime, schema: str) -> bytes:
    """Return the first line; `schema` is the revision of the database."""
    return _line({"format": FORMAT, "version": VERSION, "at": moment.astimezone(UTC).isoformat(), "schema": schema})


def row_line(row: Row) -> bytes:
    """Return the line of a row."""
    return _line({"table": row.table, "row": dict(row.values)})


def last_line(signature: Signature) -> bytes:
    """Return the line of the signature."""
    signed = b64encode(signature.signature).decode()
    key = {"key": signature.key, "public_key": signature.public_key}
    return _line({"sha256": signature.sha256, "signature": signed} | key)


def statement(sha256: str) -> bytes:
    """Return what is signed: it cannot be taken for anything else that the key signs."""
    return f"mailroom export {sha256}".encode()


def read_first(line: bytes) -> datetime:
    """Return when the export was made.

    Raises:
        ValueError: it is no export of this form.
    """
    facts = _object(line)
    if facts.get("format") != FORMAT or facts.get("version") != VERSION:
        raise ValueError("no export")
    return datetime.fromisoformat(str(facts.get("at")))


def read_row(line: bytes) -> Row:
    """Return the row in a line.

    Raises:
        ValueError: it is no row.
    """
    facts = _object(line)
    table, values = facts.get("table"), facts.get("row")
    if not isinstance(table, str) or not isinstance(values, dict):
        raise ValueError("no row of an export")
    return Row(table, {str(name): str(value) for name, value in values.items()})


def read_last(line: bytes) -> Signature:
    """Return the signature in the last line.

    Raises:
        ValueError: it is none.
    """
    facts = _object(line)
    signature, public_key = b64decode(str(facts.get("signature"))), str(facts.get("public_key", ""))
    return Signature(str(facts.get("sha256")), str(facts.get("key")), signature, public_key)


def _line(value: dict[str, Any]) -> bytes:
    return canonical(value) + b"\n"


def _object(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("no object")
    return value
