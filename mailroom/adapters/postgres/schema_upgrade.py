"""Upgrade of the schema to the newest revision that this code knows, its status and its SQL; there is no downgrade."""

import io
import logging
import time
from dataclasses import dataclass

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, OperationalError

from mailroom.adapters.postgres.engine import make_engine, migrate, refuse_unfit, transaction
from mailroom.adapters.postgres.roles import Grants, grant_roles
from mailroom.adapters.postgres.schema import MIGRATIONS, Schema, fault, look, migrations, this_code
from mailroom.domain.errors import ConfigurationError, MailroomError, PermanentError, TransientError, UnfitSchema

#: SQLSTATEs of a deadlock, and of a table that running processes would not leave in time.
_IN_USE = frozenset({"40P01", "55P03"})
#: How often migrations are tried while tables are in use, and the seconds in between, in which the others go on.
_TRIES, _PAUSE_S = 5, 2.0

_STILL_IN_USE = (
    "running processes use the tables that a migration needs; nothing was changed; "
    "run `mailroom migrate` again, or stop the workers and the HTTP service first"
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PendingMigration:
    """A migration that is still to run, with one sentence on what it does."""

    revision: str
    what: str


@dataclass(frozen=True, slots=True)
class SchemaStatus:
    """The status of a database's schema: `revision` None is no schema; `fault` is why this code may not work on it.

    `lacks` are columns that this code uses and that are missing, as `table.column`.
    """

    revision: str | None
    newest: str
    pending: tuple[PendingMigration, ...]
    fault: UnfitSchema | None
    lacks: tuple[str, ...] = ()

    @property
    def is_newer(self) -> bool:
        """Whether a newer version of Mailroom has migrated it: nothing is pending, and its revision is not our newest."""
        return not self.pending and self.revision != self.newest


@dataclass(frozen=True, slots=True)
class UpgradeResult:
    """The result of an upgrade: revisions before and after, and those that it ran; none if another process ran them."""

    begun_at: str | None
    ended_at: str
    applied: tuple[str, ...]
    roles: Grants


def schema_status(url: str) -> SchemaStatus:
    """Return the status of the schema of the database at `url`; reads only.

    Raises:
        TransientError: the database cannot be reached.
    """
    engine = make_engine(url, pool_size=1)
    try:
        with transaction(engine, gated=False) as connection:
            return _status_of(look(connection))
    finally:
        engine.dispose()


def upgrade(url: str, application_url: str = "") -> UpgradeResult:
    """Migrate the schema to the newest revision in one transaction; of two concurrent calls one waits for the other.

    `url` is the owner's. Afterwards the application's role has what it needs, and the login of `application_url` is a member.

    Running workers and services hold locks in an order of their own: where the migrations meet one, they are tried again.

    Raises:
        PermanentError: the schema is newer than this code knows, or a migration failed; nothing is changed.
        UnfitSchema: it is at the newest revision and lacks columns of it, which no migration restores.
        TransientError: the database cannot be reached or cannot serve now; nothing is changed.
    """
    before = schema_status(url)
    refuse_newer(before)
    applied: list[str] = []
    try:
        _migrate(url, applied)
    except DBAPIError as error:
        failed = next((one.revision for one in before.pending if one.revision not in applied), None)
        facts = {"migration": failed, "sqlstate": _sqlstate(error)}
        kind = TransientError if isinstance(error, OperationalError) else PermanentError
        what = _STILL_IN_USE if _sqlstate(error) in _IN_USE else "a migration failed; nothing was changed"
        raise kind(what, **facts) from error
    except CommandError:
        # Another version migrated further between the check and the lock.
        refuse_newer(schema_status(url))
        raise
    after = schema_status(url)
    if after.fault is not None:
        raise after.fault
    return UpgradeResult(before.revision, this_code().newest, tuple(applied), grant_roles(url, application_url))


def _migrate(url: str, applied: list[str]) -> None:
    """Migrate; a try that ends by a lock of others has changed nothing, and is repeated."""
    for left in reversed(range(_TRIES)):
        applied.clear()
        try:
            return migrate(url, applied)
        except DBAPIError as error:
            if not left or _sqlstate(error) not in _IN_USE:
                raise
            log.warning("running processes use the tables; nothing was changed, tries left: %d", left)
        time.sleep(_PAUSE_S)
    return None


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def refuse_newer(schema: SchemaStatus) -> None:
    """Return if the schema is not newer than this code.

    Raises:
        PermanentError: it is.
    """
    if schema.is_newer:
        serves = "no longer compatible" if schema.fault else "still compatible: start this version without migrating"
        raise PermanentError(
            f"the schema is newer than this version and {serves}; nothing was changed, Mailroom never downgrades",
            schema=schema.revision,
            newest_known=schema.newest,
        )


def refuse_start(url: str) -> None:
    """Return if a process may start on the database at `url`; an unreachable one is waited for later.

    Raises:
        ConfigurationError: the schema does not fit this code; the message says what to do.
    """
    engine = make_engine(url, pool_size=1)
    try:
        refuse_unfit(engine)
    except UnfitSchema as error:
        raise ConfigurationError(str(error)) from None
    except MailroomError as error:
        log.warning("the schema cannot be checked yet: %s", error)
    finally:
        engine.dispose()


def sql_of(schema: SchemaStatus) -> str:
    """Return the SQL of the pending migrations; nothing is run."""
    if not schema.pending:
        return ""
    output = io.StringIO()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["output"] = output
    begin = f"{schema.revision}:" if schema.revision else ""
    command.upgrade(config, f"{begin}{schema.newest}", sql=True)
    return output.getvalue()


def _status_of(schema: Schema) -> SchemaStatus:
    code = this_code()
    pending: tuple[PendingMigration, ...] = ()
    if schema.revision is None or schema.revision in code.revisions:
        known = 0 if schema.revision is None else code.revisions.index(schema.revision) + 1
        pending = tuple(
            PendingMigration(script.revision, (script.doc or "").splitlines()[0] if script.doc else "")
            for script in migrations()[known:]
        )
    return SchemaStatus(schema.revision, code.newest, pending, fault(schema, code), schema.lacks)
