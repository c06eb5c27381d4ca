"""The log of worker and HTTP service: text lines, or JSON objects with `MAILROOM_LOG=json`. Both contain ids only."""

import json
import logging
import os
import sys
import threading
import traceback
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
#: Innermost frames of a traceback that are logged.
_PLACES = 20


class JsonLines(logging.Formatter):
    """One JSON object a line: `event` is the constant sentence, `facts` are the ids and counts in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; an exception is logged as its type and frames, for its text may quote a mail."""
        values: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(record.msg),
            "facts": [one if isinstance(one, (int, float)) else str(one) for one in _args(record)],
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            values["exception"] = record.exc_info[0].__name__
            values["places"] = _places(record.exc_info[2])
        return json.dumps(values)


def _args(record: logging.LogRecord) -> list[object]:
    return list(record.args) if isinstance(record.args, tuple) else [record.args] if record.args else []


def _places(trace: TracebackType | None) -> list[str]:
    frames = [(frame.f_code, line) for frame, line in traceback.walk_tb(trace)]
    return [f"{code.co_filename}:{line} in {code.co_name}" for code, line in frames[-_PLACES:]]


def log_to_stderr() -> None:
    """Set up the process's log, in place of the console handler that Prefect adds when it is imported."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if is_json() else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Prefect resets the root's level to WARNING with each run.
    logging.getLogger("mailroom").setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if is_json():
        # Nothing but JSON objects may be on stderr: no bare traceback, no warning of Python's.
        logging.captureWarnings(capture=True)
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda ended: _log_uncaught(ended.exc_type, ended.exc_value, ended.exc_traceback)


def is_json() -> bool:
    """Return whether the log is JSON."""
    return os.environ.get("MAILROOM_LOG", "").strip().lower() == "json"


def say_why_not(program: str, error: Exception) -> None:
    """Log in one line on stderr why `program` does not run."""
    if is_json():
        logging.getLogger("mailroom").critical("%s: %s", program, error)
    else:
        print(f"{program}: {error}", file=sys.stderr, flush=True)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt) or error is None:
        sys.__excepthook__(kind, error or kind(), trace)
    else:
        logging.getLogger("mailroom").critical("ended by an unexpected error", exc_info=(kind, error, trace))
