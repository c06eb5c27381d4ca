"""The worker's log: a line for a person, or with `MAILROOM_LOG=json` an object for a program. Ids only, in both."""

import json
import logging
import os
from datetime import UTC, datetime

_TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line: `event` is the constant sentence, `facts` the ids and counts that stand in it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line; of an exception its type alone, for its text may quote a mail."""
        told = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": str(record.msg),
            "facts": [one if isinstance(one, (int, float)) else str(one) for one in _args(record)],
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            told["exception"] = record.exc_info[0].__name__
        return json.dumps(told)


def _args(record: logging.LogRecord) -> list[object]:
    return list(record.args) if isinstance(record.args, tuple) else [record.args] if record.args else []


def log_to_stderr() -> None:
    """Set up the process's log, in place of the console that Prefect gave it when it was imported."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if os.environ.get("MAILROOM_LOG") == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Prefect sets the root's level back to WARNING with each run.
    logging.getLogger("mailroom").setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
