"""Alembic's entry: runs the migrations on the engine that `mailroom.adapters.postgres.engine.migrate` gives, or prints their SQL."""

from collections.abc import Collection, Mapping
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import text

from mailroom.adapters.postgres.engine import LONGEST_WAIT_MS
from mailroom.adapters.postgres.schema import metadata

#: The advisory lock that keeps two processes from migrating at the same time.
_LOCK = 5_318_008

_attributes = context.config.attributes


def _note(ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]) -> None:
    """Write into the schema the oldest code that its new revision serves, and add the revision to `applied`."""
    _attributes.setdefault("applied", []).append(step.up_revision_id)
    for revision in step.destination_revision_ids:
        oldest_code = getattr(context.script.get_revision(revision).module, "oldest_code", None)
        if oldest_code is not None:
            values = f"insert into schema_serves (oldest_code) values ({int(oldest_code)})"  # noqa: S608 - our own number
            ctx.impl.execute(text(f"{values} on conflict (single) do update set oldest_code = excluded.oldest_code"))


if context.is_offline_mode():
    context.configure(
        dialect_name="postgresql",
        # With the driver's own style each % would be doubled.
        dialect_opts={"paramstyle": "named"},
        on_version_apply=_note,
        output_buffer=_attributes["output"],
    )
    with context.begin_transaction():
        context.run_migrations()
else:
    with _attributes["engine"].connect() as connection:
        context.configure(connection=connection, target_metadata=metadata(), on_version_apply=_note)
        with context.begin_transaction():
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            # After that lock, for which one waits as long as the other migrates.
            connection.execute(
                text("select set_config('lock_timeout', :longest, true)"), {"longest": str(LONGEST_WAIT_MS)}
            )
            context.run_migrations()
