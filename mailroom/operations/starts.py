"""The start of a process as an entry of the installation's journal `operations`: its version, and a digest of its settings."""

import hashlib
import logging
import threading

from pydantic import SecretStr

from mailroom.domain.archive.journal import OperationsKind, Stream
from mailroom.domain.archive.manifests import canonical
from mailroom.domain.tenants import NOBODY
from mailroom.operations.loops import SteadyLoop
from mailroom.ports.journal import Journal
from mailroom.settings import Settings

log = logging.getLogger(__name__)


def configuration_digest(settings: Settings) -> str:
    """Return the SHA-256 of settings without secrets, by which a change of them is seen."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields}
    shown = {name: str(value) for name, value in values.items() if not isinstance(value, SecretStr)}
    return hashlib.sha256(canonical(shown)).hexdigest()


def journal_start(journal: Journal, part: str, *, version: str, configuration: str) -> threading.Thread:
    """Append that `part` has started, in a thread: a database that is away must not delay the start."""
    stop, facts = threading.Event(), {"part": part, "version": version, "configuration": configuration}

    def append() -> float:
        journal.append(NOBODY, Stream.OPERATIONS, OperationsKind.STARTED, facts=facts)
        stop.set()
        return 0

    loop = SteadyLoop(append, log=log, failing="the start is not journalled yet: %s")
    thread = threading.Thread(target=loop.run, args=[stop], name="journal-start", daemon=True)
    thread.start()
    return thread
