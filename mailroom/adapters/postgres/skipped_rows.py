"""Skipped rows: a loop or list goes on without the rows that it cannot read, and records them by name.

    with stepping_over(engine, Loop.RELAY, "batch") as usable, transaction(engine) as connection:
        orders = usable(connection.execute(wanted), order_of)

`usable` returns the values made of the rows. Rows of which none could be made are recorded in `skipped_row` when the block
ends, with id and reason, and reported until they were not met for `STANDS`: a repaired row needs no further action. A loop
that reads its oldest rows first leaves out those that it met lately (`met_lately`), so that they never starve the others.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from traceback import extract_tb
from typing import Any, Protocol, TypeVar

from sqlalchemy import Column, ColumnElement, Engine, Integer, Text, cast, func, literal, select, text
from sqlmodel import Field, SQLModel

from mailroom.adapters.postgres.engine import transaction
from mailroom.adapters.postgres.models import table, time_column
from mailroom.domain.errors import MailroomError, PermanentError
from mailroom.domain.times import EARLIEST, LATEST
from mailroom.ports.monitoring import STANDS, Loop, Skipped

log = logging.getLogger(__name__)

T = TypeVar("T")

#: A row that a loop skipped is tried again after this time.
AGAIN_AFTER = timedelta(minutes=10)
#: One process records the same row again after this many seconds: a page may be loaded each second. Less than `AGAIN_AFTER`.
_NOTED_FOR_S = 300.0
#: The most rows of a loop that are recorded, and that are shown; a table full of one fault needs no more names.
_MOST, _SHOWN = 1_000, 20


class SkippedRow(SQLModel, table=True):
    """A row of another table that a loop skipped: `subject` names it, as `batch <id>`; `why` contains no value of it."""

    __tablename__ = "skipped_row"

    loop: str = Field(primary_key=True)
    subject: str = Field(primary_key=True)
    why: str = Field(sa_column=Column(Text, nullable=False))
    first_at: datetime = time_column()
    seen_at: datetime = time_column()
    times: int = Field(sa_column=Column(Integer, nullable=False))


_skipped = table(SkippedRow).c

_NOTE = text("""
    insert into skipped_row as known (loop, subject, why, first_at, seen_at, times)
    select :loop, subject, why, :now, :now, 1 from unnest(cast(:subjects as text[]), cast(:whys as text[])) as given (subject, why)
    where (select count(*) from skipped_row as standing where standing.loop = :loop and standing.seen_at > :since) < :most
        or exists (select from skipped_row as there where there.loop = :loop and there.subject = given.subject)
    order by subject
    on conflict (loop, subject) do update set why = excluded.why, seen_at = excluded.seen_at, times = known.times + 1
""")
_FORGET = text("delete from skipped_row where seen_at < :before")


class Usable(Protocol):
    """Makes values of rows and skips those of which none can be made."""

    def __call__(self, rows: Iterable[Any], make: Callable[[Any], T], /) -> list[T]: ...


@contextmanager
def stepping_over(
    engine: Engine, loop: Loop, kind: str, *, name: Callable[[Any], object] = lambda row: row.id
) -> Iterator[Usable]:
    """Yield a function that makes values of rows; the rows that it skipped are recorded when the block has ended.

    Args:
        kind: What a row is, in one word: with its id, it names the row.
        name: Returns the id of a row.
    """
    skipped: list[tuple[str, str]] = []

    def usable(rows: Iterable[Any], make: Callable[[Any], T], /) -> list[T]:
        made = []
        for row in rows:
            try:
                made.append(make(row))
            except Exception as error:  # noqa: BLE001 - whatever one row does, the others are made
                skipped.append((f"{kind} {name(row)}", why(error)))
        return made

    yield usable
    note_skipped(engine, loop, skipped)


def readable(make: Callable[[Any], T], row: Any, *, kind: str, name: object = None) -> T:
    """Return the value made of one requested row.

    Raises:
        PermanentError: none can be made; the facts name the row and the reason.
    """
    try:
        return make(row)
    except Exception as error:  # noqa: BLE001 - raised again, without its text
        named = f"{kind} {row.id if name is None else name}"
        raise PermanentError("a row of the database cannot be read", row=named, why=why(error)) from None


def sound(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that a time is within the bounds of `mailroom.domain.times`."""
    return (column >= EARLIEST) & (column < LATEST)


def met_lately(loop: Loop, kind: str, id_: ColumnElement[Any]) -> ColumnElement[bool]:
    """Return the condition that this loop skipped the row within `AGAIN_AFTER`."""
    subject = literal(f"{kind} ").op("||")(cast(id_, Text))
    lately = _skipped.seen_at > func.now() - AGAIN_AFTER
    return select(_skipped.loop).where(_skipped.loop == loop, _skipped.subject == subject, lately).exists()


def why(error: Exception) -> str:
    """Return the reason: the message of a Mailroom error, else only class and place, because other texts may quote the row."""
    if isinstance(error, MailroomError):
        return error.message
    last = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {last.name} ({last.filename.rsplit('/', 1)[-1]}:{last.lineno})"


def note_skipped(engine: Engine, loop: Loop, rows: Sequence[tuple[str, str]]) -> None:
    """Record skipped rows, each as name and reason; never raises, because the caller goes on without them."""
    fresh = _noted.fresh(engine, loop, dict(rows))
    if not fresh:
        return
    for subject, reason in fresh.items():
        log.error("%s skips %s: %s", loop, subject, reason)
    values = {"loop": loop, "subjects": list(fresh), "whys": list(fresh.values())}
    try:
        with transaction(engine) as connection:
            now = datetime.now(UTC)
            connection.execute(_NOTE, {**values, "now": now, "since": now - STANDS, "most": _MOST})
    except MailroomError as error:
        log.warning("%d skipped rows cannot be recorded: %s", len(fresh), error)


def skipped_now(engine: Engine) -> list[Skipped]:
    """Return the rows that are skipped at present, by loop."""
    since = datetime.now(UTC) - STANDS
    kept = select(_skipped.loop, _skipped.subject, _skipped.why).where(_skipped.seen_at > since)
    rows_by_loop: dict[str, list[Any]] = {}
    with transaction(engine) as connection:
        for row in connection.execute(kept.order_by(_skipped.loop, _skipped.first_at, _skipped.subject)):
            rows_by_loop.setdefault(row.loop, []).append(row)
    return [
        Skipped(loop=loop, rows=len(rows), named=tuple((row.subject, row.why) for row in rows[:_SHOWN]))
        for loop, rows in rows_by_loop.items()
    ]


def forget_skipped(engine: Engine, *, before: datetime) -> int:
    """Delete rows that were not met since `before`, and return how many."""
    with transaction(engine) as connection:
        return connection.execute(_FORGET, {"before": before}).rowcount


@dataclass
class _Noted:
    """The rows that this process recorded lately."""

    at: dict[tuple[str, str, str], float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fresh(self, engine: Engine, loop: Loop, rows: dict[str, str]) -> dict[str, str]:
        """Return the rows that were not recorded lately, each once."""
        now, database = time.monotonic(), str(engine.url)
        with self.lock:
            self.at = {key: at for key, at in self.at.items() if now - at < _NOTED_FOR_S}
            new = {subject: reason for subject, reason in rows.items() if (database, loop, subject) not in self.at}
            self.at |= {(database, loop, subject): now for subject in new}
        return new


_noted = _Noted()
