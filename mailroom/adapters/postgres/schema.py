"""Whether the database's schema and this code fit each other (docs/adr/0012).

The code has a generation and finds, in the migrations beside it, which revision it needs. The schema has its revision and
the oldest generation of code that it still serves, both written by the last migration. So an old worker goes on with a newer
schema while that serves it, and stops before it harms a mail when it is no longer served.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from alembic.script import Script, ScriptDirectory
from sqlalchemy import Boolean, CheckConstraint, Column, Connection, Integer, MetaData, Table, text, true
from sqlmodel import SQLModel

from mailroom.domain.errors import UnfitSchema

#: The generation of this code. Raise it by one in the change that stops using a table, a column or a value; the migration
#: that removes it comes in a later release and sets `oldest_code = <that generation>`.
GENERATION = 1

MIGRATIONS = Path(__file__).parent / "migrations"

#: One row: the oldest generation of code that the schema serves. Migrations write it (`migrations/env.py`).
schema_serves = Table(
    "schema_serves",
    SQLModel.metadata,
    Column("single", Boolean, CheckConstraint("single"), primary_key=True, server_default=true()),
    Column("oldest_code", Integer, nullable=False),
)

_LACKS = text(
    "select wanted.t || '.' || wanted.c from unnest(cast(:tables as text[]), cast(:columns as text[])) as wanted(t, c)"
    " where not exists (select from pg_attribute where attrelid = to_regclass(quote_ident(wanted.t))"
    " and attname = wanted.c and attnum > 0 and not attisdropped)"
)
_REVISION = text("select string_agg(version_num, '+' order by version_num) from alembic_version")
_OLDEST_CODE = text("select min(oldest_code) from schema_serves")

_VERSION_COLUMN, _SERVES_COLUMN = "alembic_version.version_num", "schema_serves.oldest_code"


@dataclass(frozen=True, slots=True)
class Schema:
    """A database's schema: its revision, None without one; the oldest code that it serves, None if not stored; and which
    columns of this code's tables it lacks, as `table.column`."""

    revision: str | None
    oldest_code: int | None = None
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Code:
    """This code's generation, the revisions that it knows, oldest first, and the revision that it needs."""

    generation: int
    revisions: tuple[str, ...]
    needs: str

    @property
    def newest(self) -> str:
        """The revision that `mailroom migrate` brings a schema to."""
        return self.revisions[-1]

    def is_older(self, revision: str) -> bool:
        """Return whether `revision`, which this code knows, is older than it needs."""
        return self.revisions.index(revision) < self.revisions.index(self.needs)


@cache
def this_code() -> Code:
    """Return this code's generation and revisions. It needs the newest of its migrations without `needed = False`."""
    scripts = migrations()
    needed = [script.revision for script in scripts if getattr(script.module, "needed", True)]
    return Code(GENERATION, tuple(script.revision for script in scripts), needed[-1])


def migrations() -> list[Script]:
    """Return the migrations of this code, oldest first."""
    return list(ScriptDirectory(str(MIGRATIONS)).walk_revisions())[::-1]


def look(connection: Connection) -> Schema:
    """Return the schema of the database of `connection`; reads only."""
    wanted = _wanted_columns()
    lacks = connection.execute(_LACKS, wanted).scalars().all()
    if _VERSION_COLUMN in lacks:
        return Schema(revision=None)
    revision = connection.execute(_REVISION).scalar_one()
    oldest_code = None if _SERVES_COLUMN in lacks else connection.execute(_OLDEST_CODE).scalar_one()
    return Schema(revision, oldest_code, tuple(sorted(lacks)))


def fault(schema: Schema, code: Code) -> UnfitSchema | None:
    """Return why `code` may not work on `schema`, with what to do about it, or None."""
    if schema.revision is None:
        return UnfitSchema("the database has no Mailroom schema; run `mailroom migrate`", needs=code.needs)
    facts: dict[str, Any] = {"schema": schema.revision}
    if schema.revision in code.revisions and code.is_older(schema.revision):
        return UnfitSchema(
            "the schema is older than this version needs; run `mailroom migrate`", **facts, needs=code.needs
        )
    is_newer = schema.revision not in code.revisions
    if (schema.oldest_code or 0) > code.generation or (is_newer and schema.oldest_code is None):
        what = "the schema is newer and no longer compatible with this version; start the version that ran `mailroom migrate`"
        return UnfitSchema(what, **facts, oldest_code=schema.oldest_code, this_code=code.generation)
    if schema.lacks:
        what = "the schema lacks parts of its revision; `mailroom migrate --check` lists what is missing"
        return UnfitSchema(what, **facts, lacks=schema.lacks[0], more=len(schema.lacks) - 1)
    return None


def metadata() -> MetaData:
    """Return all tables of this code, whatever else the process imports."""
    from mailroom.adapters.postgres import models, skipped_rows  # noqa: F401 - they fill the metadata
    from mailroom.adapters.postgres.archive import models as archive_models  # noqa: F401 - they fill the metadata
    from mailroom.adapters.postgres.archive import piece_models, seal_models  # noqa: F401
    from mailroom.adapters.postgres.delivery import earlier_attempts  # noqa: F401 - they fill the metadata
    from mailroom.adapters.postgres.delivery import models as endpoint_models  # noqa: F401 - they fill the metadata
    from mailroom.adapters.postgres.inbound import (
        receiving_models,  # noqa: F401 - they fill the metadata
        replay_models,  # noqa: F401 - they fill the metadata
    )
    from mailroom.adapters.postgres.outbound import (
        lookup_models,  # noqa: F401 - they fill the metadata
        pause_rows,  # noqa: F401 - they fill the metadata
    )
    from mailroom.adapters.postgres.outbound import models as outbound_models  # noqa: F401 - they fill the metadata
    from mailroom.adapters.postgres.tenants import models as people_models  # noqa: F401 - they fill the metadata

    tables: MetaData = SQLModel.metadata
    return tables


@cache
def _wanted_columns() -> dict[str, Any]:
    """Return every column of this code's tables, and Alembic's column of the revision."""
    names = [(table.name, column.name) for table in metadata().tables.values() for column in table.columns]
    names.append(("alembic_version", "version_num"))
    return {"tables": [table for table, _ in names], "columns": [column for _, column in names]}
