"""The process that calls a provider: started by `processes`; nothing of this module's `main` runs in the worker.

    python -m mailroom.adapters.providers.process_child DESCRIPTOR PARENT_PID

Its socket brings the recipe, pickled, and then one descriptor for each connection; a thread serves each. The process ends
where the socket closes, and with its parent.
"""

import ctypes
import gc
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from mailroom.operations.logs import log_to_stderr
from mailroom.ports.provider import MailProvider

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


def main(descriptor: int, parent: int) -> None:
    """Answer until the other side closes the socket."""
    _die_with(parent)
    log_to_stderr()
    with socket.socket(fileno=descriptor) as control, control.makefile("rb", buffering=0) as recipe:
        provider: MailProvider = pickle.loads(_read(recipe, int.from_bytes(_read(recipe, 8), "big")))()  # noqa: S301 - our worker's
        # What is there now stays: the collector need not look at it again.
        gc.freeze()
        control.sendall(b"+")
        while True:
            word, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not word:
                break
            for one in descriptors:
                threading.Thread(target=_serve, args=(Connection(one), provider), daemon=True).start()


def _die_with(parent: int) -> None:
    """End with the parent at the latest; its signals to the whole group are for it alone: it first ends its calls."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the worker that started this process has exited")


def _read(source: Any, size: int) -> bytes:
    text = b""
    while len(text) < size:
        more = source.read(size - len(text))
        if not more:
            sys.exit("the worker closed the connection")
        text += more
    return text


def _serve(line: Connection, provider: MailProvider) -> None:
    """Answer one request after another: with the results, or with the name of the error that the provider raised."""
    with line:
        while True:
            try:
                request = line.recv_bytes()
            except (EOFError, OSError):
                return
            try:
                answer = pickle.dumps(provider.send(pickle.loads(request)), pickle.HIGHEST_PROTOCOL)  # noqa: S301 - our worker's
            except Exception as error:  # noqa: BLE001 - a provider that breaks its contract may have sent
                log.error("provider %s raised %s", provider.name, type(error).__name__)
                answer = pickle.dumps(type(error).__name__)
            line.send_bytes(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
    # Calls under way are ended as by a kill: nobody is left to hear their results.
    os._exit(0)
