"""Roles of the database: migrations run as its owner, and the application as a role that cannot change what is evidence.

`mailroom_application` is a group without login, and has only what `PRIVILEGES` says. Logins are its members: the one of
MAILROOM_DATABASE_URL, which `mailroom migrate` makes if it is missing, or others that an administrator adds. Roles belong to the
whole cluster; what they may do is granted in each database.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Composed, Identifier, Literal

from mailroom.adapters.postgres.schema import metadata
from mailroom.domain.errors import PermanentError, TransientError

log = logging.getLogger(__name__)

GROUP = "mailroom_application"

_SELECT, _INSERT = "SELECT", "INSERT"
_GROWS, _READ = frozenset({_SELECT, _INSERT}), frozenset({_SELECT})
_ALL = frozenset({_SELECT, _INSERT, "UPDATE", "DELETE"})

#: What the application may do with tables that are evidence or the schema's own; with all others, SELECT, INSERT, UPDATE and DELETE.
#: A table that is only inserted into is named here by its migration's author.
PRIVILEGES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "alembic_version": _READ,
        "schema_serves": _READ,
        "journal": _READ,
        "journal_head": _READ,
        "deposit": _GROWS,
        # Its retention only grows, by trigger; a row that is deleted and inserted again would begin with any.
        "deposit_copy": _GROWS | {"UPDATE"},
        "retention_rule": _GROWS,
        "archived_mail": _GROWS,
        "seal": _GROWS,
        "seal_token": _GROWS,
        "seal_witness": _GROWS,
        # A hold is only released, once, by trigger.
        "legal_hold": _GROWS | {"UPDATE"},
        "trail": _GROWS,
        "activity": _GROWS,
        "inbound_activity": _GROWS,
    }
)
#: Functions that the application may execute though they run with the owner's rights; PUBLIC may not.
EXECUTABLE = ("journal_append(text, text, text)",)
#: Other functions with the owner's rights, which only triggers call.
_INTERNAL = ("note_for_earlier(deposit, text)", "take_to_copy()", "first_copy()")

#: SQLSTATEs of a role that another process has just made, of rows of the catalogue that it changes now, and of a missing right.
_THERE, _BUSY, _REFUSED = frozenset({"42710", "23505"}), frozenset({"XX000", "40P01"}), "42501"
_TRIES, _PAUSE_S = 20, 0.1
#: Of a migration's advisory lock (`migrations/env.py`), so that two processes grant one after the other.
_LOCK = 5_318_009

_GRANTED = """
select tables.relname, array_agg(acl.privilege_type) filter (where acl.grantee = role.oid)
from pg_class as tables join pg_roles as role on role.rolname = %s
left join lateral aclexplode(tables.relacl) as acl on true
where tables.relnamespace = current_schema()::regnamespace and tables.relname = any(%s) and tables.relkind in ('r', 'p')
group by tables.relname
"""

_SEQUENCES = """
select distinct sequences.relname from pg_class as sequences join pg_depend as part on part.objid = sequences.oid
    and part.deptype in ('a', 'i') join pg_class as tables on tables.oid = part.refobjid
where sequences.relkind = 'S' and sequences.relnamespace = current_schema()::regnamespace and tables.relname = any(%s)
"""

_POWERS = """
select role.rolsuper as is_superuser,
    coalesce(bool_or(pg_has_role(current_user, tables.relowner, 'member')), false) as is_owner,
    coalesce(bool_or(has_table_privilege(tables.oid, 'UPDATE, DELETE, TRUNCATE, TRIGGER')), false) as may_change,
    has_schema_privilege(current_schema(), 'CREATE') as may_create
from pg_roles as role left join pg_class as tables
    on tables.relnamespace = current_schema()::regnamespace and tables.relname in ('journal', 'journal_head')
where role.rolname = current_user group by role.rolsuper
"""


@dataclass(frozen=True, slots=True)
class Grants:
    """What `grant_roles` found and did: the login that is limited, if any, and why there is none."""

    login: str | None
    why: str = ""
    changed: int = 0


def grant_roles(owner_url: str, application_url: str = "") -> Grants:
    """Make the application's group and login, and give the group what it needs in this database; again, nothing changes.

    An owner who may not make roles is told why there is no limited one, and what to do: the installation works without.

    Raises:
        TransientError: the database cannot be reached.
        PermanentError: it refused a statement.
    """
    try:
        with psycopg.connect(owner_url, connect_timeout=10, autocommit=True) as connection:
            login = conninfo_to_dict(application_url).get("user") if application_url else None
            owner = connection.info.user
            if not powers(connection):
                return Grants(owner)
            try:
                _make(connection, None if login in (None, owner) else str(login), application_url)
            except psycopg.errors.InsufficientPrivilege:
                return Grants(None, f"{owner} may not make roles: give it CREATEROLE, or make the roles by hand")
            with connection.transaction():
                connection.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
                changed = _grant(connection)
    except psycopg.OperationalError:
        raise TransientError("the database cannot be reached") from None
    except psycopg.Error as error:
        raise PermanentError("the roles cannot be granted", sqlstate=error.sqlstate) from None
    if login in (None, owner):
        return Grants(None, "MAILROOM_DATABASE_OWNER_URL names no other login than MAILROOM_DATABASE_URL", changed)
    return Grants(str(login), changed=changed)


def powers(connection: psycopg.Connection[Any]) -> str:
    """Return by what the connection's user could change journals, for people; empty if by nothing."""
    found = connection.execute(_POWERS).fetchone()
    if found is None:
        return ""
    is_superuser, is_owner, may_change, may_create = found
    if is_superuser:
        return "is a superuser"
    if is_owner:
        return "owns the tables"
    if may_change:
        return "may change the journals"
    return "may create functions and tables in the schema" if may_create else ""


def powers_of(url: str) -> str:
    """Return `powers` of the login of this URL.

    Raises:
        TransientError: the database cannot be reached.
    """
    try:
        with psycopg.connect(url, connect_timeout=10) as connection:
            return powers(connection)
    except psycopg.OperationalError:
        raise TransientError("the database cannot be reached") from None


def _make(connection: psycopg.Connection[Any], login: str | None, url: str) -> None:
    """Make the group, and the login as its member; both may be there, or be made by another process now."""
    if not _is_role(connection, GROUP):
        _tolerant(connection, SQL("create role {} nologin").format(Identifier(GROUP)))
    if login is None:
        return
    if not _is_role(connection, login):
        password = conninfo_to_dict(url).get("password")
        # Only its verifier is sent, and may be in the server's log.
        secret = connection.pgconn.encrypt_password(str(password).encode(), login.encode(), b"scram-sha-256")
        made = SQL("create role {} login password {}").format(Identifier(login), Literal(secret.decode()))
        _tolerant(connection, made if password else SQL("create role {} login").format(Identifier(login)))
    member = "select pg_has_role(%s, %s, 'member')"
    if connection.execute(member, [login, GROUP]).fetchone() != (True,):
        _tolerant(connection, SQL("grant {} to {}").format(Identifier(GROUP), Identifier(login)))


def _is_role(connection: psycopg.Connection[Any], name: str) -> bool:
    return connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone() is not None


def _tolerant(connection: psycopg.Connection[Any], statement: Composed) -> None:
    for left in reversed(range(_TRIES)):
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            if error.sqlstate in _THERE:
                return
            if error.sqlstate not in _BUSY or not left:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _grant(connection: psycopg.Connection[Any]) -> int:
    """Grant what differs; return how many tables that were."""
    group, changed = Identifier(GROUP), 0
    # Others may have tables in the schema.
    ours = [*metadata().tables, "alembic_version"]
    for name, granted in connection.execute(_GRANTED, [GROUP, ours]).fetchall():
        wanted = PRIVILEGES.get(name, _ALL)
        if set(granted or ()) == wanted:
            continue
        connection.execute(SQL("revoke all on {} from {}").format(Identifier(name), group))
        words = SQL(", ").join(SQL(word) for word in sorted(wanted))
        connection.execute(SQL("grant {} on {} to {}").format(words, Identifier(name), group))
        changed += 1
    if changed:
        row = connection.execute("select current_schema()").fetchone()
        schema = Identifier(row[0] if row else "public")
        connection.execute(SQL("grant usage on schema {} to {}").format(schema, group))
        for (name,) in connection.execute(_SEQUENCES, [ours]).fetchall():
            connection.execute(SQL("grant usage, select on sequence {} to {}").format(Identifier(name), group))
    for one in (*EXECUTABLE, *_INTERNAL):
        if connection.execute("select to_regprocedure(%s)", [one]).fetchone() == (None,):
            continue
        # A restored dump has no privileges, so PUBLIC may execute it again.
        connection.execute(SQL("revoke execute on function {} from public").format(SQL(one)))
        if one in EXECUTABLE:
            connection.execute(SQL("grant execute on function {} to {}").format(SQL(one), group))
    return changed
