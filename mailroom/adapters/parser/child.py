"""The process that parses mails: started by `process`; nothing of this module's `main` runs in the worker.

    python -m mailroom.adapters.parser.child DESCRIPTOR package.module:function MEMORY_BYTES CPU_S

It imports the parser and little else, limits its own resources, and then answers one mail after another on its socket.
A mail comes as its length (8 bytes, big endian) and its bytes. The answer is the length of a JSON record, the record, and
the bytes of its attachments in order.
"""

import importlib
import json
import resource
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from mailroom.domain.parsing.model import ParsedEmail
from mailroom.domain.parsing.record import to_record

LENGTH = struct.Struct(">Q")
_PAGE = resource.getpagesize()


def main(descriptor: int, function: str, memory_bytes: int, cpu_s: int) -> None:
    """Answer mails until the other side closes the socket."""
    module, _, name = function.partition(":")
    parse: Callable[[bytes], ParsedEmail] = getattr(importlib.import_module(module), name)
    with socket.socket(fileno=descriptor) as line, line.makefile("rb") as mails:
        parse(b"")
        _bound_memory(memory_bytes)
        line.sendall(LENGTH.pack(0))
        while _serve(mails, line, parse, cpu_s=cpu_s):
            pass


def _serve(mails: BinaryIO, line: socket.socket, parse: Callable[[bytes], ParsedEmail], *, cpu_s: int) -> bool:
    """Answer one mail; False when there are no more, or after an error, which ends the process as a precaution."""
    announced = mails.read(LENGTH.size)
    if len(announced) < LENGTH.size:
        return False
    _bound_cpu(cpu_s)
    try:
        _answer(line, parse(mails.read(LENGTH.unpack(announced)[0])))
    except Exception as error:  # noqa: BLE001 - the parent gets the name of any error
        _send(line, {"error": type(error).__name__})
        return False
    return True


def _answer(line: socket.socket, parsed: ParsedEmail) -> None:
    _send(line, to_record(parsed))
    for attachment in parsed.attachments:
        line.sendall(attachment.content)


def _send(line: socket.socket, record: dict[str, object]) -> None:
    values = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
    line.sendall(LENGTH.pack(len(values)))
    line.sendall(values)


def _bound_memory(most: int) -> None:
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * _PAGE
    resource.setrlimit(resource.RLIMIT_AS, (used + most, used + most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _bound_cpu(seconds: int) -> None:
    """Raise the limit by the next mail's CPU time: the kernel counts over the whole life of a process."""
    spent = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(spent.ru_utime + spent.ru_stime) + 1 + seconds, resource.RLIM_INFINITY)
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
