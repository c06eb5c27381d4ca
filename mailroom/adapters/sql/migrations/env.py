"""Alembic's entry: runs the migrations on the engine that `mailroom.adapters.sql.engine.migrate` hands over."""

from alembic import context
from sqlalchemy import text
from sqlmodel import SQLModel

from mailroom.adapters.sql import endpoint_models, models, outbound_models, skipping  # noqa: F401 - fills the metadata that autogenerate compares with

#: Two processes that start at once must not migrate at once.
_LOCK = 5_318_008

with context.config.attributes["engine"].connect() as connection:
    context.configure(connection=connection, target_metadata=SQLModel.metadata)
    with context.begin_transaction():
        connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        context.run_migrations()
