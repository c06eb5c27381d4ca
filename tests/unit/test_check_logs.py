"""Reading logs: every ERROR and traceback of every part is found, once for each kind."""

from pathlib import Path

import pytest

from mailroom.audit.logs import Known, check_logs, read_log
from mailroom.audit.report import Report

SCHEDULER = """\
10:01:02.123 | WARNING | prefect.server.services - slow
10:01:03.123 | ERROR   | prefect.server.services.scheduler - Unexpected error in: InvalidRequestError("Can't evaluate")
Traceback (most recent call last):
  File "/x/prefect/server/services/scheduler.py", line 12, in run
    await self._insert()
ValueError: first

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/x/sqlalchemy/orm.py", line 9, in evaluate
    raise error
sqlalchemy.exc.InvalidRequestError: Can't evaluate bulk DML statement
10:02:03.123 | INFO    | prefect.server - going on
"""
OURS = (
    "2026-11-29 06:25:54,685 ERROR mailroom.listener paused: S3 is unavailable; receiving resumes when it is available"
)
POSTGRES = """\
2026-11-29 06:25:54.685 UTC [13349] ERROR:  duplicate key value violates unique constraint "x"
2026-11-29 06:25:54.685 UTC [13349] DETAIL:  Key (name)=(a) already exists.
\t  over two lines
2026-11-29 06:25:55.000 UTC [13349] LOG:  checkpoint complete
"""
GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "/x/anyio.py", line 1, in __aexit__
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/x/a.py", line 3, in b
    | RuntimeError: inner
    +------------------------------------
"""
#: SQLAlchemy's messages have the statement, over many lines.
SQL = """\
17:36:41.219 | ERROR   | uvicorn.error - Exception in ASGI application
Traceback (most recent call last):
  File "/x/asyncpg.py", line 855, in _handle_exception
    raise translated_error from error
sqlalchemy.exc.InternalError: (InternalClientError) another operation is in progress
[SQL:
SELECT
    work_queue.id
FROM
    work_queue
WHERE
    work_queue.id = $1]
(Background on this error at: https://sqlalche.me/e/21/2j85)
17:36:42.000 | INFO    | prefect.server - going on
"""
#: Tracebacks of threads and callbacks that no caller awaits: no log record between them.
TWO = """\
Exception in thread relay:
Traceback (most recent call last):
  File "/x/relay.py", line 3, in run
KeyError: 'known'
Exception in thread metrics:
Traceback (most recent call last):
  File "/x/metrics.py", line 9, in run
ValueError: unknown
"""
WARNED = '{"at": "2026-11-29T06:00:00", "level": "warning", "logger": "mailroom.worker", "message": "odd", "exception": "KeyError"}'
JSON = '{"at": "2026-11-29T06:00:00", "level": "error", "logger": "mailroom.worker", "message": "the worker stopped after an unexpected error"}'


def entries(text: str) -> list[str]:
    return [entry.text for entry in read_log("part", text.splitlines())]


def report_of(folder: Path, *known: Known) -> Report:
    report = Report(emit=lambda _: None, progress=lambda _: None)
    check_logs(folder, known, report)
    return report


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SCHEDULER, ["Can't evaluate bulk DML statement"]),
        (OURS, ["paused: S3"]),
        (POSTGRES, ["duplicate key"]),
        (GROUP, ["RuntimeError: inner"]),
        (TWO, ["KeyError", "ValueError: unknown"]),
        (JSON, ["the worker stopped after an unexpected error"]),
        (WARNED, ["KeyError"]),
        ("ERROR:    Exception in ASGI application\n", ["ASGI"]),
        ("[2026-11-29 06:00:00,1] ERROR in app: Exception on / [PUT]\n", ["Exception on"]),
        ("Traceback (most recent call last):\n  File 'x'\nKeyError: 'a'\nnext line", ["KeyError"]),
        ("Traceback (most recent call last):\n  File 'x'\nKeyboardInterrupt", ["KeyboardInterrupt"]),
    ],
    ids=[
        "chained",
        "ours",
        "postgres",
        "group",
        "two",
        "json",
        "a traceback in json",
        "uvicorn",
        "flask",
        "bare",
        "cut off",
    ],
)
def test_each_part_s_way_to_say_that_something_went_wrong_is_one_entry(text: str, found: list[str]) -> None:
    """A traceback under its record is one fault, not two; causes and groups are part of it."""
    read = entries(text)

    assert len(read) == len(found)
    assert all(words in entry for words, entry in zip(found, read, strict=True))


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-29 06:25:54,685 INFO mailroom.worker stopping: no ERROR was seen",
        '127.0.0.1 - - [29/Nov/2026 06:25:54] "GET /ERROR HTTP/1.1" 404 -',
        '{"level": "info", "message": "ERROR"}',
        "an indented story:  ERRORS happen",
        "2026-11-29 06:25:54,685 INFO mailroom.api ERROR is a subject",
        "2026-11-29 06:25:54.685 UTC [1] DETAIL:  Key (ERROR )=(a)",
        '{"level": "error"',
    ],
)
def test_words_about_errors_are_no_errors(line: str) -> None:
    """A check that reports every page named after an error would be switched off."""
    assert entries(line) == []


def test_the_same_fault_is_one_violation_with_its_count(tmp_path: Path) -> None:
    """33 tracebacks in 34 minutes are one fault to look at."""
    (tmp_path / "prefect.log").write_text(SCHEDULER * 33)
    (tmp_path / "worker.log").write_text(f"{OURS}\n")

    report = report_of(tmp_path)

    assert report.wrong == {"logged": 2}
    first = next(one for one in report.violations if one.subject.startswith("prefect.log"))
    assert first.subject == "prefect.log:2"
    assert first.do.startswith("33 times: 10:01:03.123 | ERROR")


def test_what_is_known_is_no_violation_up_to_its_largest_count(tmp_path: Path) -> None:
    """A fault that is known once and comes a thousand times is a new fault."""
    (tmp_path / "worker.log").write_text(f"{OURS}\n" * 3)
    known = Known("work*", "paused: S3 is unavailable", "a test takes S3 away", most=3)

    assert report_of(tmp_path, known).is_clean
    (tmp_path / "worker.log").write_text(f"{OURS}\n" * 4)
    assert report_of(tmp_path, known).wrong == {"logged too often": 1}
    assert report_of(tmp_path, Known("api", "paused", "another part", most=9)).wrong == {"logged": 1}


def test_an_exception_without_frames_begins_its_chain() -> None:
    """asyncpg raises what the socket said, which never was in a frame; all of it is one entry, named by its last exception."""
    lines = [
        "17:34:15.993 | ERROR   | uvicorn.error - Exception in ASGI application",
        "BrokenPipeError: [Errno 32] Broken pipe",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        '  File "/x/asyncpg.py", line 620, in fetch',
        "    raise error",
        "sqlalchemy.exc.DBAPIError: connection was closed in the middle of operation",
        "17:34:16.000 | INFO    | uvicorn.error - going on",
    ]

    [entry] = read_log("prefect", lines)

    assert entry.exception == "sqlalchemy.exc.DBAPIError: connection was closed in the middle of operation"


def test_the_statement_in_a_message_is_not_taken_for_the_exception() -> None:
    """What is known of a database that restarts is known by the exception; `WHERE` says nothing."""
    [found] = entries(SQL)

    assert found.endswith("InternalError: (InternalClientError) another operation is in progress")
