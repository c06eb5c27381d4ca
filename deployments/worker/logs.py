"""The worker's log, which is the HTTP service's too: see `mailroom.operations.logs`."""

from mailroom.operations.logs import JsonLines as JsonLines
from mailroom.operations.logs import log_to_stderr as log_to_stderr
