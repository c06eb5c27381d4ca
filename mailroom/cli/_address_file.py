"""The file of `mailroom address import`: receiving addresses as CSV. Every fault is named with its row."""

from collections.abc import Callable
from pathlib import Path

from mailroom.cli import _csv_file
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.inbound.routing import Address
from mailroom.domain.tenants import tenant_name
from mailroom.inbound.address_book import MOST_IMPORTED, read_address

_COLUMNS = ("address", "user", "tenant", "processor")
_MOST_BYTES = 20 << 20
#: Faults that are shown; a file of another kind has one in each row.
_SHOWN = 20


def addresses_in(file: Path, tenant: str, say: Callable[[str], object]) -> list[Address]:
    """Return the addresses of a file; `say` gets what was assumed of it, and a line for each fault.

    `tenant` is that of rows that name none. Columns are `address`, `user`, `tenant` and `processor`, in any order and case.

    Raises:
        ConfigurationError: the file cannot be used, or a row has a fault.
    """
    names: list[str] = []
    read: dict[tuple[str, str], Address] = {}
    faults: list[tuple[int, str]] = []
    rows_of: dict[tuple[str, str], int] = {}
    for number, cells in _csv_file.rows(file, _text(file, say)):
        if not names:
            names = _header(file, cells)
            continue
        row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        try:
            one = _address(row, tenant)
            if (first := rows_of.setdefault((one.pattern, one.tenant), number)) != number:
                raise ValueError(f"the same address as row {first}")
        except ValueError as error:
            faults.append((number, str(error)))
            continue
        read[one.pattern, one.tenant] = one
        if len(read) > MOST_IMPORTED:
            raise ConfigurationError(f"{file}: more than {MOST_IMPORTED} addresses; split it; nothing was imported")
    if faults:
        _refuse(file, faults, len(read) + len(faults), say)
    if not read:
        raise ConfigurationError(f"{file}: no addresses")
    return list(read.values())


def _address(row: dict[str, str], tenant: str) -> Address:
    owner = tenant_name(row["tenant"]) if row.get("tenant") else tenant
    # A spreadsheet that must not take @domain for a formula has an apostrophe before it.
    written = row["address"].removeprefix("'") if row["address"].startswith("'@") else row["address"]
    return read_address(written, owner, user=row.get("user"), processor=row.get("processor"))


def _header(file: Path, cells: list[str]) -> list[str]:
    names = [cell.lower() for cell in cells]
    strange = [name for name in names if name not in _COLUMNS]
    if "address" not in names or strange or len(set(names)) < len(names):
        has = f"; `{strange[0][:50]}` is none of them" if strange else ""
        raise ConfigurationError(f"{file}: the header must have `address`, and may have user, tenant, processor{has}")
    return names


def _refuse(file: Path, faults: list[tuple[int, str]], rows: int, say: Callable[[str], object]) -> None:
    for number, what in faults[:_SHOWN]:
        say(f"{file}, row {number}: {what}")
    if len(faults) > _SHOWN:
        say(f"and {len(faults) - _SHOWN} more")
    raise ConfigurationError(f"{file}: {len(faults)} of {rows} rows have a fault; nothing was imported")


def _text(file: Path, say: Callable[[str], object]) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise ConfigurationError(f"{file}: more than {_MOST_BYTES >> 20} MB; split it")
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror or 'cannot be read'}") from None
    text, assumed = _csv_file.decoded(file, raw)
    if assumed is not None:
        say(f"{file}: read as {assumed}; if names are wrong with --dry-run, {_csv_file.SAVE_AS}")
    return text
