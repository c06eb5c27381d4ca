"""Shared by `backup` and `restore`: a backup's description, and the contents of a database."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.cli._installation import Opened
from mailroom.domain.archive.journal import OperationsKind, Stream
from mailroom.domain.errors import ConfigurationError
from mailroom.domain.tenants import NOBODY

#: Counts that people recognise a database by, each with its table.
_COUNTED = {"inbound_email": "e-mails", "inbox_item": "items", "batch": "batches", "message": "messages"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A backup's description: when it was begun, its schema's revision, and its installation and counter."""

    made_at: datetime
    revision: str
    counter: int
    installation: str | None

    def as_text(self) -> str:
        """Return the JSON text that is stored beside the dump."""
        return json.dumps(asdict(self) | {"made_at": self.made_at.isoformat()}, indent=1) + "\n"


def about_file(file: Path) -> Path:
    """Return the path of the description of `file`."""
    return file.with_name(f"{file.name}.json")


def read_backup(file: Path) -> Backup:
    """Return a backup's description.

    Raises:
        ConfigurationError: there is none, or `mailroom backup` did not write it.
    """
    try:
        values: dict[str, Any] = json.loads(about_file(file).read_text())
        return Backup(**values | {"made_at": datetime.fromisoformat(values["made_at"])})
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"{about_file(file)} does not describe {file}; `mailroom backup` writes both files: keep them together"
        ) from None


def restores_of(opened: Opened) -> SqlRestores:
    """Return the detector of restores of this installation."""
    return opened.restores


def journal(opened: Opened, kind: OperationsKind, **facts: Any) -> None:
    """Append what was done to the installation's journal."""
    opened.store.journal.append(NOBODY, Stream.OPERATIONS, kind, facts=facts)


def revision_of(engine: Engine) -> str:
    """Return the revision of the schema; "" if there is none."""
    with transaction(engine, gated=False) as connection:
        there = connection.execute(text("select to_regclass('alembic_version') is not null")).scalar_one()
        return str(connection.execute(text("select version_num from alembic_version")).scalar_one()) if there else ""


def contents_of(engine: Engine) -> dict[str, int]:
    """Return counts of the database's contents, without those whose table does not exist."""
    counts = {}
    with transaction(engine, gated=False) as connection:
        for name, what in _COUNTED.items():
            if connection.execute(text("select to_regclass(:name) is not null"), {"name": name}).scalar_one():
                counts[what] = int(connection.execute(text(f"select count(*) from {name}")).scalar_one())  # noqa: S608 - a constant
    return counts


def others_at_work(engine: Engine) -> list[str]:
    """Return the other clients connected to this database, each by name or address with its number of connections."""
    wanted = """
        select coalesce(nullif(application_name, ''), client_addr::text, 'local') as who, count(*) as sessions
        from pg_stat_activity where datname = current_database() and backend_type = 'client backend'
            and pid <> pg_backend_pid() group by 1 order by 1
    """
    with transaction(engine, gated=False) as connection:
        return [f"{row.who} ({row.sessions})" for row in connection.execute(text(wanted))]
