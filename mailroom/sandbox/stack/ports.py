"""The ports of the embedded stack, all on the loopback address."""

import os
import random
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from mailroom.sandbox.errors import StackError
from mailroom.sandbox.stack.folder import read_json, write_json

LOOPBACK = "127.0.0.1"

#: The preferred port of each part; 5433 and not 5432, which the machine's own PostgreSQL would use.
PREFERRED = {"postgres": 5433, "aws": 5566, "prefect": 4200, "api": 8025, "door": 2525}

_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def choose_ports(file: Path, environment: Mapping[str, str] = os.environ) -> dict[str, int]:
    """Return a port for each part and store it in `file`, so that links stay valid over a restart.

    `MAILROOM_PORT_<PART>` has precedence; then the port of the last start, the preferred one, any free one.

    Raises:
        StackError: a port that the environment asks for is not a free port.
    """
    remembered = read_json(file) or {}
    chosen: dict[str, int] = {}
    for part, preferred in PREFERRED.items():
        setting = environment.get(f"MAILROOM_PORT_{part.upper()}")
        candidates = [_asked_port(part, setting)] if setting else [remembered.get(part, preferred), preferred]
        free = (port for port in candidates if port not in chosen.values() and is_free(port))
        chosen[part] = next(free, None) or any_free_port(taken=chosen.values())
    write_json(file, chosen)
    return chosen


def choose_apart(file: Path) -> None:
    """Give the stack with this `file` other ports than the preferred ones: two stacks may start at the same moment."""
    chosen: dict[str, int] = {}
    for part in PREFERRED:
        chosen[part] = any_free_port(taken=chosen.values())
    write_json(file, chosen)


def _asked_port(part: str, setting: str) -> int:
    if not setting.isdecimal() or not 0 < int(setting) < 65536 or not is_free(int(setting)):
        raise StackError(f"MAILROOM_PORT_{part.upper()}={setting} is not a free port on {LOOPBACK}; choose another")
    return int(setting)


def is_connected(pid: int, port: int) -> bool:
    """Return whether a process has a connection to `port` on this machine; False also if the process is gone."""
    try:
        own = {str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()}
        lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    except OSError:
        return False
    # Columns of proc(5): the other side's address and port in hex, the state (01 is established), the socket's inode.
    values = [line.split() for line in lines]
    return any(one[2].endswith(f":{port:04X}") and one[3] == "01" and f"socket:[{one[9]}]" in own for one in values)


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` now; a port whose last connections are still closing counts as free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Return whether something accepts connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def any_free_port(*, taken: Collection[int] = ()) -> int:
    """Return a free port below the kernel's range for outgoing connections.

    An outgoing connection on loopback could take a port of that range before the server binds it.
    """
    first_outgoing = int(_OUTGOING.read_text().split()[0]) if _OUTGOING.exists() else 32768
    while True:
        port = random.SystemRandom().randrange(max(1024, first_outgoing - 12_000), max(2048, first_outgoing))
        if port not in taken and is_free(port):
            return port
